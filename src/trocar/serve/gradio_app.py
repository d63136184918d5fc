"""The Gradio page: what `Visit` does, with a face. It listens on this machine alone and asks nothing of any other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from numpy.typing import NDArray

from trocar.formats import FORMATS
from trocar.load import load
from trocar.memory import POLICIES
from trocar.model.network import Network
from trocar.model.registry import MODELS, find_weights
from trocar.serve.errors import problem_of
from trocar.serve.visit import WAYS, Visit, Wanted

ON, BESIDE, BOX = "a point on the object", "a point beside it", "two corners of a box"
SHOW_EVERY_S = 0.4

Picture = NDArray[np.uint8]
Corner = tuple[int, int] | None


@dataclass(frozen=True)
class GradioSettings:
    """How the page is set up.

    Args:
        folder: where visits keep their files; what is in it can go when the page has ended.
        model, device: as `trocar.load` takes them; the model is offered first.
        memory: as `trocar.load_memory` takes it; offered first.
    """

    folder: Path
    model: str = "nano"
    memory: str = "recent"
    device: str | None = None


class Desk:
    """What the page's buttons do. Each answers with what is shown from then on."""

    def __init__(self, settings: GradioSettings) -> None:
        self._settings = settings
        self._networks: dict[str, Network] = {settings.model: load(settings.model, settings.device)}

    def models(self) -> list[str]:
        """The models whose weights are on this machine, the one that was asked for first."""
        names = [self._settings.model]
        for name in MODELS:
            try:
                find_weights(name)
            except FileNotFoundError:
                continue
            names.append(name)
        return list(dict.fromkeys(names))

    def open(self, files: list[str] | None, model: str, memory: str, step: float, before: Visit | None) -> Any:
        """Open what was uploaded."""
        try:
            if model not in self._networks:
                self._networks[model] = load(model, self._settings.device)
            visit = Visit(files or [], Wanted(self._networks[model], memory, int(step)), self._settings.folder)
        except Exception as error:
            raise told(error) from error
        if before is not None:
            before.close()
        source = visit.source
        rows, columns = source.geometry.size
        said = f"{len(source)} frames of {columns} x {rows} pixels. Choose a frame and click on it."
        slider = gr.Slider(0, max(visit.last, visit.step), value=0, step=visit.step, interactive=True)
        return visit, visit.picture(0), slider, said, None

    def show(self, visit: Visit | None, frame: float) -> Picture:
        """Another frame."""
        try:
            return opened(visit).picture(min(int(frame), opened(visit).last))
        except Exception as error:
            raise told(error) from error

    def click(
        self, visit: Visit | None, frame: float, object_id: float, kind: str, corner: Corner, where: gr.SelectData
    ) -> tuple[Picture, Corner, str]:
        """A click on the picture: a point, or a corner of a box."""
        try:
            here, number, name = opened(visit), int(frame), int(object_id)
            at = int(where.index[0]), int(where.index[1])
            if kind == BOX and corner is None:
                return here.picture(number, at), at, "Click on the opposite corner of the box."
            prompt = here.box(corner, at) if kind == BOX and corner else here.point(*at, kind == ON)
            here.add(prompt, number, name)
            return here.picture(number), None, f"Object {name} is prompted on frame {number}. Correct it, or track."
        except Exception as error:
            raise told(error) from error

    def undo(self, visit: Visit | None) -> tuple[int, Picture, None, str]:
        """Take the last prompt back."""
        try:
            frame = opened(visit).undo()
            return frame, opened(visit).picture(frame), None, f"The last prompt, on frame {frame}, is taken back."
        except Exception as error:
            raise told(error) from error

    def track(self, visit: Visit | None, way: str, frame: float) -> Iterator[tuple[Picture, str]]:
        """Track, showing every now and then how far it is."""
        try:
            here = opened(visit)
            began = shown = time.monotonic()
            at, done = int(frame), 0
            for at, done, total in here.track(way, int(frame)):
                if time.monotonic() - shown > SHOW_EVERY_S:
                    shown = time.monotonic()
                    rate = done / max(shown - began, 1e-3)
                    yield here.picture(at), f"{done} of {total} frames, {rate:.1f} a second. Frame {at} is shown."
            said = "Cancelled; what was made stays." if here.stop.is_set() else "Done."
            yield here.picture(int(frame)), f"{said} {done} frames in {time.monotonic() - began:.1f} s."
        except Exception as error:
            raise told(error) from error

    def cancel(self, visit: Visit | None) -> None:
        """Stop tracking after the frame under way."""
        if visit is not None:
            visit.stop.set()

    def download(self, visit: Visit | None, name: str) -> str:
        """All masks in a format."""
        try:
            return str(opened(visit).download(name))
        except Exception as error:
            raise told(error) from error


