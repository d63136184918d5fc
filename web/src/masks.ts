// Masks as they travel (COCO's run-length codes inside a box, trocar.wire.masks) and as they are drawn.

import type { MaskMessage, Patch } from "./api"

/** A whole mask: one byte a pixel, row by row. */
export interface Bits { rows: number; columns: number; data: Uint8Array }

export function emptyBits(rows: number, columns: number): Bits {
  return { rows, columns, data: new Uint8Array(rows * columns) }
}

/** Paste the box of a patch into a mask. */
export function applyPatch(patch: Patch, bits: Bits): void {
  const [x0, y0, width, height] = patch.box
  if (!width || !height) return
  let at = 0
  let inside = 0
  for (const run of runsOf(patch.counts)) {
    for (let end = at + run; at < end; at++) {
      const x = Math.floor(at / height)
      bits.data[(y0 + at - x * height) * bits.columns + x0 + x] = inside
    }
    inside = 1 - inside
  }
}

/** The patch that makes `after` of `before`, a mask of version `base` ("" with null for an empty one). */
export function makePatch(after: Bits, before: Bits | null = null, base = ""): Patch {
  const { rows, columns, data } = after
  let [left, top, right, bottom] = [columns, rows, -1, -1]
  for (let y = 0, at = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, at++) {
      if ((before ? before.data[at]! : 0) !== data[at]!) {
        left = Math.min(left, x)
        right = Math.max(right, x)
        top = Math.min(top, y)
        bottom = y
      }
    }
  }
  if (right < 0) return { size: [rows, columns], box: [0, 0, 0, 0], counts: "", base }
  const box: Patch["box"] = [left, top, right - left + 1, bottom - top + 1]
  return { size: [rows, columns], box, counts: encode(after, box), base }
}

function* runsOf(counts: string): Generator<number> {
  const runs: number[] = []
  let [value, shift] = [0, 0]
  for (let i = 0; i < counts.length; i++) {
    const letter = counts.charCodeAt(i) - 48
    value |= (letter & 31) << shift
    shift += 5
    if (letter & 32) continue
    if (letter & 16) value -= shift < 32 ? 1 << shift : 0
    const run = value + (runs.length > 2 ? runs[runs.length - 2]! : 0)
    runs.push(run)
    yield run
    value = shift = 0
  }
}

function encode(bits: Bits, [x0, y0, width, height]: Patch["box"]): string {
  const runs: number[] = []
  let [last, run] = [0, 0]
  for (let x = x0; x < x0 + width; x++) {
    for (let y = y0; y < y0 + height; y++) {
      const bit = bits.data[y * bits.columns + x]!
      if (bit !== last) {
        runs.push(run)
        run = 0
        last = bit
      }
      run++
    }
  }
  runs.push(run)
  let text = ""
  for (const [place, length] of runs.entries()) {
    let value = place > 2 ? length - runs[place - 2]! : length
    for (let more = true; more;) {
      const low = value & 31
      value >>= 5
      more = value !== (low & 16 ? -1 : 0)
      text += String.fromCharCode(48 + (more ? low | 32 : low))
    }
  }
  return text
}

/** The masks of a source that have been heard of, by frame; each with a patch from an empty mask. */
export class MaskStore {
  private frames = new Map<number, Map<number, MaskMessage>>()

  at(frame: number): MaskMessage[] { return [...this.frames.get(frame)?.values() ?? []] }

  get(object: number, frame: number): MaskMessage | undefined { return this.frames.get(frame)?.get(object) }

  /** Take a mask in; one that says what differs from the mask shown before is made whole. */
  put(mask: MaskMessage): void {
    const here = this.frames.get(mask.frame) ?? new Map<number, MaskMessage>()
    const before = here.get(mask.object)
    if (mask.patch.base && before) {
      const bits = this.bits(mask.object, mask.frame, mask.patch.size)
      applyPatch(mask.patch, bits)
      mask = { ...mask, patch: makePatch(bits) }
    }
    here.set(mask.object, mask)
    this.frames.set(mask.frame, here)
  }

  /** Take all masks of a range of frames in; what was there goes. */
  replace(first: number, last: number, masks: MaskMessage[]): void {
    for (let frame = first; frame <= last; frame++) this.frames.delete(frame)
    masks.forEach((mask) => this.put(mask))
  }

  clear(): void { this.frames.clear() }

  /** A mask, unpacked; empty where there is none. */
  bits(object: number, frame: number, [rows, columns]: [number, number]): Bits {
    const bits = emptyBits(rows, columns)
    const mask = this.get(object, frame)
    if (mask) applyPatch(mask.patch, bits)
    return bits
  }
}

/** The inside of a mask's box as a picture: filled lightly, with an edge of full colour. */
export function tinted(patch: Patch, colour: string, edge: number): HTMLCanvasElement | null {
  const [, , width, height] = patch.box
  if (!width || !height) return null
  const bits = emptyBits(height, width)
  applyPatch({ ...patch, box: [0, 0, width, height] }, bits)
  const image = new ImageData(width, height)
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)) as [number, number, number]
  const inside = (x: number, y: number) => x >= 0 && y >= 0 && x < width && y < height && bits.data[y * width + x] === 1
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      if (!bits.data[at]) continue
      const rim = !inside(x - edge, y) || !inside(x + edge, y) || !inside(x, y - edge) || !inside(x, y + edge)
      image.data.set([red, green, blue, rim ? 255 : 90], at * 4)
    }
  }
  const canvas = document.createElement("canvas")
  canvas.width = width
  canvas.height = height
  canvas.getContext("2d")!.putImageData(image, 0, 0)
  return canvas
}
