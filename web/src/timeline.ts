// The line of all frames: where prompts are, where masks are, how sure the network is, and the range to track.

import { LOW_CONFIDENCE, type State } from "./state"

const MARGIN = 10

export class Timeline {
  private dragging: "frame" | "range" | null = null
  private from = 0

  constructor(private readonly canvas: HTMLCanvasElement, private readonly state: State, signal: AbortSignal) {
    const on = <K extends keyof HTMLElementEventMap>(name: K, does: (event: HTMLElementEventMap[K]) => void) =>
      canvas.addEventListener(name, does, { signal })
    on("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId)
      this.dragging = event.shiftKey ? "range" : "frame"
      this.from = this.frameAt(event)
      this.drag(event)
    })
    on("pointermove", (event) => this.drag(event))
    on("pointerup", () => { this.dragging = null })
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault()
      state.goTo(state.frame + Math.sign(event.deltaY))
    }, { signal, passive: false })
    const watch = new ResizeObserver(() => state.changed())
    watch.observe(canvas)
    signal.addEventListener("abort", () => watch.disconnect())
    state.on(() => this.draw())
  }

  private drag(event: PointerEvent): void {
    const frame = this.frameAt(event)
    if (this.dragging === "frame") this.state.goTo(frame)
    if (this.dragging === "range") {
      this.state.range = [Math.min(frame, this.from), Math.max(frame, this.from)]
      this.state.changed()
    }
  }

  private frameAt(event: PointerEvent): number {
    const box = this.canvas.getBoundingClientRect()
    const part = (event.clientX - box.left - MARGIN) / Math.max(1, box.width - 2 * MARGIN)
    return Math.round(Math.min(1, Math.max(0, part)) * (this.state.source.frames - 1))
  }

  private draw(): void {
    const { canvas, state } = this
    const ratio = window.devicePixelRatio || 1
    const [width, height] = [canvas.clientWidth, canvas.clientHeight]
    canvas.width = Math.round(width * ratio)
    canvas.height = Math.round(height * ratio)
    const context = canvas.getContext("2d")!
    context.scale(ratio, ratio)
    const last = Math.max(1, state.source.frames - 1)
    const x = (frame: number) => MARGIN + (frame / last) * (width - 2 * MARGIN)
    const step = (width - 2 * MARGIN) / last
    canvas.setAttribute("aria-valuemax", String(state.source.frames - 1))
    canvas.setAttribute("aria-valuenow", String(state.frame))
    if (state.range) {
      context.fillStyle = "rgba(255,213,74,.2)"
      context.fillRect(x(state.range[0]) - step / 2, 0, x(state.range[1]) - x(state.range[0]) + step, height)
    }
    this.drawNumbers(context, x, height)
    this.drawScores(context, x, Math.max(1.5, step), height)
    this.drawPrompts(context, x)
    context.fillStyle = "#fff"
    context.fillRect(x(state.frame) - 1, 0, 2, height - 14)
  }

  private drawNumbers(context: CanvasRenderingContext2D, x: (frame: number) => number, height: number): void {
    const frames = this.state.source.frames
    const most = Math.max(1, (x(frames - 1) - x(0)) / 60)
    const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000]
      .find((one) => frames / one <= most) ?? frames
    context.font = "11px system-ui"
    context.textAlign = "center"
    for (let frame = 0; frame < frames; frame += every) {
      context.fillStyle = "#5b6875"
      context.fillRect(x(frame), height - 17, 1, 4)
      context.fillStyle = "#a9b4bf"
      context.fillText(String(frame), x(frame), height - 3)
    }
  }

  private drawScores(context: CanvasRenderingContext2D, x: (frame: number) => number, wide: number, height: number): void {
    const [top, bottom] = [20, height - 18]
    const chosenLast = [...this.state.objects].sort((a) => (a.id === this.state.selected ? 1 : -1))
    for (const object of chosenLast) {
      const chosen = object.id === this.state.selected
      // Where several frames share a column, the least sure of them is what matters.
      const columns = new Map<number, number>()
      for (const [frame, { score }] of this.state.scores.get(object.id) ?? []) {
        const column = Math.round(x(frame) * 2) / 2
        columns.set(column, Math.min(score, columns.get(column) ?? 1))
      }
      for (const [column, score] of columns) {
        const tall = Math.max(3, (bottom - top) * score)
        const colour = score === 0 ? "#55606b" : score < LOW_CONFIDENCE ? "#ff5252" : object.colour
        context.fillStyle = colour
        context.globalAlpha = chosen ? 0.35 : 0.5
        if (chosen) context.fillRect(column - wide / 2, bottom - tall, wide, tall)
        context.globalAlpha = chosen ? 1 : 0.5
        context.fillRect(column - wide / 2, bottom - tall, wide, 2)
      }
    }
    context.globalAlpha = 1
  }

  private drawPrompts(context: CanvasRenderingContext2D, x: (frame: number) => number): void {
    for (const [row, object] of this.state.objects.entries()) {
      for (const frame of object.prompted) {
        const y = 4 + (row % 3) * 6
        context.beginPath()
        context.moveTo(x(frame), y - 4)
        context.lineTo(x(frame) + 4, y)
        context.lineTo(x(frame), y + 4)
        context.lineTo(x(frame) - 4, y)
        context.closePath()
        context.fillStyle = object.colour
        context.fill()
        context.strokeStyle = "#0b0f14"
        context.stroke()
      }
    }
  }
}
