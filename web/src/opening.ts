// The dialog that opens something: from a project, from the server's folders, or from this computer.

import * as api from "./api"
import { bytes, element, make, tell } from "./page"

export class OpenDialog {
  private readonly dialog = element<HTMLDialogElement>("open-dialog")
  private readonly projects = element<HTMLSelectElement>("project")
  private root = ""
  private folder: string[] = []

  constructor(private readonly about: api.About, private readonly opened: (source: api.Source) => void) {
    const user = element<HTMLInputElement>("user")
    user.value = localStorage.getItem("trocar-name") ?? ""
    user.onchange = () => localStorage.setItem("trocar-name", user.value.trim())
    this.projects.onchange = () => this.guard(() => this.listKnown())
    element<HTMLFormElement>("new-project").onsubmit = (event) => {
      event.preventDefault()
      const name = element<HTMLInputElement>("project-name")
      void this.guard(async () => {
        const made = await api.createProject(name.value)
        name.value = ""
        await this.listProjects(made.id)
      })
    }
    for (const id of ["upload-files", "upload-folder"]) {
      const input = element<HTMLInputElement>(id)
      input.onchange = () => void this.guard(() => this.upload([...input.files ?? []]).finally(() => { input.value = "" }))
    }
    this.dialog.ondragover = (event) => event.preventDefault()
    this.dialog.ondrop = (event) => {
      event.preventDefault()
      const dropped = [...event.dataTransfer?.items ?? []]
      if (dropped.some((one) => one.webkitGetAsEntry()?.isDirectory)) tell("Upload a folder with the Folder button.")
      else void this.guard(() => this.upload([...event.dataTransfer?.files ?? []]))
    }
    this.root = about.roots[0] ?? ""
  }

  async show(): Promise<void> {
    if (!this.dialog.open) this.dialog.showModal()
    await this.guard(async () => {
      await this.listProjects()
      await this.listFiles()
    })
  }

  private async guard(work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (error) {
      tell(error)
    }
  }

  private async listProjects(chosen = Number(this.projects.value)): Promise<void> {
    let known = await api.projects()
    if (!known.length) known = [await api.createProject("my project")]
    this.projects.replaceChildren(...known.map((one) => new Option(one.name, String(one.id))))
    this.projects.value = String(known.some((one) => one.id === chosen) ? chosen : known[0]!.id)
    await this.listKnown()
  }

  private async listKnown(): Promise<void> {
    const known = await api.sources(Number(this.projects.value))
    element("known").replaceChildren(...known.map((one) => {
      const frames = one.kind === "volume" ? "slices" : one.kind === "images" ? "pictures" : "frames"
      return entry(one.name, `${one.frames} ${frames}`, () => this.done(one))
    }))
    if (!known.length) element("known").append(make("li", { className: "quiet" }, "Nothing yet."))
  }

  private async listFiles(): Promise<void> {
    const place = element("folder")
    const list = element("files")
    list.replaceChildren()
    place.replaceChildren()
    if (!this.about.roots.length) {
      place.append("This server offers no folders: start it with --root, or upload.")
      return
    }
    const roots = make("select", { ariaLabel: "Offered folder" }, ...this.about.roots.map((name) => new Option(name)))
    roots.value = this.root
    roots.onchange = () => {
      this.root = roots.value
      this.folder = []
      void this.guard(() => this.listFiles())
    }
    place.append(roots, ...this.folder.map((name) => ` / ${name}`))
    const go = (folder: string[]) => {
      this.folder = folder
      void this.guard(() => this.listFiles())
    }
    if (this.folder.length) {
      list.append(entry("..", "up", () => go(this.folder.slice(0, -1))))
      list.append(entry("This folder", "its pictures or DICOM files", () => this.openPath(this.folder.join("/"))))
    }
    for (const file of await api.files(this.root, this.folder.join("/"))) {
      const path = [...this.folder, file.name]
      list.append(entry(file.name, file.folder ? "folder" : bytes(file.size),
        () => (file.folder ? go(path) : this.openPath(path.join("/")))))
    }
  }

  private openPath(path: string): void {
    void this.guard(async () => this.done(await this.open({ root: this.root, path })))
  }

  private async upload(files: File[]): Promise<void> {
    const wanted = files.filter((file) => file.size && !file.name.startsWith("."))
    if (!wanted.length) return
    const bar = element<HTMLProgressElement>("uploading")
    const told = element("uploaded")
    bar.hidden = false
    try {
      const id = await api.upload(Number(this.projects.value), wanted, this.about.limits.chunk, (done, total) => {
        bar.value = done / total
        told.textContent = `${bytes(done)} of ${bytes(total)}`
      })
      told.textContent = "Opening"
      this.done(await this.open({ upload: id }))
    } finally {
      bar.hidden = true
      told.textContent = ""
    }
  }

  private open(where: Record<string, string>): Promise<api.Source> {
    return api.openSource(Number(this.projects.value), {
      ...where, plane: element<HTMLSelectElement>("plane").value, image_set: element<HTMLSelectElement>("as").value === "set",
    })
  }

  private done(source: api.Source): void {
    this.dialog.close()
    this.opened(source)
  }
}

function entry(name: string, about: string, does: () => void): HTMLLIElement {
  const button = make("button", { onclick: does }, make("span", {}, name), make("small", {}, about))
  return make("li", {}, button)
}
