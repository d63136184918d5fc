// What the page knows of one source, and the edits it makes; the server keeps all of it.

import * as api from "./api"
import { MaskStore } from "./masks"

export type Tool = "point" | "box" | "scribble" | "lasso" | "brush" | "erase"
export interface Score { score: number; prompted: boolean }

/** Masks are asked for so many frames at a time. */
const CHUNK = 64
const LEASE_RENEWED_MS = 20_000
const IDLE_MS = 300_000

/** Below this predicted IoU a frame is marked as one to look at. */
export const LOW_CONFIDENCE = 0.5

export class State {
  readonly masks = new MaskStore()
  objects: api.ObjectMessage[] = []
  history: api.History = { edits: [], undone: [] }
  scores = new Map<number, Map<number, Score>>()
  job: api.Job | null = null
  interrupted: api.Job | null = null
  lease: api.Lease = { holder: "", yours: false, seconds: 0 }
  selected = 0
  frame = 0
  range: [number, number] | null = null
  tool: Tool = "point"
  positive = true
  brush = 20
  showMasks = true
  follow = true
  grey: api.Grey | null = null
  /** Where the lines of a volume's planes cross on the frame, in pixels. */
  spot: [number, number]
  /** Counts the times that tracking ended: masks may then be others with the same prompts. */
  masksMade = 0

  private readonly listeners = new Set<() => void>()
  private readonly chunks = new Map<number, Promise<void>>()
  private readonly verbs: api.Verbs
  private editing: Promise<unknown> = Promise.resolve()
  private edited = -Infinity
  private pending = false
  private closed = false
  private ledTo = -1
  private renewing = 0

  constructor(readonly source: api.Source, private readonly fail: (error: unknown) => void) {
    this.verbs = api.verbs(source.id)
    this.spot = [source.size[1] / 2, source.size[0] / 2]
  }

  get server(): api.Verbs { return this.verbs }

  on(listener: () => void): void { this.listeners.add(listener) }

  /** Have everything that shows the state drawn anew, once. */
  changed(): void {
    if (this.pending) return
    this.pending = true
    requestAnimationFrame(() => {
      this.pending = false
      if (!this.closed) this.listeners.forEach((listener) => listener())
    })
  }

  sizeOf(frame: number): [number, number] { return this.source.sizes[frame] ?? this.source.size }

  nameOf(frame: number): string { return this.source.names[frame] ?? "" }

  get busy(): boolean { return this.job !== null }

  /** Load what the server keeps: objects, history, masks, and work under way. */
  async load(frame: number | null): Promise<void> {
    const begin = this.source.kind === "volume" ? Math.floor(this.source.frames / 2) : 0
    this.frame = Math.min(Math.max(0, frame ?? begin), this.source.frames - 1)
    await Promise.all([this.refresh(), this.need(this.frame)])
    this.selected = this.objects[0]?.id ?? 0
    if (this.source.kind === "volume") this.grey = await this.verbs.grey()
    this.lease = await this.verbs.lease()
    const newest = (await this.verbs.jobs()).find((job) => job.kind !== "export")
    if (newest && ["waiting", "running"].includes(newest.state)) this.watch(newest).catch(this.fail)
    else if (newest?.state === "interrupted" && newest.kind === "propagate") this.interrupted = newest
    this.renewing = window.setInterval(() => void this.renew(), LEASE_RENEWED_MS)
    this.changed()
  }

  close(): void {
    this.closed = true
    clearInterval(this.renewing)
    if (this.lease.yours) this.verbs.leave()
  }

  goTo(frame: number): void {
    const wanted = Math.min(Math.max(0, Math.round(frame)), this.source.frames - 1)
    if (wanted === this.frame) return
    this.frame = wanted
    void this.need(wanted)
    this.changed()
  }

  select(object: number): void {
    this.selected = object
    this.changed()
  }

  /** Prompt the selected object on this frame; the first prompt of all makes an object. `build` sees the mask shown. */
  prompt(build: (object: number) => api.Prompt | null): Promise<void> {
    const frame = this.frame
    return this.edit(async () => {
      if (!this.selected) await this.makeObject("")
      const prompt = build(this.selected)
      if (!prompt) return
      const known = this.masks.get(this.selected, frame)?.version ?? ""
      this.take(await this.verbs.prompt(this.selected, frame, prompt, known))
      await this.refresh()
    })
  }

  undo(): Promise<void> { return this.flip("undo") }

  redo(): Promise<void> { return this.flip("redo") }

  addObject(name = ""): Promise<void> { return this.edit(() => this.makeObject(name)) }

  changeObject(id: number, change: { name?: string; colour?: string }): Promise<void> {
    return this.edit(async () => {
      await this.verbs.changeObject(id, change)
      await this.refresh()
    })
  }

  removeObject(id: number): Promise<void> {
    return this.edit(async () => {
      await this.verbs.removeObject(id)
      await this.reload()
    })
  }

  /** Track, one asking after the other, and come back to this frame; where one was cancelled the next does not begin. */
  track(...asked: api.Propagating[]): Promise<void> {
    return this.edit(async () => {
      const { frame } = this
      for (const one of asked) if ((await this.watch(await this.verbs.propagate(one))) !== "finished") return
      this.goTo(frame)
    })
  }

  findClasses(names: string[]): Promise<void> {
    return this.edit(async () => {
      const { frame } = this
      await this.watch(await this.verbs.classes(names))
      this.goTo(frame)
    })
  }