def opened(visit: Visit | None) -> Visit:
    """The visit.

    Raises:
        ValueError: nothing is open yet.
    """
    if visit is None:
        raise ValueError("nothing is open: choose files and press Open")
    return visit


def told(error: Exception) -> gr.Error:
    """What the page says of an error: input errors in their own words, as the server does."""
    problem = problem_of(error)
    return gr.Error(problem.message, print_exception=problem.kind == "internal")


def make_page(settings: GradioSettings) -> gr.Blocks:
    """The page; `gr.Blocks.launch` serves it."""
    desk = Desk(settings)
    formats = [name for name, info in FORMATS.items() if info.writes]
    memories = list(dict.fromkeys([settings.memory, *POLICIES]))
    page: gr.Blocks
    with gr.Blocks(analytics_enabled=False, title="trocar", delete_cache=(3600, 86400)) as page:
        visit = gr.State(None, delete_callback=lambda one: one and one.close())
        corner = gr.State(None)
        with gr.Row():
            with gr.Column(scale=1, min_width=260):
                files = gr.File(label="Video, volume, or the files of a folder", file_count="multiple", height=120)
                model = gr.Dropdown(desk.models(), value=settings.model, label="Model")
                memory = gr.Dropdown(memories, value=settings.memory, label="Memory", allow_custom_value=True)
                step = gr.Number(1, label="Track every n-th frame", precision=0, minimum=1)
                start = gr.Button("Open", variant="primary")
                object_id = gr.Number(1, label="Object", precision=0, minimum=1)
                another = gr.Button("Another object")
                kind = gr.Radio([ON, BESIDE, BOX], value=ON, label="A click is")
                undo = gr.Button("Undo the last prompt")
            with gr.Column(scale=3):
                image = gr.Image(label="Frame", interactive=False, buttons=[], height=520)
                frame = gr.Slider(0, 1, value=0, step=1, label="Frame", interactive=True)
                status = gr.Markdown("Choose files and press Open.")
                with gr.Row():
                    way = gr.Dropdown(list(WAYS), value="both", label="Direction")
                    track = gr.Button("Track", variant="primary")
                    cancel = gr.Button("Cancel", variant="stop")
                with gr.Row():
                    name = gr.Dropdown(formats, value="png", label="Download as")
                    make = gr.Button("Make the file")
                    file = gr.File(label="Download", height=90)
        opening = start.click(desk.open, [files, model, memory, step, visit], [visit, image, frame, status, corner])
        opening.then(lambda: 1, None, object_id)
        another.click(lambda number: int(number) + 1, object_id, object_id)
        frame.release(desk.show, [visit, frame], image)
        frame.release(lambda: None, None, corner)
        kind.change(lambda: None, None, corner)
        image.select(desk.click, [visit, frame, object_id, kind, corner], [image, corner, status])
        undo.click(desk.undo, visit, [frame, image, corner, status])
        track.click(desk.track, [visit, way, frame], [image, status], concurrency_limit=8)
        cancel.click(desk.cancel, visit, None, queue=False)
        make.click(desk.download, [visit, name], file)
    page.queue(default_concurrency_limit=8)
    return page


def launch(settings: GradioSettings, port: int, max_upload_mib: int = 16384) -> gr.Blocks:
    """Serve the page on the loopback address, in a thread of its own.

    Raises:
        OSError: the port is taken.
    """
    page = make_page(settings)
    page.launch(
        server_name="127.0.0.1",
        server_port=port,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=[],
        ssr_mode=False,
        max_file_size=f"{max_upload_mib}mb",
        allowed_paths=[str(settings.folder)],
        theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
    )
    return page
