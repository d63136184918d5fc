// One frame on a canvas: the picture, masks, prompts, and the hand that draws new ones.

import { tinted } from "./masks"
import type { Pictures } from "./pictures"
import type { State, Tool } from "./state"
import { type Gesture, type Place, promptOf } from "./tools"

const KEPT_TINTS = 128
const MOST_ZOOM = 40
const KEY_STEP = 4

export class FrameView {
  private zoom = 1
  private origin: Place = [0, 0]
  private fitted = true
  private gesture: Gesture | null = null
  private dragging: "pan" | "window" | null = null
  private last: Place = [0, 0]
  private cursor: Place | null = null
  private keyed = false
  private readonly tints = new Map<string, HTMLCanvasElement | null>()

  constructor(
    readonly canvas: HTMLCanvasElement, private readonly state: State, private readonly pictures: Pictures,
    signal: AbortSignal,
  ) {
    const on = <K extends keyof HTMLElementEventMap>(name: K, does: (event: HTMLElementEventMap[K]) => void) =>
      canvas.addEventListener(name, does, { signal, passive: false })
    on("pointerdown", (event) => this.down(event))
    on("pointermove", (event) => this.move(event))
    on("pointerup", (event) => this.up(event))
    on("pointercancel", () => this.cancel())
    on("pointerleave", () => { if (!this.keyed && !this.gesture) this.setCursor(null) })
    on("wheel", (event) => this.wheel(event))
    on("keydown", (event) => this.key(event))
    on("contextmenu", (event) => event.preventDefault())
    const watch = new ResizeObserver(() => state.changed())
    watch.observe(canvas)
    signal.addEventListener("abort", () => watch.disconnect())
    state.on(() => this.draw())
  }

  /** Show the whole frame. */
  fit(): void {
    this.fitted = true
    this.state.changed()
  }

