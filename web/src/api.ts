// The server's HTTP interface (docs/reference/http.md): messages as types, one function a verb.

export interface Project { id: number; name: string; sources: number }
export interface Source {
  id: number; project: number; name: string; kind: "video" | "volume" | "images"; frames: number
  size: [number, number]; sizes: [number, number][]; names: string[]; rate_hz: number | null; plane: Plane | ""
  shape: Partial<Record<Plane, [number, number, number]>>; spacing_mm: [number, number, number] | null
  affine: number[][] | null
}
export type Plane = "axial" | "coronal" | "sagittal"
export interface Patch { size: [number, number]; box: [number, number, number, number]; counts: string; base: string }
export interface MaskMessage {
  object: number; frame: number; patch: Patch; version: string; score: number; prompted: boolean
}
export interface ObjectMessage { id: number; name: string; colour: string; prompted: number[] }
export interface Prompt {
  box?: [number, number, number, number]; point?: [number, number]; scribble?: [number, number][]; mask?: Patch
  positive?: boolean
}
export interface Edit { id: number; kind: string; object: number; frame: number; prompts: Prompt[] }
export interface Answer { frame: number; object: number; masks: MaskMessage[]; undo: Edit | null; redo: Edit | null }
export interface History { edits: Edit[]; undone: Edit[] }
export interface Confidence { object: number; frames: number[]; scores: number[]; prompted: number[] }
export interface Job {
  id: number; source: number; kind: string; done: number; total: number; rate_hz: number; message: string; file: string
  state: "waiting" | "running" | "finished" | "cancelled" | "failed" | "interrupted"
}
export interface Lease { holder: string; yours: boolean; seconds: number }
export interface Located { frame: number; x: number; y: number; inside: boolean }
export interface Upload { id: string; files: { name: string; size: number; received: number }[] }
export interface Grey { low: number; high: number; inverted: boolean }
export interface About {
  version: string; model: string; remembers: boolean; formats: { name: string; about: string }[]; roots: string[]
  classes: string[]; windows: Record<string, [number, number]>; limits: { upload: number; chunk: number; body: number }
}
export interface Propagating { direction: "forward" | "backward" | "both"; start?: number; stop?: number }

/** What the server said no to; `kind` is for programs, the message for people. */
export class Refused extends Error {
  constructor(readonly kind: string, message: string) { super(message) }
}

/** Turns and leases go by this name; it stays when the page is loaded again, and another tab has another. */
const CLIENT = sessionStorage.getItem("trocar-client") ?? crypto.getRandomValues(new Uint32Array(4)).join("-")
sessionStorage.setItem("trocar-client", CLIENT)

let signIn: () => Promise<void> = () => Promise.reject(new Refused("unauthorised", "this server asks for a token"))

/** What to do when the server asks for a token: it resolves when the user has given the right one. */
export function onToken(ask: () => Promise<void>): void { signIn = ask }

export async function send(method: string, path: string, body?: BodyInit, type = "application/json"): Promise<Response> {
  const headers: Record<string, string> = { "X-Trocar-Client": CLIENT }
  if (body !== undefined) headers["Content-Type"] = type
  let response: Response
  try {
    // Numbers of sources begin anew with every project folder, so that nothing is kept from one server to the next.
    response = await fetch(path, { method, headers, body: body ?? null, cache: "no-store" })
  } catch {
    throw new Refused("unreachable", "The server does not answer. Is it running? What was acknowledged is kept.")
  }
  if (response.ok) return response
  const told = await response.json().catch(() => ({})) as { kind?: string; message?: string }
  if (told.kind === "unauthorised" && path !== "/api/login") {
    await signIn()
    return send(method, path, body, type)
  }
  throw new Refused(told.kind ?? "internal", told.message ?? `The server answered with status ${response.status}.`)
}

async function ask<T>(method: string, path: string, body?: unknown): Promise<T> {
  return await (await send(method, path, body === undefined ? undefined : JSON.stringify(body))).json() as T
}

export const login = (token: string) => send("POST", "/api/login", JSON.stringify({ token }))
export const about = () => ask<About>("GET", "/api/about")
export const files = (root: string, folder: string) => ask<{ name: string; folder: boolean; size: number }[]>(
  "GET", `/api/roots/${encodeURIComponent(root)}/files?folder=${encodeURIComponent(folder)}`)
export const projects = () => ask<Project[]>("GET", "/api/projects")
export const createProject = (name: string) => ask<Project>("POST", "/api/projects", { name })
export const sources = (project: number) => ask<Source[]>("GET", `/api/projects/${project}/sources`)
export const openSource = (project: number, asked: Record<string, unknown>) =>
  ask<Source>("POST", `/api/projects/${project}/sources`, asked)

