// A volume in three planes and in 3-D, drawn by NiiVue, beside the slice that is worked on.
//
// NiiVue counts voxels in a grid of its own, so that only millimetres pass between it and the rest: the server turns
// them into slices and pixels, and masks come from the server as a volume of labels.

import type { Niivue, NVImage } from "@niivue/niivue"
import type { State } from "./state"

const LABELS_AFTER_MS = 400

export class VolumeView {
  private nv: Niivue | null = null
  private labels: NVImage | null = null
  private shownLabels = ""
  private shownPlace = ""
  private loadingLabels = 0
  private asking = false
  private arriving: Promise<void> = Promise.resolve()
  private inside = true
  private waiting: number[] | null = null
  private lib: typeof import("@niivue/niivue") | null = null

  constructor(
    private readonly canvas: HTMLCanvasElement, private readonly state: State,
    private readonly fail: (error: unknown) => void, private readonly signal: AbortSignal,
  ) {}

  async open(): Promise<void> {
    const [lib, volume] = await Promise.all([import("@niivue/niivue"), this.state.server.file("volume.nii.gz")])
    if (this.signal.aborted) return
    this.lib = lib
    const nv = new lib.Niivue({
      backColor: [0.04, 0.055, 0.075, 1], crosshairColor: [1, 0.83, 0.29, 0.8], crosshairWidth: 0.6, textHeight: 0.05,
      isRadiologicalConvention: true, sagittalNoseLeft: true, dragAndDropEnabled: false, logLevel: "error",
      multiplanarLayout: lib.MULTIPLANAR_TYPE.GRID, multiplanarShowRender: lib.SHOW_RENDER.ALWAYS, isNearestInterpolation: true,
      viewModeHotKey: "", clipPlaneHotKey: "", cycleClipPlaneHotKey: "", loadingText: "",
    })
    await nv.attachToCanvas(this.canvas)
    nv.setSliceType(lib.SLICE_TYPE.MULTIPLANAR)
    nv.setMouseEventConfig({
      leftButton: { primary: lib.DRAG_MODE.crosshair },
      rightButton: lib.DRAG_MODE.windowing,
      centerButton: lib.DRAG_MODE.pan,
    })
    const image = await lib.NVImage.loadFromFile({ file: new File([volume], "volume.nii.gz") })
    image.colormapInvert = this.state.grey?.inverted ?? false
    nv.addVolume(image)
    this.nv = nv
    nv.onLocationChange = (said) => {
      const { mm } = said as { mm: number[] }
      this.waiting = [mm[0]!, mm[1]!, mm[2]!]
      if (!this.asking) this.arriving = this.go()
    }
    nv.onIntensityChange = (image) => {
      if (this.state.grey) this.state.grey = { ...this.state.grey, low: image.cal_min!, high: image.cal_max! }
      this.state.changed()
    }
    this.canvas.addEventListener("dblclick", (event) => void this.point(!event.shiftKey), { signal: this.signal })
    this.canvas.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return
      void this.point(!event.shiftKey)
      event.preventDefault()
    }, { signal: this.signal })
    this.signal.addEventListener("abort", () => nv.cleanup())
    this.state.on(() => this.update())
    this.update()
    this.canvas.dataset.ready = "yes"
  }

  /** A point prompt where the lines cross. */
  private async point(positive: boolean): Promise<void> {
    await this.arriving
    if (this.inside) void this.state.prompt(() => ({ point: this.state.spot, positive }))
  }

  /** The lines were moved: show the slice they are on. The newest place counts while the server answers. */
  private async go(): Promise<void> {
    if (!this.state.source.affine) return
    this.asking = true
    try {
      while (this.waiting) {
        const asked: number[] = this.waiting
        this.waiting = null
        const place = (await this.state.server.locate([asked]))[0]!
        this.inside = place.inside
        if (!place.inside) continue
        this.state.spot = [place.x, place.y]
        this.state.goTo(place.frame)
        this.shownPlace = this.placeNow
        this.state.changed()
      }
    } catch (error) {
      this.fail(error)
    } finally {
      this.asking = false
    }
  }

  private get placeNow(): string { return `${this.state.frame} ${this.state.spot}` }

  private update(): void {
    const { nv, state } = this
    const image = nv?.volumes[0]
    if (!nv || !image) return
    const affine = state.source.affine
    if (affine && this.shownPlace !== this.placeNow && !this.asking) {
      this.shownPlace = this.placeNow
      this.inside = true
      const [x, y] = state.spot
      const mm = affine.slice(0, 3).map((row) => row[0]! * state.frame + row[1]! * (y - 0.5) + row[2]! * (x - 0.5) + row[3]!)
      nv.scene.crosshairPos = nv.mm2frac([mm[0]!, mm[1]!, mm[2]!], 0, true)
      nv.drawScene()
    }
    if (state.grey && (image.cal_min !== state.grey.low || image.cal_max !== state.grey.high)) {
      image.cal_min = state.grey.low
      image.cal_max = state.grey.high
      nv.updateGLVolume()
    }
    // While masks are being made they are loaded when all are there.
    if (!state.busy) this.wantLabels()
  }

  private wantLabels(): void {
    const { state } = this
    const scores = state.objects.map((one) => [one.id, one.colour, state.scores.get(one.id)?.size ?? 0])
    const wanted = JSON.stringify([state.showMasks, scores, state.history.edits.map((edit) => edit.id), state.masksMade])
    if (wanted === this.shownLabels) return
    this.shownLabels = wanted
    clearTimeout(this.loadingLabels)
    this.loadingLabels = window.setTimeout(() => void this.loadLabels().catch(this.fail), LABELS_AFTER_MS)
  }

  private async loadLabels(): Promise<void> {
    const { nv, lib, state } = this
    if (!nv || !lib) return
    const any = state.showMasks && state.source.affine && [...state.scores.values()].some((frames) => frames.size)
    const fresh = any
      ? await lib.NVImage.loadFromFile({ file: new File([await state.server.file("masks.nii.gz")], "masks.nii.gz"), opacity: 0.6 })
      : null
    if (this.signal.aborted) return
    if (this.labels) nv.removeVolume(this.labels)
    this.labels = fresh
    if (fresh) {
      const colours = state.objects.map((one) => [1, 3, 5].map((at) => parseInt(one.colour.slice(at, at + 2), 16)))
      const channel = (at: number) => [0, ...colours.map((colour) => colour[at]!)]
      fresh.setColormapLabel({
        R: channel(0), G: channel(1), B: channel(2), A: [0, ...colours.map(() => 255)],
        I: [0, ...state.objects.map((one) => one.id)], labels: ["", ...state.objects.map((one) => one.name)],
      })
      nv.addVolume(fresh)
      nv.updateGLVolume()
    } else nv.drawScene()
    this.canvas.dataset.labels = fresh ? String(state.objects.length) : ""
  }
}
