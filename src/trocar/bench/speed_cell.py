"""One cell of `trocar bench speed`: frames a second from file to file, what each stage of a frame takes, and memory.

A video goes through decoding, tracking and writing as `trocar segment` does it. A second run of the same, with all of a
frame's stages one after the other, says where the time goes. A cell runs in a process of its own, so that its peak
memory is its own.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

import trocar.track.session as sessions
from trocar.bench.looped import LoopedSource
from trocar.bench.speed_floor import floor_figures, machine_rates
from trocar.bench.work import Work, count_work
from trocar.formats import MaskOutput, open_source
from trocar.frames import FrameSource
from trocar.load import load, load_memory
from trocar.machine import load_average, machine_record, peak_memory_mb
from trocar.model.network import Network
from trocar.model.precision import in_precision
from trocar.model.registry import model_info
from trocar.prompts import Box
from trocar.threads import SAID, WAIT
from trocar.track.economy import said_economy
from trocar.track.entries import StepSettings
from trocar.track.features import NetworkInput
from trocar.track.session import Session, SessionOptions

PRESENCE = 5.0  # added to an untrained network's presence logit: its object is there, as it mostly is
PARTS: tuple[tuple[Any, str, str], ...] = (
    (NetworkInput, "pixels", "resize"),
    (Network, "encode_image", "encode"),
    (Network, "project_memory", "memory attention"),
    (Network, "attend", "memory attention"),
    (Network, "decode", "decode masks"),
    (Network, "encode_memory", "encode memory"),
    (sessions, "frame_masks", "to frame"),
    (LoopedSource, "__getitem__", "read video"),
    (MaskOutput, "write", "write"),
)
"""What is timed as which stage; the rest of a frame is the loop itself, the policy, and snapshots."""
REST = "rest"
COUNTED = 4  # frames whose work is counted: where frames are left out, one alone would not do


@dataclass(frozen=True)
class Cell:
    """What is measured.

    Args:
        model: a name of `trocar models`, or a weights file.
        side: of the network's input in pixels; 0 for its own.
        objects: how many are tracked.
        memory: see `load_memory`.
        device: "cpu", "cuda" or "mps".
        precision: see `load`.
        economy: see `said_economy`; "off" is exact.
        threads: of each operation; 0 leaves it to the rule of `trocar/threads.py`.
        wait: how threads wait for one another: "passive" sleeps, "active" spins for ever, "default" is what OpenMP does
            where nothing is said; "rule" leaves it to that rule too.
        ahead: whether the next frame is read and encoded beside the tracking, as `trocar segment` does it; stages are
            always measured one after the other.
    """

    model: str
    side: int
    objects: int
    memory: str
    device: str
    precision: str = "fp32"
    economy: str = "off"
    threads: int = 0
    wait: str = "rule"
    ahead: bool = True


@dataclass(frozen=True)
class How:
    """How cells are measured.

    Args:
        video: a file that is looped.
        boxes: (x0, y0, x1, y1) of objects on its first frame, in pixels; used again from the first where there are
            more objects.
        frames: how many count.
        warm_up: how many go before them; from the 17th on windows and pointers are full.
        random_weights: take the model's sizes and draw its weights.
    """

    video: str
    boxes: tuple[tuple[float, float, float, float], ...]
    frames: int
    warm_up: int
    random_weights: bool

    def prompts(self, objects: int) -> list[Box]:
        """A box for each object."""
        return [Box(*self.boxes[number % len(self.boxes)]) for number in range(objects)]


@dataclass
class Laps:
    """Milliseconds of each frame, on the clock on the wall and of all the process's processors together."""

    wall_ms: list[float] = field(default_factory=list)
    processor_ms: list[float] = field(default_factory=list)

    def spread(self, skip: int = 0) -> dict[str, Any]:
        """Mean, median and quartiles without the first `skip`."""
        return {"wall_ms": spread(self.wall_ms[skip:]), "processor_ms": spread(self.processor_ms[skip:])}


