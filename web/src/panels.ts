// The toolbar, the list of objects, the bar of frames and tracking, and what is downloaded.

import * as api from "./api"
import { element, make, tell } from "./page"
import type { State, Tool } from "./state"

export const TOOLS: { tool: Tool; key: string; name: string; about: string; icon: string }[] = [
  { tool: "point", key: "p", name: "Point", about: "click; shift: not the object", icon: "M12 4v16M4 12h16" },
  { tool: "box", key: "b", name: "Box", about: "drag around the object", icon: "M5 6h14v12H5z" },
  { tool: "scribble", key: "s", name: "Scribble", about: "draw along it; shift: along what it is not", icon: "M4 17c4-12 6 8 9-2s4-6 7-8" },
  { tool: "lasso", key: "l", name: "Lasso", about: "draw its outline; shift: cut away", icon: "M12 5c5 0 8 2 8 5s-3 5-8 5-8-2-8-5 3-5 8-5zM8 15c-2 2 0 4 2 4" },
  { tool: "brush", key: "r", name: "Brush", about: "paint its mask; shift: erase", icon: "M5 19c0-4 3-4 4-4l9-10 2 2-10 9c0 1 0 4-5 3z" },
  { tool: "erase", key: "e", name: "Eraser", about: "take away from its mask", icon: "M4 15l8-9 8 6-7 8H8zM8 10l8 6" },
]

export class Panels {
  private shownObjects = ""

  constructor(private readonly state: State, private readonly about: api.About) {
    this.makeTools()
    this.makeWindows()
    this.makeClasses()
    state.on(() => this.draw())
  }