/** Send files in chunks; `told` hears how many bytes have arrived. A chunk that failed is sent again from where it broke. */
export async function upload(
  project: number, given: File[], chunk: number, told: (done: number, total: number) => void,
): Promise<string> {
  const total = given.reduce((sum, file) => sum + file.size, 0)
  const { id } = await ask<Upload>("POST", `/api/projects/${project}/uploads`,
    { files: given.map((file) => ({ name: file.name, size: file.size })) })
  let before = 0
  for (const [index, file] of given.entries()) {
    for (let at = 0, failures = 0; at < file.size;) {
      try {
        const part = file.slice(at, at + Math.min(chunk, 4 << 20))
        const sent = await send("PUT", `/api/uploads/${id}/${index}?offset=${at}`, part, "application/octet-stream")
        at = (await sent.json() as { received: number }).received
        failures = 0
      } catch (error) {
        if (!(error instanceof Refused) || !["unreachable", "conflict"].includes(error.kind) || ++failures > 5) throw error
        await new Promise((resolve) => setTimeout(resolve, 1000 * failures))
        at = (await ask<Upload>("GET", `/api/uploads/${id}`)).files[index]?.received ?? at
      }
      told(before + at, total)
    }
    before += file.size
  }
  return id
}

/** The verbs of one source. */
export function verbs(source: number) {
  const path = `/api/sources/${source}`
  return {
    told: () => ask<Source>("GET", path),
    objects: () => ask<ObjectMessage[]>("GET", `${path}/objects`),
    addObject: (name = "") => ask<ObjectMessage>("POST", `${path}/objects`, { name }),
    changeObject: (id: number, change: { name?: string; colour?: string }) =>
      ask<ObjectMessage>("PATCH", `${path}/objects/${id}`, change),
    removeObject: (id: number) => ask<Answer>("DELETE", `${path}/objects/${id}`),
    prompt: (object: number, frame: number, prompt: Prompt, known: string) =>
      ask<Answer>("POST", `${path}/prompts`, { object, frame, prompts: [prompt], known }),
    flip: (verb: "undo" | "redo", known: Record<string, string>) => ask<Answer>("POST", `${path}/${verb}`, { known }),
    history: () => ask<History>("GET", `${path}/history`),
    masks: (first: number, last: number) => ask<MaskMessage[]>("GET", `${path}/masks?first=${first}&last=${last}`),
    confidence: () => ask<Confidence[]>("GET", `${path}/confidence`),
    propagate: (asked: Propagating) => ask<Job>("POST", `${path}/propagate`, asked),
    classes: (names: string[]) => ask<Job>("POST", `${path}/classes`, { names }),
    jobs: () => ask<Job[]>("GET", `${path}/jobs`),
    exportAs: (format: string) => ask<Job>("POST", `${path}/exports`, { format }),
    prepare: (frame: number) => send("POST", `${path}/frames/${frame}/prepare`),
    locate: (mm: number[][]) => ask<Located[]>("POST", `${path}/locate`, { mm }),
    grey: () => ask<Grey>("GET", `${path}/window`),
    lease: () => ask<Lease>("GET", `${path}/lease`),
    takeLease: (holder: string) => ask<Lease>("PUT", `${path}/lease`, { holder }),
    leave: () => void fetch(`${path}/lease?client=${CLIENT}`, { method: "DELETE", keepalive: true }).catch(() => {}),
    picture: async (frame: number, width?: number): Promise<ImageBitmap> => {
      const wanted = `${path}/frames/${frame}${width ? `?width=${width}` : ""}`
      return createImageBitmap(await (await send("GET", wanted)).blob())
    },
    values: async (plane: Plane, index: number): Promise<ArrayBuffer> =>
      (await send("GET", `${path}/slices/${plane}/${index}/values`)).arrayBuffer(),
    file: async (name: string): Promise<ArrayBuffer> => (await send("GET", `${path}/${name}`)).arrayBuffer(),
  }
}
export type Verbs = ReturnType<typeof verbs>

export const job = (id: number) => ask<Job>("GET", `/api/jobs/${id}`)
export const cancelJob = (id: number) => ask<Job>("POST", `/api/jobs/${id}/cancel`)
export const resumeJob = (id: number) => ask<Job>("POST", `/api/jobs/${id}/resume`)

/** Hear of a job until it ends: masks as they are made, progress, and the job as it ended. */
export function follow(
  id: number, masks: (frame: number, found: MaskMessage[]) => void, progress: (job: Job) => void,
): Promise<Job> {
  return new Promise((resolve) => {
    const again = () => follow(id, masks, progress).then(resolve)
    const events = new EventSource(`/api/jobs/${id}/events?client=${CLIENT}`)
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) setTimeout(() => void again(), 2000) // else the browser tries again
    })
    events.addEventListener("masks", (event) => {
      const told = JSON.parse(event.data) as { frame: number; masks: MaskMessage[] }
      masks(told.frame, told.masks)
    })
    events.addEventListener("progress", (event) => progress(JSON.parse(event.data) as Job))
    events.addEventListener("done", (event) => {
      events.close()
      resolve(JSON.parse(event.data) as Job)
    })
  })
}
