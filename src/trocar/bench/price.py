"""What leaving work out costs: J&F with and without it, on the same clips in one run, beside the work that it spares.

Every object is prompted once, with its tight box on the first frame on which it is large enough, tracked forward and
scored on the frames after it, as in `trocar.promptable`. A choice is an economy, alone or with a memory policy and a
precision, and is held against tracking in full with SAM 2's memory. Differences are paired by object.

Three sets, none of them held out: synthetic scenes from seeds that training never draws, vocal folds patient 2 sequence
6 (hand-picked frames between which the camera jumps), and for choices that let absent objects rest a scene whose
object is away for long.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.bench.nano_card import TUNE_SEED
from trocar.bench.paired import Interval, interval
from trocar.bench.work import count_work
from trocar.datasets import Clip, read_clip
from trocar.datasets.absence_scenes import TARGET, absence_scene
from trocar.datasets.location import locate
from trocar.datasets.scenes import SCENES, scene
from trocar.frames import ArraySource
from trocar.load import load_dataset, load_memory
from trocar.machine import machine_record
from trocar.memory import MemoryPolicy
from trocar.metrics import SequenceScore
from trocar.model.network import Network
from trocar.model.precision import in_precision
from trocar.promptable import first_frames, objects_scored
from trocar.prompts import tight_box
from trocar.track.economy import said_economy
from trocar.track.entries import StepSettings
from trocar.track.session import Session, SessionOptions

OFF = "off"
FIRST_SEED = TUNE_SEED + 700  # behind those of the model card's tune split and those that `fast` was chosen with
ABSENCE = "absence"
COUNTED = 16  # frames on which operations are counted, which takes time


@dataclass(frozen=True)
class PriceOptions:
    """What is priced, and on what.

    Args:
        choices: ECONOMY[/MEMORY][@PRECISION] each, as for `said_economy`, `load_memory` and `load`.
        clips_per_kind: synthetic scenes of each kind.
        frames: of each of them.
        objects: tracked of each clip at most, those with the lowest ids.
        gap: frames for which the object of the absence scene is away.
        sets: of "scenes", "vocal folds" and "absence".
        data_folder: holds vocalfolds/; None for the folder that TROCAR_DATA names.
    """

    choices: tuple[str, ...] = (
        "off:pool=2",
        "off:pool=2,whole=0,pool_prompted=true",
        "off:pool=4",
        "off:encode_every=2",
        "off:encode_every=2,trust=0.5",
        "off:encode_every=3,trust=0.5",
        "off:absent_after=2,absent_every=4",
        "off/recent:window=3",
        "off/recent:window=1",
        "off@int8",
        "fast",
        "fast@int8",
    )
    clips_per_kind: int = 2
    frames: int = 16
    objects: int = 3
    gap: int = 50
    sets: tuple[str, ...] = ("scenes", "vocal folds", ABSENCE)
    data_folder: Path | None = None


@dataclass(frozen=True)
class Tried:
    """One choice on one clip: J&F by object, images encoded, seconds of processor time, operations of a frame."""

    j_and_f: dict[str, float]
    encoded: int
    seconds: float
    operations: int | None = None


def measure_price(
    network: Network,
    options: PriceOptions | None = None,
    report: Callable[[str, dict[str, Any]], object] = lambda doing, figures: None,
) -> dict[str, Any]:
    """Track every clip with every choice, one after the other, and compare.

    Args:
        network: what tracks.
        options: what is priced.
        report: told after each clip what is done, and the figures so far.

    Returns:
        A report that JSON takes. For every set and choice, and for "off": `j_and_f` in percent, mean over objects;
        `difference` to off in points with its 95 % interval (clips drawn with replacement; of a single clip its
        objects); a frame's `encodings`, `operations` (matrix products and convolutions, in millions, of the
        beginning of the set's first clip) and `cpu_ms`, prompts included.

    Raises:
        ValueError: a choice or a set is not known.
        FileNotFoundError: the vocal folds are not there.
    """
    options = options or PriceOptions()
    figures: dict[str, Any] = {
        "protocol": "price",
        "settings": {**asdict(options), "data_folder": None},
        "network": {"name": network.config.name, "input_px": network.config.image_size},
        "machine": machine_record(network),
        "sets": {},
    }
    networks = {OFF: network} | {choice: _network(network, choice) for choice in options.choices}
    for choice in options.choices:  # all faults before the first run
        _settings(choice)
        _memory(choice)
    if unknown := set(options.sets) - set(PriceOptions.sets):
        raise ValueError(f"there is no set {min(unknown)!r} to price on: choose of {', '.join(PriceOptions.sets)}")
    made = {name: [clip for clip in _clips(name, options) if first_frames(clip)] for name in options.sets}
    for name, clips in made.items():
        asked = [one for one in options.choices if name != ABSENCE or _settings(one).economy.absent_every > 1]
        choices = list(dict.fromkeys((OFF, *asked)))
        tried: dict[str, list[Tried]] = {choice: [] for choice in choices}
        for number, clip in enumerate(clips):
            for choice in choices:
                tried[choice].append(_try(networks[choice], clip, choice, options.objects, counted=number == 0))
            figures["sets"][name] = _compared(tried, clips)
            report(f"{name}: clip {number + 1} of {len(clips)}", figures)
    return figures


def _clips(name: str, options: PriceOptions) -> list[Clip]:
    if name == "scenes":
        return [
            scene(FIRST_SEED + 1000 * place + number, kind, options.frames)
            for place, kind in enumerate(sorted(SCENES))
            for number in range(options.clips_per_kind)
        ]
    if name == ABSENCE:
        away = absence_scene(FIRST_SEED, options.gap)
        images = np.stack([away[frame].image for frame in range(len(away))])
        labels = np.stack([away.truth(frame) == TARGET for frame in range(len(away))])
        return [Clip(away.name, images, labels.astype(np.uint8), {1: "target"})]
    folds = load_dataset("vocalfolds")
    return [read_clip(case) for case in folds.read(locate(folds.folder, options.data_folder), "tune")]


def _parts(choice: str) -> tuple[str, str, str]:
    """Economy, memory and precision, as they are said."""
    others, _, precision = choice.partition("@")
    economy, _, memory = others.partition("/")
    return economy, memory or "recent", precision


def _network(network: Network, choice: str) -> Network:
    precision = _parts(choice)[2]
    return in_precision(copy.deepcopy(network), precision) if precision else network


def _memory(choice: str) -> MemoryPolicy:
    return load_memory(_parts(choice)[1])


def _settings(choice: str) -> StepSettings:
    return StepSettings(economy=said_economy(_parts(choice)[0]))


def _try(network: Network, clip: Clip, choice: str, objects: int, counted: bool) -> Tried:
    firsts = _firsts(clip, objects)
    with _encodings(network) as encodings:
        start = time.process_time()
        found = _tracked(network, clip, choice, firsts)
        seconds = time.process_time() - start
        encoded = len(encodings)
    work = None
    if counted:
        part = Clip(clip.name, clip.images[:COUNTED], clip.labels[:COUNTED], clip.classes)
        work = count_work(lambda: _tracked(network, part, choice, _firsts(part, objects)))[0].operations
        work //= len(part.labels)
    scores: dict[str, SequenceScore] = objects_scored(clip, found, firsts)
    return Tried({name: score.j_and_f for name, score in scores.items()}, encoded, seconds, work)


def _firsts(clip: Clip, objects: int) -> dict[int, int]:
    return dict(sorted(first_frames(clip).items())[:objects])


def _tracked(network: Network, clip: Clip, choice: str, firsts: dict[int, int]) -> dict[int, NDArray[np.bool_]]:
    """(T, H, W) masks by object."""
    source, options = ArraySource(clip.images, clip.name), SessionOptions(_settings(choice))
    session = Session(network, source, _memory(choice), options)
    found = {name: np.zeros(clip.labels.shape, np.bool_) for name in firsts}
    for name, frame in firsts.items():
        session.add(tight_box(clip.labels[frame] == name), frame=frame, object_id=name)
    for masks in session.propagate() if firsts else ():
        for name, mask in masks.masks.items():
            found[name][masks.frame] = mask
    session.close()
    return found


@contextmanager
def _encodings(network: Network) -> Iterator[list[None]]:
    """A list that grows by one with each image that is encoded."""
    encode = network.encode_image
    counted: list[None] = []

    def noted(images: Any) -> Any:
        counted.append(None)
        return encode(images)

    object.__setattr__(network, "encode_image", noted)
    try:
        yield counted
    finally:
        object.__delattr__(network, "encode_image")


def _compared(tried: dict[str, list[Tried]], clips: Sequence[Clip]) -> dict[str, Any]:
    done = len(tried[OFF])
    frames = sum(len(clip.labels) for clip in clips[:done])
    choices = {}
    for choice, runs in tried.items():
        gains = [
            np.array([100 * (run.j_and_f[name] - off.j_and_f[name]) for name in off.j_and_f])
            for run, off in zip(runs, tried[OFF], strict=True)
        ]
        choices[choice] = {
            "j_and_f": round(float(np.mean([100 * one for run in runs for one in run.j_and_f.values()])), 2),
            "difference": {name: round(value, 2) for name, value in asdict(_difference(gains)).items()},
            "encodings": round(sum(run.encoded for run in runs) / frames, 3),
            "operations": round((runs[0].operations or 0) / 1e6, 1),
            "cpu_ms": round(1000 * sum(run.seconds for run in runs) / frames, 1),
        }
    objects = sum(len(run.j_and_f) for run in tried[OFF])
    return {"clips": done, "frames": frames, "objects": objects, "choices": choices}


def _difference(gains: Sequence[NDArray[np.float64]]) -> Interval:
    """The mean over objects; clips are drawn, or of a single one its objects."""
    drawn = [gain for gain in gains if len(gain)]
    if len(drawn) == 1:
        drawn = [drawn[0][place : place + 1] for place in range(len(drawn[0]))]
    return interval(lambda _, picks: float(np.concatenate([drawn[at] for at in picks]).mean()), (1, len(drawn)))


def price_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """The figures as rows of a table, the work of a frame as a share of what it is with nothing left out."""
    rows = []
    for name, one in figures["sets"].items():
        off = one["choices"][OFF]
        for choice, found in one["choices"].items():
            gain = found["difference"]
            rows.append(
                {
                    "set": name,
                    "choice": choice,
                    "J&F": found["j_and_f"],
                    "difference": ""
                    if choice == OFF
                    else f"{gain['mean']:+.2f} ({gain['low']:+.2f}, {gain['high']:+.2f})",
                    "encodings": found["encodings"],
                    "operations": round(found["operations"] / off["operations"], 3),
                    "CPU time": round(found["cpu_ms"] / off["cpu_ms"], 3),
                }
            )
    return rows


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return "\n".join(lines + ["| " + " | ".join(str(row[column]) for column in columns) + " |" for row in rows])
