"""`trocar bench speed`: frames per second end to end, what the time goes to, and whether memory stays flat.

A video goes through decoding, tracking and writing as `trocar segment` does it, and starts over when it ends, so that a
short file stands for an hour. One object is prompted with a box in the middle of the first frame; what it is does not
matter here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from trocar.formats import MaskOutput
from trocar.frames import Frame, FrameSource
from trocar.machine import machine_record
from trocar.memory import MemoryPolicy
from trocar.model.network import Network
from trocar.prompts import Box
from trocar.track.session import Session, SessionOptions

SETTLED = 500  # frames after which memory must not grow any more
SAMPLE_EVERY = 100


class LoopedSource:
    """A source that starts over when it ends, `frames` long; frame n is frame n modulo its length."""

    def __init__(self, source: FrameSource, frames: int) -> None:
        self.name, self.geometry, self.rate_hz = f"{source.name} (looped)", source.geometry, source.rate_hz
        self._source, self._frames = source, frames
        self.seconds = 0.0

    def __len__(self) -> int:
        return self._frames

    def __getitem__(self, index: int) -> Frame:
        start = time.perf_counter()
        frame = self._source[index % len(self._source)]
        self.seconds += time.perf_counter() - start
        return Frame(index, frame.image)


@dataclass
class Curve:
    """Resident memory in MiB while frames go by."""

    frames: list[int] = field(default_factory=list)
    resident_mb: list[float] = field(default_factory=list)

    def note(self, frame: int) -> None:
        self.frames.append(frame)
        self.resident_mb.append(round(resident_mb(), 1))

    def growth_mb(self) -> float:
        """The largest value after `SETTLED` frames less the largest up to there."""
        early = [value for frame, value in zip(self.frames, self.resident_mb, strict=True) if frame <= SETTLED]
        late = [value for frame, value in zip(self.frames, self.resident_mb, strict=True) if frame > SETTLED]
        return max(late) - max(early) if early and late else 0.0


def resident_mb() -> float:
    """Resident memory of this process now, in MiB."""
    return float(psutil.Process().memory_info().rss) / (1 << 20)


def run_speed(
    network: Network,
    memory: MemoryPolicy,
    source: FrameSource,
    frames: int,
    out: Path,
    report: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Track one object through `frames` frames of the looped source, write label maps to `out`, and report.

    Args:
        network: what tracks; its own input size is used.
        memory: the policy.
        source: what is looped.
        frames: how many frames to visit.
        out: a folder for the masks.
        report: told the number of frames done after each.
    """
    looped, curve, write = LoopedSource(source, frames), Curve(), 0.0
    session = Session(network, looped, memory, SessionOptions())
    rows, columns = source.geometry.size
    session.add(Box(columns * 0.3, rows * 0.3, columns * 0.7, rows * 0.7))
    looped.seconds = 0.0
    began = time.perf_counter()
    with MaskOutput(out, looped, ("png",)) as output:
        for masks in session.propagate():
            start = time.perf_counter()
            output.write(masks)
            write += time.perf_counter() - start
            if masks.frame % SAMPLE_EVERY == 0 or masks.frame == frames - 1:
                curve.note(masks.frame)
            report(masks.frame + 1)
        seconds = time.perf_counter() - began
    snapshots = session.snapshots.size_bytes
    session.close()
    track = seconds - looped.seconds - write
    return {
        "frames": frames,
        "frames_per_second": round(frames / seconds, 2),
        "milliseconds_per_frame": {
            part: round(1000 * value / frames, 2)
            for part, value in (("decode", looped.seconds), ("track", track), ("write", write))
        },
        "source": {"name": source.name, "frames": len(source), "size": [rows, columns]},
        "network": {"name": network.config.name, "input_px": network.config.image_size},
        "machine": machine_record(network),
        "growth_after_500_frames_mb": round(curve.growth_mb(), 1),
        "peak_resident_mb": max(curve.resident_mb),
        "snapshot_bytes_per_frame": round(snapshots / frames),
        "curve": {"frames": curve.frames, "resident_mb": curve.resident_mb},
    }


def plot_curve(figures: dict[str, Any], path: Path) -> None:
    """Draw the memory curve as a PNG; needs matplotlib, which the extra `bench` brings."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3))
    axes.plot(figures["curve"]["frames"], figures["curve"]["resident_mb"])
    top = 1.25 * max(figures["curve"]["resident_mb"])
    axes.set(xlabel="frame", ylabel="resident memory, MiB", ylim=(0, top), title=figures["network"]["name"])
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
