"""`trocar bench long`: an hour of video in one run. Does memory stay flat, and does a frame keep taking what it took?

A video goes through decoding, tracking and writing as `trocar segment` does it, snapshots included, and starts over
when it ends, so that a short file stands for an hour. Boxes in a row are prompted on the first frame; what is in them
does not matter here. Time is told twice: as the clock on the wall has it, which other work on the machine stretches,
and as the process used processors.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import torch

from trocar.bench.looped import LoopedSource
from trocar.formats import MaskOutput
from trocar.frames import Frame, FrameSource
from trocar.geometry import Geometry
from trocar.machine import load_average, machine_record, resident_mb
from trocar.memory import MemoryPolicy
from trocar.model.network import Network
from trocar.prompts import Box
from trocar.track.session import Session, SessionOptions

EDGE = 10_000  # frames at either end that are compared, or a quarter of a shorter run
LOOKS = 10  # at resident memory, in each stretch of the curve
GAP = 0.2  # of a box's place in the row stays free


@dataclass(frozen=True)
class LongRun:
    """What is run.

    Args:
        frames: how many to visit; 90,000 are an hour at 25 a second.
        objects: how many are tracked.
        every: frames in a stretch of the curve.
        longer_side_px: frames are shrunk to it after they are decoded; None to leave them. Small ones keep the cost of
            drawing masks out of a run that is about something else.
        snapshots_kept: see `SessionOptions`; 1 is what `trocar segment` keeps, None what a session to correct keeps.
    """

    frames: int = 90_000
    objects: int = 1
    every: int = 1000
    longer_side_px: int | None = None
    snapshots_kept: int | None = 1

    def __post_init__(self) -> None:
        if self.every < 1 or self.objects < 1 or self.frames < 4 * self.every:
            raise ValueError(
                f"a long run needs objects >= 1, every >= 1 and frames >= 4 * every, not {self.objects} objects and "
                f"{self.frames} frames in stretches of {self.every}"
            )
        if self.longer_side_px is not None and self.longer_side_px < 16:
            raise ValueError(f"frames of {self.longer_side_px} px show nothing: give a longer side of 16 px or more")


class ShrunkSource:
    """A source whose frames are smaller.

    Args:
        source: of frames.
        longer_side_px: what becomes of the longer side; a source that is smaller stays as it is.
    """

    def __init__(self, source: FrameSource, longer_side_px: int) -> None:
        rows, columns = source.geometry.size
        scale = min(1.0, longer_side_px / max(rows, columns))
        self._source, self._size = source, (max(1, round(rows * scale)), max(1, round(columns * scale)))
        self.name, self.geometry, self.rate_hz = source.name, Geometry(self._size), source.rate_hz

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Frame:
        rows, columns = self._size
        image = cv2.resize(self._source[index].image, (columns, rows), interpolation=cv2.INTER_AREA)
        return Frame(index, image)  # type: ignore[arg-type]  # OpenCV does not say that it keeps uint8


@dataclass
class Curve:
    """What each stretch of frames took: its last frame, milliseconds a frame, and peak memory in MiB."""

    frames: list[int] = field(default_factory=list)
    wall_ms: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)
    device_mb: list[float] = field(default_factory=list)


class Watch:
    """Fills a curve while frames go by.

    Args:
        every: frames in a stretch.
        device: whose memory is noted too, where it is a GPU.
    """

    def __init__(self, every: int, device: torch.device) -> None:
        self.curve = Curve()
        self._every, self._device = every, device
        self._look = max(1, every // LOOKS)
        self._resident = 0.0
        self._begin()

    def pass_by(self, done: int) -> None:
        """Note that `done` frames are done."""
        if done % self._look == 0:
            self._resident = max(self._resident, resident_mb())
        if done % self._every:
            return
        curve = self.curve
        curve.frames.append(done)
        curve.wall_ms.append(round(1000 * (time.perf_counter() - self._wall) / self._every, 3))
        curve.processor_ms.append(round(1000 * (time.process_time() - self._processor) / self._every, 3))
        curve.resident_mb.append(round(self._resident, 2))
        if self._device.type == "cuda":
            curve.device_mb.append(round(torch.cuda.max_memory_allocated(self._device) / (1 << 20), 2))
        self._begin()

    def _begin(self) -> None:
        self._wall, self._processor, self._resident = time.perf_counter(), time.process_time(), 0.0
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)


def run_long(
    network: Network,
    memory: MemoryPolicy,
    source: FrameSource,
    out: Path,
    options: LongRun,
    report: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Track the objects through all frames, write label maps to `out`, and report. Ctrl+C ends it early.

    Returns:
        A report that JSON takes; `ends` compares the first and the last `EDGE` frames: peak memory of each and its
        ratio, and the median milliseconds a frame of the stretches in each.

    Raises:
        ValueError: more objects than the frames have columns for.
    """
    shown = source if options.longer_side_px is None else ShrunkSource(source, options.longer_side_px)
    looped = LoopedSource(shown, options.frames)
    session = Session(network, looped, memory, SessionOptions(snapshots_kept=options.snapshots_kept, ahead=True))
    for number, box in enumerate(_row_of_boxes(shown.geometry.size, options.objects), start=1):
        session.add(box, object_id=number)
    watch = Watch(options.every, next(network.parameters()).device)
    written, done, largest_snapshots = 0.0, 0, 0
    began, began_processor = time.perf_counter(), time.process_time()
    with suppress(KeyboardInterrupt), MaskOutput(out, looped, ("png",)) as output:
        for masks in session.propagate():
            start = time.perf_counter()
            output.write(masks)
            written += time.perf_counter() - start
            done += 1
            watch.pass_by(done)
            if done % options.every == 0:
                largest_snapshots = max(largest_snapshots, session.disk_bytes)
            report(done)
    seconds, processor = time.perf_counter() - began, time.process_time() - began_processor
    session.close()
    parts = (("wall", seconds), ("processor", processor), ("write", written))
    return {
        "frames": done,
        "objects": options.objects,
        "lag": memory.spec.lag,
        "source": {"name": Path(source.name).name, "frames": len(source), "size": list(source.geometry.size)},
        "tracked_size": list(shown.geometry.size),
        "network": {"name": network.config.name, "input_px": network.config.image_size},
        "machine": {**machine_record(network), "load_at_the_end": load_average()},
        "seconds": round(seconds, 1),
        "frames_per_second": round(done / seconds, 2),
        "milliseconds_per_frame": {part: round(1000 * value / max(done, 1), 3) for part, value in parts},
        "ends": _ends(watch.curve, options.every),
        "snapshots_kept": options.snapshots_kept,
        "snapshot_bytes": largest_snapshots,
        "written_bytes": sum(path.stat().st_size for path in out.rglob("*") if path.is_file()),
        "curve": vars(watch.curve),
    }


