// The page: opens a source, and leads keys and buttons to what they do.

import * as api from "./api"
import { showHelp } from "./help"
import { OpenDialog } from "./opening"
import { element, tell } from "./page"
import { offerExports, Panels, TOOLS } from "./panels"
import { Pictures } from "./pictures"
import { State } from "./state"
import { Timeline } from "./timeline"
import { FrameView } from "./view"
import { VolumeView } from "./volume"

let state: State | null = null
let view: FrameView | null = null
let leaving = new AbortController()
let playing = 0

async function openSource(about: api.About, source: api.Source, frame: number | null = null): Promise<void> {
  stop()
  leaving.abort()
  leaving = new AbortController()
  state?.close()
  const opened = new State(source, tell)
  state = opened
  await opened.load(frame)
  if (state !== opened) return
  const isVolume = source.kind === "volume"
  element("empty").hidden = true
  document.body.classList.add("opened")
  element("volume").hidden = !isVolume
  element("stage").classList.toggle("split", isVolume)
  element("source").textContent = `${source.name} \u00b7 ${about.model}`
  document.title = `${source.name}: trocar`
  view = new FrameView(fresh("frame"), opened, new Pictures(opened, tell), leaving.signal)
  new Timeline(fresh("timeline"), opened, leaving.signal)
  new Panels(opened, about)
  opened.on(() => history.replaceState(null, "", `#source=${source.id}&frame=${opened.frame}`))
  opened.changed()
  if (isVolume) new VolumeView(fresh("volume"), opened, tell, leaving.signal).open().catch(tell)
}

/** The canvas of a name without what was listening to the one before. */
function fresh(id: string): HTMLCanvasElement {
  const old = element<HTMLCanvasElement>(id)
  const made = old.cloneNode() as HTMLCanvasElement
  old.replaceWith(made)
  return made
}

function stop(): void {
  clearInterval(playing)
  playing = 0
  element("play").textContent = "\u25b6"
  element("play").ariaLabel = "Play"
}

function play(): void {
  if (playing || !state) return stop()
  const rate = Math.min(25, state.source.rate_hz ?? 10)
  element("play").textContent = "\u23f8"
  element("play").ariaLabel = "Pause"
  playing = window.setInterval(() => {
    if (!state || state.frame === state.source.frames - 1) stop()
    else state.goTo(state.frame + 1)
  }, 1000 / rate)
}

function track(direction: "forward" | "backward" | "both" | "between"): void {
  if (!state) return
  const { frame, range } = state
  if (direction === "both") void state.track({ direction })
  else if (direction !== "between") void state.track({ direction, start: frame })
  else if (range) {
    const [first, last] = range
    const start = Math.min(last, Math.max(first, frame))
    const onward: api.Propagating = { direction: "forward", start, stop: last }
    const back: api.Propagating = { direction: "backward", start, stop: first }
    void state.track(...(start < last ? [onward] : []), ...(start > first ? [back] : []))
  } else tell("Mark a range first: [ and ], or drag along the timeline with shift.")
}

/** The range begins or ends at this frame. */
function mark(end: 0 | 1): void {
  if (!state) return
  const range: [number, number] = state.range ?? (end ? [0, state.frame] : [state.frame, state.source.frames - 1])
  range[end] = state.frame
  state.range = range[0] <= range[1] ? range : [state.frame, state.frame]
  state.changed()
}

function worst(): void {
  const frame = state?.nextWorst() ?? null
  if (frame === null) tell("There are no tracked masks yet.")
  else state?.goTo(frame)
}

function set(change: (state: State) => void): void {
  if (!state) return
  change(state)
  state.changed()
}

const by = (count: number) => () => state?.goTo(state.frame + count)

const KEYS: Record<string, () => void> = {
  "ArrowLeft": by(-1), "ArrowRight": by(1), "shift ArrowLeft": by(-10), "shift ArrowRight": by(10),
  "Home": () => state?.goTo(0), "End": () => state?.goTo(state.source.frames - 1),
  " ": play, "w": worst, "n": () => void state?.addObject(), "x": () => set((one) => { one.positive = !one.positive }),
  "m": () => set((one) => { one.showMasks = !one.showMasks }),
  ",": () => set((one) => { one.brush = Math.max(1, Math.round(one.brush / 1.25)) }),
  ".": () => set((one) => { one.brush = Math.min(120, Math.ceil(one.brush * 1.25)) }),
  "t": () => track("both"), "d": () => track("backward"), "f": () => track("forward"), "g": () => track("between"),
  "[": () => mark(0), "]": () => mark(1), "\\": () => set((one) => { one.range = null }),
  "ctrl z": () => void state?.undo(), "ctrl shift Z": () => void state?.redo(), "ctrl y": () => void state?.redo(),
  "+": () => view?.zoomBy(1.25), "=": () => view?.zoomBy(1.25), "-": () => view?.zoomBy(0.8), "0": () => view?.fit(),
  "Delete": () => { if (state?.selected) void state.removeObject(state.selected) },
  "Escape": () => { if (!view?.cancel()) state?.cancel() },
  "o": () => element("open").click(), "?": showHelp, "shift ?": showHelp,
  ...Object.fromEntries(TOOLS.map(({ tool, key }) => [key, () => set((one) => { one.tool = tool })])),
}