  /** Zoom about a place of the canvas, its middle if none is given. */
  zoomBy(factor: number, [x, y]: Place = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2]): void {
    const wanted = Math.min(MOST_ZOOM, Math.max(0.05, this.zoom * factor))
    const ratio = wanted / this.zoom
    this.origin = [x - (x - this.origin[0]) * ratio, y - (y - this.origin[1]) * ratio]
    this.zoom = wanted
    this.fitted = false
    this.state.changed()
  }

  /** Forget what is being drawn; whether there was anything. */
  cancel(): boolean {
    const was = this.gesture !== null
    this.gesture = null
    this.dragging = null
    this.state.changed()
    return was
  }

  /** How much taller than wide a pixel is. */
  private get aspect(): number {
    const spacing = this.state.source.spacing_mm
    return this.state.source.kind === "volume" && spacing ? spacing[1] / spacing[2] : 1
  }

  private place(event: MouseEvent): Place {
    const box = this.canvas.getBoundingClientRect()
    return this.toFrame([event.clientX - box.left, event.clientY - box.top])
  }

  private toFrame([x, y]: Place): Place {
    return [(x - this.origin[0]) / this.zoom, (y - this.origin[1]) / (this.zoom * this.aspect)]
  }

  private inside([x, y]: Place): Place {
    const [rows, columns] = this.state.sizeOf(this.state.frame)
    return [Math.min(columns, Math.max(0, x)), Math.min(rows, Math.max(0, y))]
  }

  private down(event: PointerEvent): void {
    this.canvas.focus()
    this.keyed = false
    this.canvas.setPointerCapture(event.pointerId)
    this.last = [event.clientX, event.clientY]
    if (event.button === 2 && this.state.grey) this.dragging = "window"
    else if (event.button !== 0 || event.altKey) this.dragging = "pan"
    else this.begin(this.place(event), event.shiftKey)
    event.preventDefault()
  }

  private begin(place: Place, other: boolean): void {
    const [rows, columns] = this.state.sizeOf(this.state.frame)
    if (this.state.tool === "point" && (place[0] < 0 || place[1] < 0 || place[0] >= columns || place[1] >= rows)) return
    const positive = other ? !this.state.positive : this.state.positive
    this.state.spot = this.inside(place)
    this.gesture = { tool: this.state.tool, positive, path: [this.inside(place)], brush: this.state.brush }
    this.state.changed()
  }

  private move(event: PointerEvent): void {
    const [dx, dy] = [event.clientX - this.last[0], event.clientY - this.last[1]]
    if (this.dragging) this.last = [event.clientX, event.clientY]
    if (this.dragging === "pan") {
      this.origin = [this.origin[0] + dx, this.origin[1] + dy]
      this.fitted = false
      this.state.changed()
    } else if (this.dragging === "window" && this.state.grey) {
      const { low, high, inverted } = this.state.grey
      const width = high - low
      const level = (low + high) / 2 - (dy * width) / 300
      const wanted = Math.max(width * Math.exp(dx / 200), 1e-6)
      this.state.grey = { low: level - wanted / 2, high: level + wanted / 2, inverted }
      this.state.changed()
    } else for (const each of event.getCoalescedEvents?.() ?? [event]) this.extend(this.place(each))
    this.keyed = false
    this.setCursor(this.place(event))
  }

  private extend(place: Place): void {
    this.gesture?.path.push(this.inside(place))
  }

  private up(event: PointerEvent): void {
    if (this.dragging) this.dragging = null
    else if (event.button === 0) {
      if (this.gesture?.tool !== "point") this.extend(this.place(event))
      this.finish()
    }
  }

  private finish(): void {
    const gesture = this.gesture
    this.gesture = null
    if (!gesture) return
    const { frame } = this.state
    void this.state.prompt((object) => promptOf(gesture, () => ({
      bits: this.state.masks.bits(object, frame, this.state.sizeOf(frame)),
      version: this.state.masks.get(object, frame)?.version ?? "",
    }), this.zoom))
    this.state.changed()
  }

  private wheel(event: WheelEvent): void {
    event.preventDefault()
    const box = this.canvas.getBoundingClientRect()
    if (event.ctrlKey || event.metaKey) {
      this.zoomBy(Math.exp(-event.deltaY / 300), [event.clientX - box.left, event.clientY - box.top])
    } else this.state.goTo(this.state.frame + Math.sign(event.deltaY))
  }

  /** A cross that Ctrl and the arrows move stands in for the hand; Enter puts it down and lifts it. */
  private key(event: KeyboardEvent): void {
    const steps: Record<string, Place> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }
    const step = steps[event.key]
    const [rows, columns] = this.state.sizeOf(this.state.frame)
    if (step && (event.ctrlKey || event.metaKey)) {
      const by = (event.shiftKey ? 8 : 1) * KEY_STEP / this.zoom
      const at = this.cursor ?? [columns / 2, rows / 2]
      this.keyed = true
      this.setCursor(this.inside([at[0] + step[0] * by, at[1] + step[1] * by]))
      if (this.gesture) this.extend(this.cursor!)
    } else if (event.key === "Enter" && this.cursor) {
      if (this.gesture) this.finish()
      else {
        this.begin(this.cursor, event.shiftKey)
        if (this.state.tool === "point") this.finish()
      }
    } else return
    event.preventDefault()
    event.stopPropagation()
  }

  private setCursor(place: Place | null): void {
    this.cursor = place
    this.state.changed()
  }

  private draw(): void {
    const { canvas, state } = this
    const ratio = window.devicePixelRatio || 1
    const [width, height] = [canvas.clientWidth, canvas.clientHeight]
    if (!width || !height) return
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio)
      canvas.height = Math.round(height * ratio)
    }
    const [rows, columns] = state.sizeOf(state.frame)
    if (this.fitted) {
      this.zoom = Math.min(width / columns, height / (rows * this.aspect))
      this.origin = [(width - columns * this.zoom) / 2, (height - rows * this.zoom * this.aspect) / 2]
    }
    const context = canvas.getContext("2d")!
    context.setTransform(1, 0, 0, 1, 0, 0)
    context.clearRect(0, 0, canvas.width, canvas.height)
    const [sx, sy] = [ratio * this.zoom, ratio * this.zoom * this.aspect]
    context.setTransform(sx, 0, 0, sy, this.origin[0] * ratio, this.origin[1] * ratio)
    const picture = this.pictures.current()
    context.imageSmoothingEnabled = this.zoom < 3
    if (picture) context.drawImage(picture.image, 0, 0, columns, rows)
    canvas.dataset.shown = picture?.full ? String(state.frame) : ""
    if (state.showMasks) this.drawMasks(context)
    if (state.source.kind === "volume") this.drawSpot(context, rows, columns)
    this.drawPrompts(context)
    if (this.gesture) this.drawGesture(context, this.gesture)
    this.drawCursor(context)
  }

  private drawMasks(context: CanvasRenderingContext2D): void {
    context.imageSmoothingEnabled = false
    const edge = Math.max(1, Math.round(1.5 / this.zoom))
    const order = [...this.state.masks.at(this.state.frame)].sort((a) => (a.object === this.state.selected ? 1 : -1))
    const versions: string[] = []
    for (const mask of order) {
      const object = this.state.objects.find((one) => one.id === mask.object)
      if (!object) continue
      versions.push(`${mask.object}:${mask.version}`)
      const key = `${mask.version} ${object.colour} ${edge}`
      if (!this.tints.has(key)) this.tints.set(key, tinted(mask.patch, object.colour, edge))
      if (this.tints.size > KEPT_TINTS) this.tints.delete(this.tints.keys().next().value!)
      const tint = this.tints.get(key)
      if (tint) context.drawImage(tint, mask.patch.box[0], mask.patch.box[1])
    }
    this.canvas.dataset.masks = versions.sort().join(" ")
  }

  /** Where the lines of the other planes cross this one. */
  private drawSpot(context: CanvasRenderingContext2D, rows: number, columns: number): void {
    const [x, y] = this.state.spot
    context.save()
    context.fillStyle = "rgba(255,213,74,.5)"
    context.fillRect(0, y - 0.5 / (this.zoom * this.aspect), columns, 1 / (this.zoom * this.aspect))
    context.fillRect(x - 0.5 / this.zoom, 0, 1 / this.zoom, rows)
    context.restore()
  }

  /** Draw in units of the screen, at a place of the frame. */
  private at(context: CanvasRenderingContext2D, [x, y]: Place, draws: () => void): void {
    context.save()
    context.translate(x, y)
    context.scale(1 / this.zoom, 1 / (this.zoom * this.aspect))
    draws()
    context.restore()
  }

  private stroke(context: CanvasRenderingContext2D, colour: string, width = 2): void {
    const ratio = window.devicePixelRatio || 1
    context.save()
    context.setTransform(1, 0, 0, 1, 0, 0)
    for (const [style, more] of [["rgba(0,0,0,.65)", 2], [colour, 0]] as const) {
      context.strokeStyle = style
      context.lineWidth = (width + more) * ratio
      context.stroke()
    }
    context.restore()
  }

  private drawPrompts(context: CanvasRenderingContext2D): void {
    const { state } = this
    for (const edit of state.history.edits) {
      if (edit.frame !== state.frame || edit.kind !== "prompt") continue
      const object = state.objects.find((one) => one.id === edit.object)
      if (!object || edit.object !== state.selected) continue
      for (const { box, point, scribble, positive = true } of edit.prompts) {
        if (box) this.path(context, corners(box), object.colour)
        if (scribble) this.path(context, scribble, positive ? "#fff" : "#f66")
        if (point) this.at(context, point, () => drawPoint(context, positive, object.colour))
      }
    }
  }

  private path(context: CanvasRenderingContext2D, path: Place[], colour: string, width = 2): void {
    context.beginPath()
    path.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)))
    this.stroke(context, colour, width)
  }

  private drawGesture(context: CanvasRenderingContext2D, gesture: Gesture): void {
    const { tool, positive, path, brush } = gesture
    const first = path[0]!
    const last = path[path.length - 1]!
    const cuts = tool === "erase" || !positive
    if (tool === "box") this.path(context, corners([...first, ...last]), "#fff")
    else if (tool === "lasso") this.path(context, [...path, first], cuts ? "#f66" : "#fff")
    else if (tool === "scribble") this.path(context, path, cuts ? "#f66" : "#fff")
    else if (tool !== "point") {
      context.beginPath()
      path.forEach(([x, y], at) => (at ? context.lineTo(x, y) : context.moveTo(x, y)))
      context.lineTo(last[0] + 1e-3, last[1])
      context.lineWidth = brush
      context.lineCap = context.lineJoin = "round"
      context.strokeStyle = cuts ? "rgba(255,96,96,.55)" : "rgba(255,255,255,.55)"
      context.stroke()
    }
  }

  private drawCursor(context: CanvasRenderingContext2D): void {
    const paints = (["brush", "erase"] as Tool[]).includes(this.state.tool)
    this.canvas.style.cursor = this.dragging === "pan" ? "grabbing" : paints ? "none" : "crosshair"
    if (!this.cursor) return
    if (paints) {
      context.beginPath()
      context.ellipse(this.cursor[0], this.cursor[1], this.state.brush / 2, this.state.brush / 2, 0, 0, 7)
      this.stroke(context, "#fff", 1)
    }
    if (this.keyed) {
      this.at(context, this.cursor, () => {
        context.beginPath()
        context.moveTo(-12, 0)
        context.lineTo(12, 0)
        context.moveTo(0, -12)
        context.lineTo(0, 12)
      })
      this.stroke(context, "#ffd54a", 2)
    }
  }
}

function corners([x0, y0, x1, y1]: [number, number, number, number]): Place[] {
  return [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
}

function drawPoint(context: CanvasRenderingContext2D, positive: boolean, colour: string): void {
  context.beginPath()
  context.arc(0, 0, 7, 0, 7)
  context.fillStyle = positive ? colour : "#d32f2f"
  context.fill()
  context.lineWidth = 1.5
  context.strokeStyle = "#fff"
  context.stroke()
  context.beginPath()
  context.moveTo(-3.5, 0)
  context.lineTo(3.5, 0)
  if (positive) {
    context.moveTo(0, -3.5)
    context.lineTo(0, 3.5)
  }
  context.strokeStyle = positive ? "#111" : "#fff"
  context.lineWidth = 2
  context.stroke()
}
