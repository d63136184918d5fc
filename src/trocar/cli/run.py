"""One run over one source: prompts in, masks on disk, and a record of what happened. `segment` and `demo` share it."""

from __future__ import annotations

import json
import platform
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from trocar.cli.class_prompts import DEFAULT, class_prompter, found_objects
from trocar.cli.volume import VolumeRequest, volume_run
from trocar.formats import MaskOutput, write_run_record
from trocar.frames import Frame, FrameSource
from trocar.masks import FrameMasks, tidied
from trocar.prompts import PlacedPrompt, prompts_to_json

if TYPE_CHECKING:
    from trocar.memory import MemoryPolicy
    from trocar.model.network import Network
    from trocar.track.session import Session
    from trocar.track.volume import VolumeRun

STATE = "state"  # snapshots and the request of an unfinished run, inside the output folder
REQUEST = "request.json"
SNAPSHOTS = 1  # kept of each direction: a run is not corrected, it only goes on from the newest
CLASSES = 3  # likeliest classes of an object that the record names


@dataclass(frozen=True)
class Request:
    """What a run is asked to do; a resumed run must ask for the same. `memory` is a spec of `load_memory`,
    `economy` one of `said_economy`, `opened` the keywords of `open_source`, `classes` what is looked for by the class
    model of that name or file."""

    source: str
    model: str = "nano"
    memory: str = "recent"
    opened: Mapping[str, Any] = field(default_factory=dict)
    direction: Literal["forward", "backward", "both"] = "both"
    non_overlap: bool = False
    image_size: int | None = None
    fill_holes_px: int = 0
    remove_specks_px: int = 0
    init_model: str | None = None
    volume: VolumeRequest | None = None
    classes: list[str] | None = None
    class_model: str | None = None
    snapshot_every: int = 32
    seed: int = 0
    precision: str = "fp32"
    economy: str = "off"


@dataclass(frozen=True)
class Output:
    """Where the masks go, as what, and whether an interrupted run is taken up."""

    folder: Path
    formats: tuple[str, ...] = ("png",)
    resume: bool = False


class TimedSource:
    """A source that notes how long its frames take to decode, and how long of it the thread that tracks waits."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self.name, self.geometry, self.rate_hz = source.name, source.geometry, source.rate_hz
        self._tracking = threading.get_ident()
        self.start()

    def start(self) -> None:
        """Count from here on."""
        self.seconds = self.waited = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)  # what else it says of itself: whether it is ordered, its frames' sizes

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Frame:
        start = time.perf_counter()
        frame = self._source[index]
        taken = time.perf_counter() - start
        self.seconds += taken
        self.waited += taken if threading.get_ident() == self._tracking else 0.0
        return frame


class Clock:
    """Where the time of a run goes: the loop (decoding, tracking, writing masks), then what is made at the end.

    On the way it notes what each object was taken for, where the network says so.
    """

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._loop: float | None = None
        self._writing = 0.0
        self._classes: dict[int, dict[str, float]] = {}  # object -> class -> sum over its frames
        self._seen: Counter[int] = Counter()
        self.frames = 0

    def write(self, writer: MaskOutput, masks: FrameMasks) -> None:
        """Write one frame and note what it took."""
        start = time.perf_counter()
        writer.write(masks)
        self._writing += time.perf_counter() - start
        self.frames += 1
        for name, chances in masks.classes.items():
            sums = self._classes.setdefault(name, {})
            for one, chance in chances.items():
                sums[one] = sums.get(one, 0.0) + chance
            self._seen[name] += 1

    def classes(self, network: Network) -> dict[str, Any]:
        """Each object's likeliest classes by their mean probability over the frames, and what they were learned from;
        the temperature is 1 where it was not fitted.

        Nothing for a network that says no classes.
        """
        semantic = network.config.semantic
        if semantic is None:
            return {}
        said = {}
        for name, sums in sorted(self._classes.items()):
            means = {one: total / self._seen[name] for one, total in sums.items()}
            likeliest = sorted(means, key=lambda one: -means[one])[:CLASSES]
            said[str(name)] = {one: round(means[one], 4) for one in likeliest}
        return {"classes": said, "class_text": semantic.text, "class_temperature": semantic.temperature}

    def stop_loop(self) -> None:
        """All frames are tracked and written; overlays, volumes and documents follow."""
        self._loop = time.perf_counter() - self._began

    def figures(self, source: TimedSource) -> dict[str, Any]:
        """The part of the run's record that clocks know; frames per second are end to end.

        What is decoded beside the tracking counts in both.
        """
        total = time.perf_counter() - self._began
        loop = total if self._loop is None else self._loop
        seconds = {
            "decode": source.seconds,
            "track": loop - source.waited - self._writing,
            "write": self._writing,
            "finish": total - loop,
        }
        return {
            "status": "interrupted" if self._loop is None else "finished",
            "frames_tracked": self.frames,
            "frames_per_second": round(self.frames / loop, 2),
            "seconds": {part: round(value, 3) for part, value in seconds.items()},
        }


def run(
    request: Request,
    source: FrameSource,
    prompts: list[PlacedPrompt],
    output: Output,
    device: str | None = None,
    show: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Segment and track, write the output, and return the record that also goes to run.json.

    `show` is told what is done, of how many frames and how many they are; None draws bars.

    Raises:
        ValueError: nothing was prompted, a prompt does not fit, or `resume` finds no unfinished run of this request.
        KeyboardInterrupt: after all finished frames are on disk.
    """
    from trocar.load import load, load_memory

    asked = _asked(request, prompts)
    network, memory = load(request.model, device, request.precision), load_memory(request.memory)
    timed = TimedSource(source)
    state = output.folder / STATE
    if output.resume:
        _check_same(state, asked)
    session = _session(request, network, timed, memory, state)
    for placed in _first_masks(request, timed, prompts, device):
        session.add(placed.prompt, frame=placed.frame, object_id=placed.object_id)
    # From here on the request is known to be good; nothing was written before.
    with nullcontext(show) if show else progress_bars() as tell:
        writer = MaskOutput(output.folder, source, output.formats, output.resume, tell)
        if not output.resume:
            shutil.rmtree(state, ignore_errors=True)
            write_run_record(state / REQUEST, asked)
        timed.start()  # decoding for the prompts is not part of tracking
        clock = Clock()
        record = asked | _circumstances(source, request.image_size or network.config.image_size)
        try:
            frames, total, doing = _frames(session, request, output.resume, tell)
            with writer:
                for masks in frames:
                    clock.write(writer, tidied(masks, request.fill_holes_px, request.remove_specks_px))
                    tell(doing, clock.frames, total)
                clock.stop_loop()
        except KeyboardInterrupt:
            done = f"{len(writer.done)} finished frames are in {output.folder}; go on with --resume"
            raise KeyboardInterrupt(done) from None
        finally:
            record |= clock.figures(timed) | clock.classes(network) | _left_by(session, request)
            write_run_record(output.folder / "run.json", record)
    record["outputs"] = [str(path) for path in writer.paths]
    write_run_record(output.folder / "run.json", record)
    session.close()
    shutil.rmtree(state)
    return record