def _row_of_boxes(size: tuple[int, int], objects: int) -> list[Box]:
    """As many boxes side by side as there are objects, over the middle of the frame."""
    rows, columns = size
    width = columns / objects
    if width < 4:
        raise ValueError(f"{objects} objects do not fit side by side on {columns} columns: track fewer, or shrink less")
    return [
        Box((place + GAP / 2) * width, rows * 0.3, (place + 1 - GAP / 2) * width, rows * 0.7)
        for place in range(objects)
    ]


def _ends(curve: Curve, every: int) -> dict[str, Any]:
    """The first frames beside the last; nothing of a run that was stopped before there were both."""
    stretches = min(EDGE // every or 1, len(curve.frames) // 4)
    if stretches == 0:
        return {}
    said: dict[str, Any] = {"frames": stretches * every}
    for name, values in (("resident_mb", curve.resident_mb), ("device_mb", curve.device_mb)):
        if values:
            first, last = max(values[:stretches]), max(values[-stretches:])
            said[name] = {"first": first, "last": last, "ratio": round(last / first, 4) if first else None}
    for name, values in (("wall_ms", curve.wall_ms), ("processor_ms", curve.processor_ms)):
        said[name] = {"first": median(values[:stretches]), "last": median(values[-stretches:])}
    return said


def plot_long_run(figures: dict[str, Any], path: Path) -> None:
    """Draw memory and time over the frames as a PNG; needs matplotlib, which the extra `bench` brings."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    curve, objects = figures["curve"], figures["objects"]
    figure, (memory, times) = pyplot.subplots(2, 1, figsize=(7, 5), sharex=True)
    memory.plot(curve["frames"], curve["resident_mb"], label="host")
    if curve["device_mb"]:
        memory.plot(curve["frames"], curve["device_mb"], label="device")
        memory.legend()
    title = f"{figures['network']['name']}, {objects} object{'s' * (objects > 1)}, {figures.get('memory', 'memory')}"
    memory.set(ylabel="memory, MiB", ylim=(0, 1.25 * max(curve["resident_mb"])), title=title)
    times.plot(curve["frames"], curve["wall_ms"], color="0.75", label="on the clock")
    times.plot(curve["frames"], curve["processor_ms"], color="C1", label="of processors")
    top = max(1.5 * median(curve["wall_ms"]), 1.25 * max(curve["processor_ms"]))
    times.set(xlabel="frame", ylabel="ms a frame", ylim=(0, top))
    times.legend(loc="lower left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
