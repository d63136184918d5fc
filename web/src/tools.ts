// From what a hand does on a picture to a prompt. Places are (x, y) pixels of the original frame.

import type { Prompt } from "./api"
import { type Bits, emptyBits, makePatch } from "./masks"
import type { Tool } from "./state"

export type Place = [number, number]

/** Something being drawn: where the hand has been since it went down. */
export interface Gesture { tool: Tool; positive: boolean; path: Place[]; brush: number }

/** The mask shown where a gesture ends, and its version. */
export interface Shown { bits: Bits; version: string }

/** A drag shorter than this many pixels of the screen is a slip of the hand. */
const SLIP = 4

/** The prompt that a finished gesture makes; null where it is too small to mean anything. `zoom` is screen per pixel. */
export function promptOf(gesture: Gesture, shown: () => Shown, zoom: number): Prompt | null {
  const { tool, positive, path } = gesture
  const first = path[0]!
  const last = path[path.length - 1]!
  const reach = Math.max(...path.map(([x, y]) => Math.hypot(x - first[0], y - first[1]))) * zoom
  switch (tool) {
    case "point":
      return { point: round(last), positive }
    case "box": {
      if (Math.abs(last[0] - first[0]) * zoom < SLIP || Math.abs(last[1] - first[1]) * zoom < SLIP) return null
      const [x0, y0] = round([Math.min(first[0], last[0]), Math.min(first[1], last[1])])
      const [x1, y1] = round([Math.max(first[0], last[0]), Math.max(first[1], last[1])])
      return { box: [x0, y0, x1, y1] }
    }
    case "scribble":
      return reach < SLIP ? null : { scribble: path.map(round), positive }
    case "lasso":
    case "brush":
    case "erase": {
      if (tool === "lasso" && reach < SLIP) return null
      const { bits, version } = shown()
      const cuts = tool === "erase" || !positive
      const after: Bits = tool === "lasso" && !cuts ? emptyBits(bits.rows, bits.columns) : { ...bits, data: bits.data.slice() }
      if (tool === "lasso") fillPolygon(after, path, cuts ? 0 : 1)
      else fillStroke(after, path, gesture.brush / 2, cuts ? 0 : 1)
      return { mask: makePatch(after, bits, version) }
    }
  }
}

/** Set the pixels whose centres lie inside a polygon (even-odd rule). */
export function fillPolygon(bits: Bits, path: Place[], value: number): void {
  for (let y = 0; y < bits.rows; y++) {
    const crossings: number[] = []
    for (const [at, [x1, y1]] of path.entries()) {
      const [x2, y2] = path[(at + 1) % path.length]!
      const middle = y + 0.5
      if (y1 <= middle !== y2 <= middle) crossings.push(x1 + ((middle - y1) / (y2 - y1)) * (x2 - x1))
    }
    crossings.sort((a, b) => a - b)
    for (let at = 0; at + 1 < crossings.length; at += 2) {
      const from = Math.max(0, Math.ceil(crossings[at]! - 0.5))
      const to = Math.min(bits.columns, Math.ceil(crossings[at + 1]! - 0.5))
      if (to > from) bits.data.fill(value, y * bits.columns + from, y * bits.columns + to)
    }
  }
}

/** Set the pixels whose centres lie within `radius` of a path. */
export function fillStroke(bits: Bits, path: Place[], radius: number, value: number): void {
  for (const [at, [x2, y2]] of path.entries()) {
    const [x1, y1] = path[Math.max(0, at - 1)]!
    const [dx, dy] = [x2 - x1, y2 - y1]
    const length = dx * dx + dy * dy
    const [left, right] = [Math.min(x1, x2) - radius, Math.max(x1, x2) + radius]
    const [top, bottom] = [Math.min(y1, y2) - radius, Math.max(y1, y2) + radius]
    for (let y = Math.max(0, Math.floor(top)); y < Math.min(bits.rows, bottom); y++) {
      for (let x = Math.max(0, Math.floor(left)); x < Math.min(bits.columns, right); x++) {
        const [px, py] = [x + 0.5 - x1, y + 0.5 - y1]
        const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0
        if (Math.hypot(px - along * dx, py - along * dy) <= radius) bits.data[y * bits.columns + x] = value
      }
    }
  }
}

function round([x, y]: Place): Place { return [Math.round(x * 100) / 100, Math.round(y * 100) / 100] }