def _asked(request: Request, prompts: list[PlacedPrompt]) -> dict[str, Any]:
    """What is kept of a request, with every knob's value in the place of names."""
    from trocar.load import memory_settings
    from trocar.track.economy import said_economy

    if not prompts and not request.classes and not (request.volume and request.volume.boxes):
        raise ValueError("nothing is prompted: give --box, --point, --mask, --class or --prompts")
    resolved = {"memory": memory_settings(request.memory), "economy": asdict(said_economy(request.economy))}
    return {"request": asdict(request) | resolved, "prompts": json.loads(prompts_to_json(prompts))}


def _left_by(session: Session | VolumeRun, request: Request) -> dict[str, Any]:
    """What was found, and what the run took of memory and disk."""
    from trocar.machine import peak_memory_mb

    return found_objects(session, request.classes) | {
        "peak_memory_mb": round(peak_memory_mb()),
        "snapshot_bytes": session.disk_bytes,
        "replayed_frames_at_most": request.snapshot_every - 1,
    }


def _session(
    request: Request, network: Network, source: FrameSource, memory: MemoryPolicy, state: Path
) -> Session | VolumeRun:
    """Who takes the prompts and tracks: a session, or a run of its own for more of a volume than slices in a plane."""
    from trocar.track.economy import said_economy
    from trocar.track.entries import StepSettings
    from trocar.track.session import Session, SessionOptions

    economy = said_economy(request.economy)
    settings = StepSettings(non_overlap=request.non_overlap, seed=request.seed, economy=economy)
    prompter = None
    if request.classes:
        prompter = class_prompter(network, request.classes, request.class_model or DEFAULT, request.image_size)
    if request.volume is not None:
        work = (settings, request.image_size, state)
        return volume_run(request.volume, request.opened["plane"], network, source, memory, work)
    options = SessionOptions(settings, request.image_size, request.snapshot_every, state, SNAPSHOTS, ahead=True)
    return Session(network, source, memory, options, prompter=prompter)


def _first_masks(
    request: Request, source: FrameSource, prompts: list[PlacedPrompt], device: str | None
) -> list[PlacedPrompt]:
    """The prompts, or what another model makes of them."""
    from trocar.load import load
    from trocar.track.initial import initial_masks

    return initial_masks(load(request.init_model, device), source, prompts) if request.init_model else prompts


def _frames(
    session: Session | VolumeRun, request: Request, resume: bool, show: Callable[[str, int, int], None]
) -> tuple[Iterator[FrameMasks], int, str]:
    """The masks, how many frames they are of, and what is done while they are taken."""
    from trocar.track.session import Session

    if isinstance(session, Session):
        propagation = session.propagate(request.direction, resume=resume)
        return propagation, len(propagation), "tracking"
    session.track(show, resume)
    return session.masks(), len(session), "writing"


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


def _circumstances(source: FrameSource, side: int) -> dict[str, Any]:
    import torch

    from trocar import __version__

    return {
        "source": {"name": source.name, "frames": len(source), "size": list(source.geometry.size)},
        "preparation": getattr(source, "preparation", {}),
        "network_input": side,
        "versions": {"trocar": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "machine": {"system": platform.platform(), "threads": torch.get_num_threads()},
    }


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} fps" if speed else "- fps")


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars on stderr with frames per second and time left; gives show(what, done, total)."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done)

        yield show