  resume(job: api.Job): Promise<void> {
    return this.edit(async () => {
      this.interrupted = null
      await this.watch(await api.resumeJob(job.id))
    })
  }

  cancel(): void {
    if (this.job) api.cancelJob(this.job.id).catch(this.fail)
  }

  /** The unprompted frame with the lowest score, or the next one up when that is shown. Absent objects do not count. */
  nextWorst(): number | null {
    const worst = new Map<number, number>()
    for (const frames of this.scores.values()) {
      for (const [frame, { score, prompted }] of frames) {
        if (!prompted && score > 0) worst.set(frame, Math.min(score, worst.get(frame) ?? 1))
      }
    }
    const order = [...worst].sort((a, b) => a[1] - b[1]).map(([frame]) => frame)
    if (!order.length) return null
    // From a frame that this led to, on to the next; from any other, to the worst.
    const here = this.frame === this.ledTo ? order.indexOf(this.frame) : -1
    this.ledTo = order[(here + 1) % order.length]!
    return this.ledTo
  }

  private async makeObject(name: string): Promise<void> {
    this.selected = (await this.verbs.addObject(name)).id
    await this.refresh()
  }

  private flip(verb: "undo" | "redo"): Promise<void> {
    return this.edit(async () => {
      const known = Object.fromEntries(this.masks.at(this.frame).map((one) => [`${one.object}@${one.frame}`, one.version]))
      const answer = await this.verbs.flip(verb, known)
      this.frame = answer.frame
      this.take(answer)
      // Masks of other frames come and go with an object's only prompt.
      await this.reload()
      if (this.objects.some((one) => one.id === answer.object)) this.selected = answer.object
    })
  }

  /** Edits are made one after the other, in the order of the clicks. */
  private edit(work: () => Promise<void>): Promise<void> {
    if (this.job) {
      this.fail(new api.Refused("busy", "Tracking is under way: wait until it is done, or cancel it."))
      return Promise.resolve()
    }
    this.edited = Date.now()
    const done = this.editing.then(async () => {
      if (!this.lease.yours) await this.renew()
      await work()
    }).catch(this.fail).finally(() => this.changed())
    this.editing = done
    return done
  }

  private async renew(): Promise<void> {
    try {
      if (Date.now() - this.edited < IDLE_MS) {
        this.lease = await this.verbs.takeLease(localStorage.getItem("trocar-name") || "somebody")
      } else this.lease = await this.verbs.lease()
    } catch (error) {
      this.lease = await this.verbs.lease().catch(() => this.lease)
      if (Date.now() - this.edited < 1000) throw error
    }
    this.changed()
  }

  private take(answer: api.Answer): void {
    answer.masks.forEach((mask) => this.hear(mask))
    this.changed()
  }

  private hear(mask: api.MaskMessage): void {
    this.masks.put(mask)
    const frames = this.scores.get(mask.object) ?? new Map<number, Score>()
    this.scores.set(mask.object, frames.set(mask.frame, { score: mask.score, prompted: mask.prompted }))
  }

  private async refresh(): Promise<void> {
    const [objects, history, confidence] = await Promise.all(
      [this.verbs.objects(), this.verbs.history(), this.verbs.confidence()])
    this.objects = objects
    this.history = history
    this.scores = new Map(confidence.map((one) => {
      const prompted = new Set(one.prompted)
      return [one.object, new Map(one.frames.map((frame, at) =>
        [frame, { score: one.scores[at] ?? 0, prompted: prompted.has(frame) }]))]
    }))
    if (!objects.some((one) => one.id === this.selected)) this.selected = objects[0]?.id ?? 0
    this.changed()
  }

  private async reload(): Promise<void> {
    this.chunks.clear()
    await Promise.all([this.refresh(), this.need(this.frame)])
  }

  /** Have the masks of a frame and its neighbours. */
  private need(frame: number): Promise<void> {
    const chunk = Math.floor(frame / CHUNK)
    const known = this.chunks.get(chunk)
    if (known) return known
    const [first, last] = [chunk * CHUNK, Math.min(this.source.frames, (chunk + 1) * CHUNK) - 1]
    const loading = this.verbs.masks(first, last).then((found) => {
      if (this.chunks.get(chunk) !== loading) return
      this.masks.replace(first, last, found)
      this.changed()
    }).catch((error) => {
      this.chunks.delete(chunk)
      this.fail(error)
    })
    this.chunks.set(chunk, loading)
    return loading
  }

  private async watch(job: api.Job): Promise<api.Job["state"]> {
    this.job = job
    this.interrupted = null
    this.changed()
    const ended = await api.follow(job.id, (frame, found) => {
      found.forEach((mask) => this.hear(mask))
      // Looking for classes makes objects on the way.
      const known = new Set(this.objects.map((one) => one.id))
      if (found.some((mask) => !known.has(mask.object))) this.refresh().catch(this.fail)
      if (this.follow && this.source.kind !== "images") this.goTo(frame)
      this.changed()
    }, (told) => {
      this.job = told
      this.changed()
    })
    this.job = null
    this.masksMade++
    await this.reload()
    if (ended.state === "interrupted" && ended.kind === "propagate") this.interrupted = ended
    if (ended.state === "failed") throw new api.Refused("failed", ended.message)
    return ended.state
  }
}