class Stopwatch:
    """Tells stages apart; what a stage calls that is a stage itself is taken off it.

    Args:
        device: waited for at the ends of a stage.
    """

    def __init__(self, device: torch.device) -> None:
        self.stages: dict[str, Laps] = {name: Laps() for name in (*(part[2] for part in PARTS), REST)}
        self._device = device
        self._inside: list[list[float]] = []  # what the stages inside each open one have taken
        self._frame: dict[str, list[float]] = {}

    def timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        """The same call, whose time goes to a stage."""

        def watched(*arguments: Any, **named: Any) -> Any:
            began = clocks(self._device)
            self._inside.append([0.0, 0.0])
            try:
                return call(*arguments, **named)
            finally:
                taken = [after - before for after, before in zip(clocks(self._device), began, strict=True)]
                inside = self._inside.pop()
                own = self._frame.setdefault(stage, [0.0, 0.0])
                for which in (0, 1):
                    own[which] += taken[which] - inside[which]
                    if self._inside:
                        self._inside[-1][which] += taken[which]

        return watched

    def lap(self, wall_s: float, processor_s: float) -> None:
        """A frame is done that took this long in all."""
        known = [sum(taken[which] for taken in self._frame.values()) for which in (0, 1)]
        self._frame[REST] = [wall_s - known[0], processor_s - known[1]]
        for name, laps in self.stages.items():
            wall, processor = self._frame.get(name, (0.0, 0.0))
            laps.wall_ms.append(1000 * wall)
            laps.processor_ms.append(1000 * processor)
        self._frame = {}


@contextmanager
def waiting(wait: str) -> Iterator[None]:
    """What is started meanwhile has its threads wait in this way."""
    before = os.environ.copy()
    if wait != "rule":
        for name in SAID:
            os.environ.pop(name, None)
        if wait != "default":
            os.environ[WAIT] = wait
    try:
        yield
    finally:
        for name in SAID:
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]


def clocks(device: torch.device) -> tuple[float, float]:
    """Seconds on the clock and of the process's processors, after all that the device still had to do."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter(), time.process_time()


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, median and quartiles, as JSON takes them."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    figures = {"mean": statistics.fmean(values), "median": middle, "q25": low, "q75": high}
    return {name: round(value, 3) for name, value in figures.items()}


def measure_cell(cell: Cell, how: How) -> dict[str, Any]:
    """Run one cell in this process.

    Raises:
        ValueError, FileNotFoundError: its names or files are wrong, as their loaders say.
    """
    load_at_start = load_average()[0]
    if cell.threads:
        torch.set_num_threads(cell.threads)
    network = cell_network(cell, how)
    device = next(network.parameters()).device
    source = open_source(how.video)
    laps, present = _end_to_end(cell, how, network, source)
    whole = laps.spread(how.warm_up)
    host, on_device = peak_memory_mb(), _device_peak_mb(device)
    stages, work = _stages(cell, how, network, source)
    frame = {name: sum(one.spread(how.warm_up)[name]["mean"] for one in stages.values()) for name in laps.spread()}
    encoded = stages["encode"].wall_ms[how.warm_up :]
    rates = machine_rates(device, next(network.parameters()).dtype)
    taken = frame["wall_ms" if device.type == "cuda" else "processor_ms"]
    return {
        **asdict(cell),
        "side": cell.side or network.config.image_size,
        "weights": "drawn" if how.random_weights else "trained",
        "frames": how.frames,
        "warm_up": how.warm_up,
        "frames_per_second": round(1000 / whole["wall_ms"]["mean"], 2),
        "end_to_end": whole,
        "stages": {name: one.spread(how.warm_up) for name, one in stages.items()},
        "peak_host_mb": round(host, 1),
        "peak_device_mb": on_device,
        "objects_present": round(present, 3),
        "frames_encoded": round(sum(taken > 0 for taken in encoded) / len(encoded), 3),
        "floor": floor_figures(work, COUNTED, network, rates, taken),
        "machine": {**machine_record(network), "wait": os.environ.get(WAIT), "load": load_at_start},
    }


def cell_network(cell: Cell, how: How) -> Network:
    """The cell's network, where and as precise as it asks."""
    if not how.random_weights:
        return load(cell.model, cell.device, cell.precision)
    torch.manual_seed(0)
    config = model_info(cell.model).config
    network = Network(replace(config, image_size=cell.side or config.image_size)).to(cell.device).eval()
    with torch.no_grad():
        network.mask_decoder.object_head.get_parameter("layers.2.bias").add_(PRESENCE)
    return in_precision(network, cell.precision)