function onKey(event: KeyboardEvent): void {
  const target = event.target as HTMLElement
  const writes = target instanceof HTMLInputElement && !["checkbox", "range", "color"].includes(target.type)
  const isButton = target instanceof HTMLButtonElement && event.key === " "
  if (writes || isButton || target instanceof HTMLSelectElement || document.querySelector("dialog[open]")) return
  if (target instanceof HTMLInputElement && target.type === "range" && event.key.startsWith("Arrow")) return
  const ctrl = event.ctrlKey || event.metaKey
  const digit = /^[1-9]$/.test(event.key) && !ctrl ? state?.objects[Number(event.key) - 1] : undefined
  const named = `${ctrl ? "ctrl " : ""}${event.shiftKey ? "shift " : ""}${event.key}`
  const does = digit ? () => state?.select(digit.id) : KEYS[named] ?? (ctrl || event.altKey ? undefined : KEYS[event.key] ?? KEYS[event.key.toLowerCase()])
  if (!does) return
  event.preventDefault()
  does()
}

function connect(dialog: OpenDialog): void {
  const click = (id: string, does: () => void) => { element(id).onclick = does }
  click("open", () => void dialog.show())
  click("undo", () => void state?.undo())
  click("redo", () => void state?.redo())
  click("add", () => void state?.addObject())
  click("play", play)
  click("worst", worst)
  click("both", () => track("both"))
  click("back", () => track("backward"))
  click("forward", () => track("forward"))
  click("between", () => track("between"))
  click("cancel", () => state?.cancel())
  click("resume", () => { if (state?.interrupted) void state.resume(state.interrupted) })
  click("fit", () => view?.fit())
  click("closer", () => view?.zoomBy(1.25))
  click("further", () => view?.zoomBy(0.8))
  click("help", showHelp)
  click("export", () => {
    element("exported").textContent = ""
    element<HTMLDialogElement>("export-dialog").showModal()
  })
  const input = (id: string, does: (input: HTMLInputElement) => void) => {
    element(id).oninput = () => does(element<HTMLInputElement>(id))
  }
  input("masks", (box) => set((one) => { one.showMasks = box.checked }))
  input("follow", (box) => set((one) => { one.follow = box.checked }))
  input("brush", (slider) => set((one) => { one.brush = Number(slider.value) }))
  input("number", (field) => { if (field.value) state?.goTo(Number(field.value)) })
  document.addEventListener("keydown", onKey)
  window.addEventListener("pagehide", () => state?.close())
  window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload() })
  window.addEventListener("hashchange", () => location.reload())
}

/** Ask for the token until it is the right one. */
function askToken(): Promise<void> {
  const dialog = element<HTMLDialogElement>("token-dialog")
  const said = element<HTMLInputElement>("token")
  if (!dialog.open) dialog.showModal()
  return new Promise((resolve) => {
    element<HTMLFormElement>("token-form").onsubmit = async (event) => {
      event.preventDefault()
      try {
        await api.login(said.value)
        dialog.close()
        resolve()
      } catch (error) {
        element("token-wrong").textContent = error instanceof Error ? error.message : String(error)
      }
    }
  })
}

async function begin(): Promise<void> {
  api.onToken(askToken)
  const about = await api.about()
  const dialog = new OpenDialog(about, (source) => openSource(about, source).catch(tell))
  connect(dialog)
  offerExports(about, () => state)
  const asked = new URLSearchParams(location.hash.slice(1))
  const source = Number(asked.get("source"))
  if (!source) return dialog.show()
  try {
    await openSource(about, await api.verbs(source).told(), Number(asked.get("frame") ?? 0))
  } catch (error) {
    tell(error)
    await dialog.show()
  }
}

begin().catch(tell)
