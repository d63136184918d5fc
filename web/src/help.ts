// What keys and the mouse do, on one sheet.

import { element, make } from "./page"
import { TOOLS } from "./panels"

const SHEET: [string, [string, string][]][] = [
  ["Draw", [
    ...TOOLS.map(({ key, name, about }): [string, string] => [key.toUpperCase(), `${name}: ${about}`]),
    ["X", "object, or not the object"],
    [", .", "smaller, larger brush"],
    ["Esc", "drop what is being drawn, or cancel tracking"],
    ["Ctrl + arrows", "a cross on the frame; Enter prompts there, or begins and ends a line"],
  ]],
  ["Objects", [
    ["N", "new object"], ["1 to 9", "choose an object"], ["Delete", "remove the chosen one"],
    ["Ctrl + Z", "undo"], ["Ctrl + Shift + Z", "redo"], ["M", "show or hide masks"],
  ]],
  ["Frames", [
    ["\u2190 \u2192, wheel", "one frame back, on"], ["Shift + \u2190 \u2192", "ten frames"], ["Home, End", "first, last"],
    ["Space", "play"], ["W", "least confident frame, then the next"],
  ]],
  ["Track", [
    ["T", "all frames anew"], ["F", "forward from this frame"], ["D", "back from this frame"],
    ["[ ]", "range begins, ends here; also shift and drag along the timeline"], ["\\", "no range"],
    ["G", "from this frame to both ends of the range"],
  ]],
  ["Look", [
    ["+ \u2212 0", "zoom in, out, whole frame"], ["Ctrl + wheel", "zoom"], ["Alt or middle drag", "move the picture"],
    ["Right drag", "window of a volume: up and down level, sideways width"],
    ["Click in the planes", "go there; double click puts a point, with shift a negative one"],
    ["O", "open"], ["?", "this sheet"],
  ]],
]

export function showHelp(): void {
  element("keys").replaceChildren(...SHEET.map(([title, rows]) =>
    make("section", {}, make("h3", {}, title), make("dl", {}, ...rows.flatMap(([keys, does]) =>
      [make("dt", {}, ...keys.split(" ").map((key) => (/^[+,]$|^to$|^or$/.test(key) && keys.length > 5 ? ` ${key} ` : make("kbd", {}, key)))), make("dd", {}, does)])))))
  element<HTMLDialogElement>("help-dialog").showModal()
}