def cell_session(cell: Cell, how: How, network: Network, source: FrameSource, ahead: bool) -> Session:
    """A session with the cell's objects prompted on the first frame, as `trocar segment` makes it."""
    settings = StepSettings(economy=said_economy(cell.economy))
    options = SessionOptions(settings, cell.side or None, snapshots_kept=1, ahead=ahead)
    session = Session(network, source, load_memory(cell.memory), options)
    for number, box in enumerate(how.prompts(cell.objects), start=1):
        session.add(box, object_id=number)
    return session


def _end_to_end(cell: Cell, how: How, network: Network, source: FrameSource) -> tuple[Laps, float]:
    """Each frame of the run that counts, and on how many of them objects were there."""
    looped = LoopedSource(source, how.warm_up + how.frames)
    device = next(network.parameters()).device
    laps, present = Laps(), 0
    with _tracked(cell, how, network, looped, cell.ahead) as (session, output):
        before = clocks(device)
        for masks in session.propagate():
            output.write(masks)
            present += sum(bool(mask.any()) for mask in masks.masks.values())
            before = _lap(laps, before, device, last=masks.frame == len(looped) - 1)
    return laps, present / (len(looped) * cell.objects)


def _lap(laps: Laps, before: tuple[float, float], device: torch.device, last: bool) -> tuple[float, float]:
    """Note a frame. The device is not waited for, as nobody does, but at the end."""
    after = clocks(device if last else torch.device("cpu"))
    laps.wall_ms.append(1000 * (after[0] - before[0]))
    laps.processor_ms.append(1000 * (after[1] - before[1]))
    return after


def _stages(cell: Cell, how: How, network: Network, source: FrameSource) -> tuple[dict[str, Laps], Work]:
    """What the stages of each frame take, and the work that `COUNTED` frames more ask for."""
    looped = LoopedSource(source, how.warm_up + how.frames + COUNTED)
    device = next(network.parameters()).device
    watch = Stopwatch(device)
    with _tracked(cell, how, network, looped, ahead=False) as (session, output):
        masks = session.propagate()
        with _watched(watch):
            for _ in range(how.warm_up + how.frames):
                before = clocks(device)
                output.write(next(masks))
                after = clocks(device)
                watch.lap(after[0] - before[0], after[1] - before[1])
        work, _ = count_work(lambda: [next(masks) for _ in range(COUNTED)])
    return watch.stages, work


@contextmanager
def _watched(watch: Stopwatch) -> Iterator[None]:
    """All parts of a frame under the watch."""
    with ExitStack() as stack:
        for owner, name, stage in PARTS:
            original = getattr(owner, name)
            stack.callback(setattr, owner, name, original)
            setattr(owner, name, watch.timed(original, stage))
        yield


@contextmanager
def _tracked(
    cell: Cell, how: How, network: Network, source: FrameSource, ahead: bool
) -> Iterator[tuple[Session, MaskOutput]]:
    """A session and where its masks go, both gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
        session = cell_session(cell, how, network, source, ahead)
        try:
            with MaskOutput(Path(folder) / "out", source, ("png",)) as output:
                yield session, output
        finally:
            session.close()


def _device_peak_mb(device: torch.device) -> float | None:
    return round(torch.cuda.max_memory_allocated(device) / (1 << 20), 1) if device.type == "cuda" else None
