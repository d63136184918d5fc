"""One visitor's work on the Gradio page: a source, its session, and the masks so far, which are kept on disk.

Nothing grows with the length of a video: frames are decoded as they are asked for, masks go to a journal, and what is
downloaded is written from there.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.formats import FORMATS, MaskOutput, open_source
from trocar.formats.overlay import draw_overlay
from trocar.formats.rle import MaskJournal
from trocar.frames import Frame, FrameSource
from trocar.load import load_memory
from trocar.masks import FrameMasks, joined
from trocar.model.network import Network
from trocar.prompts import Box, Point, Prompt
from trocar.serve.exports import check_format
from trocar.serve.pictures import scaled
from trocar.serve.safety import check_files
from trocar.serve.settings import Limits
from trocar.track.order import SIGNS
from trocar.track.session import Session, SessionOptions

MODEL = threading.Lock()
"""Held for one frame at a time: visitors share the networks, and nobody waits for more than a frame of another's."""

MOST_COLUMNS = 1280
"""Wider frames are shown smaller; clicks are brought back to the frame's own pixels."""

WAYS = ("both", "forward", "backward", "forward from this frame", "backward from this frame")


class EveryNth:
    """Every n-th frame of a source, numbered from 0 again.

    Args:
        source: the whole source.
        step: how many frames to go on.

    Raises:
        ValueError: the step is below 1.
    """

    def __init__(self, source: FrameSource, step: int) -> None:
        if step < 1:
            raise ValueError(f"{step} is no number of frames to go on: give a whole number from 1 on")
        self._source, self.step = source, step
        self.name, self.geometry = source.name, source.geometry
        self.rate_hz = None if source.rate_hz is None else source.rate_hz / step

    def __len__(self) -> int:
        return -(-len(self._source) // self.step)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {len(self) - 1}")
        return replace(self._source[index * self.step], index=index)


@dataclass(frozen=True)
class Wanted:
    """How a source is worked on.

    Args:
        network: as `trocar.load` gives it.
        memory: as `trocar.load_memory` takes it.
        step: only every n-th frame is tracked.
    """

    network: Network
    memory: str = "recent"
    step: int = 1


class Visit:
    """A source that a visitor opened. All frame numbers are the source's own.

    Args:
        paths: the file, or the files of a folder: slices of a DICOM series, pictures that follow one another.
        wanted: how it is worked on.
        parent: the folder in which this visit gets one of its own.

    Raises:
        ValueError, FileNotFoundError: it cannot be opened, or the settings do not fit.
        Refusal: a file is damaged or too large.
    """

    def __init__(self, paths: Sequence[str | Path], wanted: Wanted, parent: Path) -> None:
        if not paths:
            raise ValueError("nothing was chosen: upload a video, a volume, or the files of a folder")
        self.folder = Path(tempfile.mkdtemp(prefix="visit-", dir=parent))
        self.stop = threading.Event()
        self._tracking = False
        self._looking = threading.Lock()
        self._said: dict[int, list[tuple[int, Prompt]]] = {}
        self._before: list[tuple[int, FrameMasks | None, list[tuple[int, Prompt]]]] = []
        try:
            self._path = path = _gathered([Path(one) for one in paths], self.folder / "source")
            check_files(path, path if path.is_dir() else path.parent, Limits())
            self.source, self.step = open_source(path), wanted.step
            tracked = EveryNth(open_source(path), wanted.step)  # its own, so that looking never disturbs it
            network = wanted.network
            memory = load_memory(wanted.memory) if network.config.remembers else None
            options = SessionOptions(snapshot_folder=self.folder / "snapshots")
            self.session = Session(network, tracked, memory, options)
            self._masks = MaskJournal(self.folder / "masks.jsonl", self.source)
        except BaseException:
            self.close()
            raise

    def __deepcopy__(self, memo: object) -> Visit:
        return self  # pages copy what they keep for a visitor; this is files and a network

    @property
    def last(self) -> int:
        """The last frame that is tracked."""
        return (len(self.session.source) - 1) * self.step

    def picture(self, frame: int, corner: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """(rows, columns, 3) RGB: the frame with its masks and clicks, at most `MOST_COLUMNS` wide.

        Args:
            frame: its number.
            corner: the first corner of a box, (x, y) in pixels of the picture.
        """
        with self._looking:
            image = self.source[frame].image
            masks = self._masked(frame)
        drawn = draw_overlay(image, masks or FrameMasks(frame, {}))
        radius = max(2, round(min(drawn.shape[:2]) / 120))
        for _, prompt in self._said.get(frame, ()):
            _draw(drawn, prompt, radius)
        small = scaled(drawn, min(drawn.shape[1], MOST_COLUMNS))
        if corner is not None:
            cv2.drawMarker(small, corner, (255, 255, 0), cv2.MARKER_CROSS, 12, 2)
        return small

    def point(self, x: int, y: int, positive: bool) -> Point:
        """The click on a pixel of the picture: its middle, in pixels of the frame."""
        return Point(*self._in_frame(x + 0.5, y + 0.5), positive)

    def box(self, one: tuple[int, int], other: tuple[int, int]) -> Box:
        """The box from one pixel of the picture to another, both inside, in pixels of the frame."""
        (x0, x1), (y0, y1) = sorted((one[0], other[0])), sorted((one[1], other[1]))
        return Box(*self._in_frame(x0, y0), *self._in_frame(x1 + 1, y1 + 1))

    def add(self, prompt: Prompt, frame: int, object_id: int) -> None:
        """Prompt an object on a frame, or correct it there.

        Raises:
            ValueError: the frame is not among those that are tracked, or the prompt does not fit.
        """
        self._check_idle()
        if frame % self.step:
            raise ValueError(f"only every {self.step}th frame is tracked: prompt frame {frame - frame % self.step}")
        with MODEL:
            answer = self._numbered(self.session.add(prompt, frame=frame // self.step, object_id=object_id))
        with self._looking:
            before = self._masked(frame)
            self._before.append((frame, before, list(self._said.get(frame, ()))))
            self._masks.append(answer if before is None else joined(before, answer))
        self._said.setdefault(frame, []).append((object_id, prompt))

    def undo(self) -> int:
        """Take the last prompt back; gives its frame.

        Raises:
            ValueError: there is none.
        """
        self._check_idle()
        with MODEL:
            self.session.undo()
        frame, masks, said = self._before.pop()
        with self._looking:
            self._masks.append(masks or FrameMasks(frame, {}))
        self._said[frame] = said
        return frame

    def track(self, way: str, frame: int) -> Iterator[tuple[int, int, int]]:
        """Track all objects until the end, or until `stop` is set; what was made stays.

        Args:
            way: one of WAYS.
            frame: "this frame" of it.

        Yields:
            (the frame just done, how many are done, how many there are to do).
        """
        self._check_idle()
        self.stop.clear()
        direction, here = way.split()[0], way.endswith("this frame")
        if direction != "both" and direction not in SIGNS:
            raise ValueError(f"{way!r} is no way to track: choose one of {', '.join(WAYS)}")
        start = frame // self.step if here else None
        frames = self.session.propagate(direction, start)  # type: ignore[arg-type]  # checked above
        done, self._tracking = 0, True
        try:
            while not self.stop.is_set():
                with MODEL:
                    masks = next(frames, None)
                if masks is None:
                    return
                masks, done = self._numbered(masks), done + 1
                with self._looking:
                    before = self._masked(masks.frame) if masks.adds else None
                    self._masks.append(masks if before is None else joined(before, masks))
                yield masks.frame, done, len(frames)
        finally:
            self._tracking = False

    def download(self, name: str) -> Path:
        """All masks in a format, and give the file: a zip of it, under the source's own frame numbers.

        Raises:
            Refusal: an unknown format.
            ValueError: there are no masks, or the format cannot hold them.
        """
        check_format(name)
        folder = self.folder / "downloads" / name
        shutil.rmtree(folder, ignore_errors=True)
        with MaskOutput(folder, open_source(self._path), (name,)) as output:
            for frame in self._masks.frames:
                with self._looking:
                    masks = self._masks[frame]
                if masks.masks:
                    output.write(masks)
            if not output.done:
                raise ValueError("there are no masks to download: prompt an object first")
        made = folder / FORMATS[name].output
        if name == "overlay":
            return made
        path = folder / f"masks-{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(made.rglob("*")) if made.is_dir() else [made]:
                archive.write(file, file.relative_to(folder))
        return path

    def close(self) -> None:
        """Stop, and delete everything but the upload itself."""
        self.stop.set()
        if hasattr(self, "_masks"):
            self._masks.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _masked(self, frame: int) -> FrameMasks | None:
        there = frame in self._masks
        return self._masks[frame] if there else None

    def _numbered(self, masks: FrameMasks) -> FrameMasks:
        return replace(masks, frame=masks.frame * self.step)

    def _in_frame(self, x: float, y: float) -> tuple[float, float]:
        rows, columns = self.source.geometry.size
        scale = max(1.0, columns / MOST_COLUMNS)
        return min(x * scale, columns), min(y * scale, rows)  # the picture's height is rounded

    def _check_idle(self) -> None:
        if self._tracking:
            raise ValueError("tracking is under way: wait until it is done, or cancel it")


def _gathered(paths: list[Path], folder: Path) -> Path:
    """One file as it is; several as a folder, since each was uploaded to a place of its own."""
    if len(paths) == 1:
        return paths[0]
    folder.mkdir()
    for path in paths:
        target = folder / path.name
        if target.exists():
            raise ValueError(f"two files are called {path.name}: rename one")
        try:
            target.hardlink_to(path)
        except OSError:  # another disk
            shutil.copyfile(path, target)
    return folder


def _draw(picture: NDArray[np.uint8], prompt: Prompt, radius: int) -> None:
    if isinstance(prompt, Box):
        first, last = (round(prompt.x0), round(prompt.y0)), (round(prompt.x1) - 1, round(prompt.y1) - 1)
        cv2.rectangle(picture, first, last, (255, 255, 0), max(1, radius // 3))
    elif isinstance(prompt, Point):
        at = int(prompt.x), int(prompt.y)
        cv2.circle(picture, at, radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(picture, at, radius, (0, 160, 0) if prompt.positive else (220, 0, 0), -1, cv2.LINE_AA)