  private makeTools(): void {
    const { state } = this
    const buttons = TOOLS.map(({ tool, key, name, about, icon }) => {
      const button = make("button", { title: `${name}: ${about} (${key.toUpperCase()})` })
      button.innerHTML = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="${icon}"/></svg>`
      button.append(make("span", {}, name))
      button.dataset.tool = tool
      button.onclick = () => {
        state.tool = tool
        state.changed()
      }
      return button
    })
    const sign = make("button", { id: "sign", title: "Whether prompts say what the object is, or what it is not (X)" })
    sign.onclick = () => {
      state.positive = !state.positive
      state.changed()
    }
    element("tools").replaceChildren(...buttons, sign)
  }

  private makeWindows(): void {
    const { state } = this
    const row = element("window-row")
    row.hidden = !state.grey
    const standard = state.grey
    const choice = element<HTMLSelectElement>("window")
    const names = Object.entries(this.about.windows)
    choice.replaceChildren(new Option("the model's", ""),
      ...names.map(([name, [level, width]]) => new Option(`${name} (${level}, ${width})`, name)), new Option("by hand", "hand"))
    choice.onchange = () => {
      const preset = this.about.windows[choice.value]
      if (standard && !choice.value) state.grey = standard
      else if (state.grey && preset) {
        state.grey = { ...state.grey, low: preset[0] - preset[1] / 2, high: preset[0] + preset[1] / 2 }
      }
      state.changed()
    }
    state.on(() => {
      const grey = state.grey
      if (!grey) return
      const same = (low: number, high: number) => Math.abs(grey.low - low) + Math.abs(grey.high - high) < 1e-3 * (high - low)
      const preset = names.find(([, [level, width]]) => same(level - width / 2, level + width / 2))
      choice.value = standard && same(standard.low, standard.high) ? "" : preset ? preset[0] : "hand"
    })
  }

  private makeClasses(): void {
    element("classes").hidden = !this.about.classes.length || this.state.source.kind === "images"
    const boxes = this.about.classes.map((name) => make("input", { type: "checkbox", value: name }))
    element("class-names").replaceChildren(...boxes.map((box) => make("label", {}, box, ` ${box.value}`)))
    element<HTMLFormElement>("find").onsubmit = (event) => {
      event.preventDefault()
      const names = boxes.filter((box) => box.checked).map((box) => box.value)
      if (names.length) void this.state.findClasses(names)
      else tell("Choose what to look for.")
    }
  }

  private draw(): void {
    const { state } = this
    for (const button of element("tools").querySelectorAll<HTMLElement>("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === state.tool))
    }
    const sign = element("sign")
    sign.textContent = state.positive ? "+ object" : "\u2212 not it"
    sign.classList.toggle("negative", !state.positive)
    element<HTMLInputElement>("masks").checked = state.showMasks
    element<HTMLInputElement>("brush").value = String(state.brush)
    element("brush-size").textContent = String(state.brush)
    this.drawHistory()
    this.drawObjects()
    this.drawJob()
    const others = state.lease.holder && !state.lease.yours
    element("lease").textContent = others ? `${state.lease.holder} edits this: look only` : ""
  }

  private drawHistory(): void {
    const { edits, undone } = this.state.history
    const names = { undo: edits[edits.length - 1], redo: undone[0] }
    for (const [id, edit] of Object.entries(names)) {
      const button = element<HTMLButtonElement>(id)
      button.disabled = !edit || this.state.busy
      const what = edit ? `: ${edit.kind === "remove" ? "removal of" : "prompt of"} object ${edit.object}, frame ${edit.frame}` : ""
      button.title = `${id === "undo" ? "Undo" : "Redo"}${what} (Ctrl+${id === "undo" ? "Z" : "Shift+Z"})`
    }
    element<HTMLButtonElement>("export").disabled = !this.state.scores.size
  }

  private drawObjects(): void {
    const { state } = this
    const shown = JSON.stringify([state.objects, state.selected])
    if (shown === this.shownObjects) return
    this.shownObjects = shown
    const focused = (document.activeElement as HTMLElement | null)?.dataset.keep
    element("objects").replaceChildren(...state.objects.map((one) => {
      const colour = make("input", { type: "color", value: one.colour, ariaLabel: `Colour of ${one.name}` })
      colour.onchange = () => void state.changeObject(one.id, { colour: colour.value })
      const name = make("input", { type: "text", value: one.name, ariaLabel: "Name", maxLength: 100 })
      name.onfocus = () => state.select(one.id)
      name.onkeydown = (event) => { if (event.key === "Enter") name.blur() }
      name.onchange = () => void state.changeObject(one.id, { name: name.value })
      const number = make("button", { className: "number", textContent: String(one.id), ariaLabel: `Select ${one.name}` })
      number.title = one.prompted.length ? `prompted on ${one.prompted.join(", ")}` : "not prompted yet"
      number.onclick = () => state.select(one.id)
      number.setAttribute("aria-pressed", String(one.id === state.selected))
      const gone = make("button", { className: "gone", textContent: "\u00d7", title: "Remove; undo brings it back", ariaLabel: `Remove ${one.name}` })
      gone.onclick = () => void state.removeObject(one.id)
      ;[colour, name, number, gone].forEach((part, at) => { part.dataset.keep = `${one.id} ${at}` })
      return make("li", { className: one.id === state.selected ? "selected" : "" }, number, colour, name, gone)
    }))
    if (!state.objects.length) element("objects").append(make("li", { className: "quiet" }, "The first prompt makes one."))
    if (focused) document.querySelector<HTMLElement>(`[data-keep="${focused}"]`)?.focus()
  }

  private drawJob(): void {
    const { state } = this
    const { job } = state
    const unordered = state.source.kind === "images"
    element("job").hidden = !job
    element("resume").hidden = !state.interrupted || state.busy
    const nothing = !state.objects.some((one) => one.prompted.length)
    for (const id of ["both", "back", "forward", "between"]) element<HTMLButtonElement>(id).disabled = state.busy || nothing
    for (const id of ["back", "forward", "between"]) element(id).hidden = unordered
    if (!state.range) element<HTMLButtonElement>("between").disabled = true
    element("range").textContent = state.range ? `range ${state.range[0]} to ${state.range[1]}` : ""
    if (job) {
      element<HTMLProgressElement>("progress").value = job.total ? job.done / job.total : 0
      const left = job.rate_hz ? Math.ceil((job.total - job.done) / job.rate_hz) : 0
      element("told").textContent = `${job.done} of ${job.total}, ${job.rate_hz.toFixed(1)} frames/s, ${left} s left`
    }
    const number = element<HTMLInputElement>("number")
    number.max = String(state.source.frames - 1)
    if (document.activeElement !== number) number.value = String(state.frame)
    element("of").textContent = `of 0 to ${state.source.frames - 1}${said(state)}`
  }
}

/** What else is known of the frame that is shown: its name, its time, how sure the network is of the selected object. */
function said(state: State): string {
  const name = state.nameOf(state.frame)
  const rate = state.source.rate_hz
  const time = rate ? `${(state.frame / rate).toFixed(2)} s` : ""
  const score = state.scores.get(state.selected)?.get(state.frame)
  const sure = score ? `${score.prompted ? "prompted, " : ""}score ${score.score.toFixed(2)}` : ""
  return ["", name, time, sure].filter((part, at) => !at || part).join(" \u00b7 ")
}

/** The dialog that offers the formats; a download begins when its file is made. */
export function offerExports(about: api.About, current: () => State | null): void {
  const told = element("exported")
  element("formats").replaceChildren(...about.formats.map(({ name, about: text }) => {
    const button = make("button", {}, make("span", {}, name), make("small", {}, text))
    button.dataset.format = name
    button.onclick = async () => {
      const state = current()
      if (!state) return
      try {
        let job = await state.server.exportAs(name)
        while (job.state === "waiting" || job.state === "running") {
          told.textContent = `${name}: ${job.done} of ${job.total || "?"}`
          await new Promise((resolve) => setTimeout(resolve, 150))
          job = await api.job(job.id)
        }
        if (job.state !== "finished") throw new api.Refused(job.state, job.message)
        told.textContent = `${job.file} is ready.`
        make("a", { href: `/api/jobs/${job.id}/file`, download: job.file }).click()
      } catch (error) {
        told.textContent = ""
        tell(error)
      }
    }
    return make("li", {}, button)
  }))
}
