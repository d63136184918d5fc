"""What the exams of memory policies share: who sits them, the network and the pictures, and how they are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trocar.frames import ArraySource
from trocar.load import load_memory
from trocar.memory import POLICIES, MemoryPolicy
from trocar.memory.knobs import knobs_of
from trocar.memory.scripted import Answer, ScriptedTrack
from trocar.memory.seam import MemoryEntry, Visit
from trocar.model import Network, tiny_random
from trocar.track.order import Pass
from trocar.track.propagate import Outcome
from trocar.track.session import Session
from trocar.track.track import Track

ROWS, COLUMNS = 40, 56


@dataclass(frozen=True)
class Sitting:
    """A policy in one of its modes and variants, as far as it has any."""

    name: str
    knobs: Mapping[str, str]

    def __str__(self) -> str:
        return "-".join((self.name, *self.knobs.values()))

    def policy(self) -> MemoryPolicy:
        return load_memory(self.name, **self.knobs)


def _sittings(name: str, policy: Callable[..., MemoryPolicy]) -> list[Sitting]:
    knobs = {key: knob for key, knob in knobs_of(policy).items() if key in ("mode", "variant")}
    ways = [[way for kind in knob.kinds for way in get_args(kind)] for knob in knobs.values()]
    return [Sitting(name, dict(zip(knobs, values, strict=True))) for values in product(*ways)]


SITTINGS = [sitting for name, policy in sorted(POLICIES.items()) for sitting in _sittings(name, policy)]
#: For whatever the release supports: one object, prompted on frame 0, forward.
every = pytest.mark.parametrize("sitting", SITTINGS, ids=str)
#: For all else.
corrected = pytest.mark.parametrize(
    "sitting", [one for one in SITTINGS if one.knobs.get("mode") != "faithful"], ids=str
)


def exam_network() -> Network:
    """Random weights whose heads are turned up: predicted IoU from 0.8 to 1, objects absent on some frames.

    With the heads as they are, IoU stays near 0.5 and few rules of any policy would ever fire.
    """
    torch.manual_seed(5)
    network = Network(replace(tiny_random(), num_long_term_slots=4)).eval()
    decoder = network.mask_decoder
    with torch.no_grad():
        for head, slope, offset in ((decoder.iou_head, 12.0, 4.2), (decoder.object_head, 6.0, -5.4)):
            last = head.layers[-1]
            assert isinstance(last, nn.Linear)
            last.weight.mul_(slope)
            last.bias.mul_(slope).add_(offset)
    return network


def pictures(frames: int, seed: int = 0) -> ArraySource:
    """A bright rectangle that wanders over noise, hidden on a fifth of the frames."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (frames, ROWS, COLUMNS, 3)).astype(np.uint8)
    for frame, image in enumerate(images):
        if frame % 10 not in (6, 7):
            row, column = 5 + frame % 12, 5 + 2 * frame % 20
            image[row : row + 18, column : column + 20] = (220, 80, 90)
    return ArraySource(images)


class Watched(Session):
    """A session that notes the logits of the best hypothesis as they are made, by (object, frame)."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.logits: dict[tuple[int, int], Tensor] = {}

    def _loop(self, tracks: dict[int, Track], stretch: Pass) -> Iterator[tuple[int, list[Outcome]]]:
        for frame, outcomes in super()._loop(tracks, stretch):
            for outcome in outcomes:
                self.logits[outcome.object_id, frame] = outcome.entry.logits.clone()
            yield frame, outcomes


def assert_same(
    first: Mapping[tuple[int, int], Tensor], second: Mapping[tuple[int, int], Tensor], start: int = 0
) -> None:
    """The same objects on the same frames with the same logits, bit for bit, from frame `start` on."""
    parts = [{at: logits for at, logits in one.items() if at[1] >= start} for one in (first, second)]
    assert parts[0].keys() == parts[1].keys()
    differing = [at for at in parts[0] if not torch.equal(parts[0][at], parts[1][at])]
    assert not differing, f"(object, frame) {sorted(differing)}"


@dataclass(frozen=True)
class Jumping(Pass):
    """A pass that visits its frames in any order, and maybe not all: an image set, or a stream that lost some."""

    frames: tuple[int, ...] = ()

    def visits(self) -> Iterator[Visit]:
        return (self.visit(frame) for frame in self.frames)


@dataclass
class NotedTrack(ScriptedTrack):
    """A scripted track that keeps what was entered at each time, best hypothesis first, though the policy may not."""

    made: dict[int, list[MemoryEntry]] = field(default_factory=dict)

    def _entry(self, time: int, *rest: Any) -> MemoryEntry:
        made = super()._entry(time, *rest)
        self.made.setdefault(time, []).append(made)
        return made


def eventful(frames: Sequence[int], seed: int = 1) -> dict[int, Answer]:
    """Answers in which everything happens: certain and doubtful stretches, absences, jumps, a second box."""
    rng = np.random.default_rng(seed)
    moods = ["sure", "doubtful", "absent", "jump", "distractor"]
    answers = {}
    for place, time in enumerate(frames):
        if place % 20 == 0:
            mood = "sure" if place == 0 else moods[rng.integers(len(moods))]
        x, y = (int(value) for value in (rng.integers(0, 5, 2) if mood == "jump" else (3, 4)))
        own = (x, y, x + 6, y + 6)
        rival = (10, 10, 16, 16) if mood == "distractor" else (x, y, x + 7, y + 6)
        match mood:
            case "absent":
                answers[time] = Answer((None, None, None), (0.2, 0.1, 0.05), -4.0)
            case "doubtful":
                answers[time] = Answer((own, rival, None), tuple(rng.uniform(0.1, 0.7, 3)), float(rng.normal()))
            case _:
                answers[time] = Answer((own, rival, own), (float(rng.uniform(0.9, 0.99)), 0.6, 0.5), 6.0)
    return answers
