"""One run over one source: prompts in, masks on disk, and a record of what happened. `segment` and `demo` share it."""

from __future__ import annotations

import json
import platform
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from trocar.formats import MaskOutput, write_run_record
from trocar.frames import Frame, FrameSource
from trocar.prompts import PlacedPrompt, prompts_to_json

STATE = "state"  # snapshots and the request of an unfinished run, inside the output folder
REQUEST = "request.json"


@dataclass(frozen=True)
class Request:
    """What a run is asked to do; a resumed run must ask for the same."""

    source: str
    model: str = "nano"
    memory: str = "recent"
    direction: Literal["forward", "backward", "both"] = "both"
    non_overlap: bool = False
    image_size: int | None = None
    snapshot_every: int = 32
    seed: int = 0


@dataclass(frozen=True)
class Output:
    """Where the masks go, as what, and whether an interrupted run is taken up."""

    folder: Path
    formats: tuple[str, ...] = ("png",)
    resume: bool = False


class TimedSource:
    """A source that notes how long its frames take to decode."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self.name, self.geometry, self.rate_hz = source.name, source.geometry, source.rate_hz
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Frame:
        start = time.perf_counter()
        frame = self._source[index]
        self.seconds += time.perf_counter() - start
        return frame


def run(
    request: Request, source: FrameSource, prompts: list[PlacedPrompt], output: Output, device: str | None = None
) -> dict[str, Any]:
    """Segment and track, write the output, and return the record that also goes to run.json.

    Raises:
        ValueError: nothing was prompted, a prompt does not fit, or `resume` finds no unfinished run of this request.
        KeyboardInterrupt: after all finished frames are on disk.
    """
    from trocar.load import load, load_memory
    from trocar.track.entries import StepSettings
    from trocar.track.session import Session, SessionOptions

    if not prompts:
        raise ValueError("nothing is prompted: give --box, --point, --mask or --prompts")
    network, memory = load(request.model, device), load_memory(request.memory)
    timed = TimedSource(source)
    settings = StepSettings(non_overlap=request.non_overlap, seed=request.seed)
    state = output.folder / STATE
    asked = {"request": asdict(request), "prompts": json.loads(prompts_to_json(prompts))}
    if output.resume:
        _check_same(state, asked)
    options = SessionOptions(settings, request.image_size, request.snapshot_every, state)
    session = Session(network, timed, memory, options)
    for placed in prompts:
        session.add(placed.prompt, frame=placed.frame, object_id=placed.object_id)
    # From here on the request is known to be good; nothing was written before.
    writer = MaskOutput(output.folder, source, output.formats, output.resume)
    if not output.resume:
        shutil.rmtree(state, ignore_errors=True)
        write_run_record(state / REQUEST, asked)
    timed.seconds = 0.0  # decoding for the prompts is not part of tracking
    record = _record(request, prompts, source, network.config.image_size)
    clock, done, began = {"write": 0.0}, 0, time.perf_counter()
    try:
        propagation = session.propagate(request.direction, resume=output.resume)
        with writer, progress_bar("tracking", len(propagation)) as advance:
            for masks in propagation:
                start = time.perf_counter()
                writer.write(masks)
                clock["write"] += time.perf_counter() - start
                done += 1
                advance()
            clock["loop"] = time.perf_counter() - began
    finally:
        clock["total"] = time.perf_counter() - began
        clock["decode"] = timed.seconds
        record |= _measured(clock, done, session.snapshots.size_bytes, request.snapshot_every)
        write_run_record(output.folder / "run.json", record)
    record["outputs"] = [str(path) for path in writer.paths]
    write_run_record(output.folder / "run.json", record)
    shutil.rmtree(state)
    return record


def _check_same(state: Path, asked: dict[str, Any]) -> None:
    """That the unfinished run in the output folder was asked to do the same."""
    note = state / REQUEST
    if not note.exists():
        raise ValueError(f"there is no unfinished run in {state.parent}: run without --resume")
    before = json.loads(note.read_text(encoding="utf-8"))
    differing = [name for name, value in asked["request"].items() if before["request"].get(name) != value]
    differing += ["prompts"] if before["prompts"] != asked["prompts"] else []
    if differing:
        raise ValueError(
            f"the unfinished run in {state.parent} had another {', '.join(differing)}: give the same again, or run "
            "without --resume"
        )


def _record(request: Request, prompts: list[PlacedPrompt], source: FrameSource, side: int) -> dict[str, Any]:
    import torch

    from trocar import __version__

    return {
        "request": asdict(request),
        "prompts": json.loads(prompts_to_json(prompts)),
        "source": {"name": source.name, "frames": len(source), "size": list(source.geometry.size)},
        "network_input": request.image_size or side,
        "versions": {"trocar": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": {"system": platform.platform(), "threads": torch.get_num_threads()},
    }


def _measured(clock: dict[str, float], done: int, snapshots: int, every: int) -> dict[str, Any]:
    """Frames per second are end to end: decoding, tracking and writing the masks; `finish` makes the overlay and such."""
    loop = clock.get("loop", clock["total"])
    seconds = {
        "decode": clock["decode"],
        "track": loop - clock["decode"] - clock["write"],
        "write": clock["write"],
        "finish": clock["total"] - loop,
    }
    return {
        "status": "finished" if "loop" in clock else "interrupted",
        "frames_tracked": done,
        "frames_per_second": round(done / loop, 2),
        "seconds": {part: round(value, 3) for part, value in seconds.items()},
        "peak_memory_mb": round(peak_memory_mb()),
        "snapshots": {
            "bytes_per_frame": round(snapshots / done) if done else 0,
            "replayed_frames_at_most": every - 1,
        },
    }


def peak_memory_mb() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20) if sys.platform == "darwin" else peak / 1024


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} fps" if speed else "- fps")


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Any]:
    """A bar on stderr with frames per second and time left; gives the function that advances it by one."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)
