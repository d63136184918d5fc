// The pictures of a source: small ones while scrubbing, full ones when the user stops; a volume's values by window.

import type { Grey, Plane } from "./api"
import type { State } from "./state"

const SMALL_WIDTH = 960
const KEPT_SMALL = 60
const KEPT_FULL = 8
const REST_MS = 150

/** Values of a slice as they were measured: one number a pixel, or three of a colour. */
interface Slice { rows: number; columns: number; channels: number; data: Int16Array | Float32Array | Uint8Array }

class Recent<T> {
  private readonly kept = new Map<number, T>()
  constructor(private readonly most: number) {}

  get(frame: number): T | undefined {
    const found = this.kept.get(frame)
    if (found !== undefined) {
      this.kept.delete(frame)
      this.kept.set(frame, found)
    }
    return found
  }

  put(frame: number, one: T): void {
    this.kept.set(frame, one)
    if (this.kept.size <= this.most) return
    const [oldest, gone] = this.kept.entries().next().value!
    this.kept.delete(oldest)
    if (gone instanceof ImageBitmap) gone.close()
  }
}

export class Pictures {
  private readonly small = new Recent<ImageBitmap>(KEPT_SMALL)
  private readonly full = new Recent<ImageBitmap | Slice>(KEPT_FULL)
  private readonly canvas = document.createElement("canvas")
  private drawn = ""
  private loading = false
  private rest = 0
  private settled = -1

  constructor(private readonly state: State, private readonly fail: (error: unknown) => void) {}

  /** The best picture of the state's frame that is there now, and whether it is of that frame's full size. */
  current(): { image: CanvasImageSource; full: boolean } | null {
    const { frame } = this.state
    this.want(frame)
    const full = this.full.get(frame)
    if (full instanceof ImageBitmap) return { image: full, full: true }
    if (full) return { image: this.windowed(frame, full), full: true }
    const small = this.small.get(frame)
    return small ? { image: small, full: false } : null
  }

  private get isVolume(): boolean { return this.state.source.kind === "volume" }

  /** One picture is fetched at a time, always of the frame that is shown by then. */
  private want(frame: number): void {
    const columns = this.state.sizeOf(frame)[1]
    const goesSmall = !this.isVolume && columns > SMALL_WIDTH
    if (this.settled !== frame) {
      this.settled = frame
      clearTimeout(this.rest)
      this.rest = window.setTimeout(() => this.settle(frame, goesSmall), REST_MS)
    }
    if (this.loading || this.full.get(frame) || (goesSmall && this.small.get(frame))) return
    void this.fetch(frame, goesSmall)
  }

  /** The user has stopped here: have the full picture, and have the network look at the frame. */
  private settle(frame: number, goesSmall: boolean): void {
    if (this.state.frame !== frame) return
    if (!this.state.busy) this.state.server.prepare(frame).catch(this.fail)
    if (goesSmall && !this.full.get(frame)) void this.fetch(frame, false)
  }

  private async fetch(frame: number, small: boolean): Promise<void> {
    this.loading = true
    const { server, source } = this.state
    try {
      if (this.isVolume) this.full.put(frame, readNpy(await server.values(source.plane as Plane, frame)))
      else if (small) this.small.put(frame, await server.picture(frame, SMALL_WIDTH))
      else this.full.put(frame, await server.picture(frame))
    } catch (error) {
      this.fail(error)
      await new Promise((resolve) => setTimeout(resolve, 1000))
    } finally {
      this.loading = false
      this.state.changed()
    }
  }

  private windowed(frame: number, slice: Slice): HTMLCanvasElement {
    const grey = this.state.grey ?? { low: 0, high: 255, inverted: false }
    const wanted = `${frame} ${grey.low} ${grey.high}`
    if (wanted !== this.drawn) {
      this.drawn = wanted
      this.canvas.width = slice.columns
      this.canvas.height = slice.rows
      this.canvas.getContext("2d")!.putImageData(greyLevels(slice, grey), 0, 0)
    }
    return this.canvas
  }
}

function greyLevels(slice: Slice, { low, high, inverted }: Grey): ImageData {
  const image = new ImageData(slice.columns, slice.rows)
  const pixels = image.data
  const scale = 255 / Math.max(high - low, 1e-9)
  for (let at = 0; at < slice.rows * slice.columns; at++) {
    for (let channel = 0; channel < 3; channel++) {
      const value = slice.channels === 3 ? slice.data[at * 3 + channel]! : (slice.data[at]! - low) * scale
      pixels[at * 4 + channel] = inverted && slice.channels === 1 ? 255 - Math.min(255, Math.max(0, value)) : value
    }
    pixels[at * 4 + 3] = 255
  }
  return image
}

/** NumPy's file format, of the kinds that the server sends. */
function readNpy(buffer: ArrayBuffer): Slice {
  const view = new DataView(buffer)
  const long = view.getUint8(6) > 1
  const start = long ? 12 : 10
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true)
  const header = new TextDecoder("latin1").decode(new Uint8Array(buffer, start, length))
  const kind = /'descr': '([^']+)'/.exec(header)?.[1]
  const shape = (/'shape': \(([^)]*)\)/.exec(header)?.[1] ?? "").split(",").filter((part) => part.trim()).map(Number)
  const body = buffer.slice(start + length)
  const arrays: Record<string, () => Slice["data"]> = {
    "<i2": () => new Int16Array(body), "<f4": () => new Float32Array(body), "|u1": () => new Uint8Array(body),
  }
  const make = arrays[kind ?? ""]
  if (!make) throw new Error(`The server sent values of a kind that this page does not know (${kind}).`)
  return { rows: shape[0]!, columns: shape[1]!, channels: shape[2] ?? 1, data: make() }
}
