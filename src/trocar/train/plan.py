"""Plans of training clips: which frames of a case are shown, which are prompted, which serve as long-term memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

STILL_CLIPS = 0.2  # share of the "spread" clips that are made from one image even where there are more
CUT_CLIPS = 0.4  # share of the others whose frames follow in any order
WIDEST_STRIDE = 5  # frames that a "spread" clip may leap at a step
FEWEST_FRAMES = 3  # of a "spread" clip
ANYWHERE = 3  # frames of a DiveMem clip that are drawn from the whole case: one prompted, two long-term


class UnfitCase(ValueError):
    """A case from which clips of the asked kind cannot be drawn: it is too short, or its frames have no order."""


@dataclass(frozen=True)
class ClipPlan:
    """The frames of a clip and what they are for.

    Args:
        frames: T frames of the case, in the order of the clip; what follows counts places in this tuple.
        prompted: places that get an initial prompt; 0 always.
        long_term: places whose memory is read as long-term memory, with the codes learned for it.
    """

    frames: tuple[int, ...]
    prompted: tuple[int, ...] = (0,)
    long_term: tuple[int, ...] = ()

    @property
    def still(self) -> bool:
        """Whether all frames are one and the same."""
        return len(self.frames) > 1 and len(set(self.frames)) == 1

    @property
    def direction(self) -> Literal[1, -1]:
        """Which way `times` run in the clip's last frames, which follow one another."""
        return -1 if len(self.frames) > 1 and self.times[-1] < self.times[-2] else 1

    @property
    def times(self) -> tuple[int, ...]:
        """Each frame's place on the axis of time, from which memory reckons distances.

        Distances between long-term frames are those of the case, as when it is tracked. Other clips count their own
        frames, which may be further apart in the case or repeat.
        """
        return self.frames if self.long_term else tuple(range(len(self.frames)))


@dataclass(frozen=True)
class PlanSettings:
    """How clips are drawn from cases.

    Args:
        kind: "spread": at any stride, either way, turning at the ends, some cut or still (nano); "sam2": frames that
            follow one another (SAM 2); "divemem": three anywhere, the first prompted and two long-term, then frames
            that follow one another (SAM2S, section 4.2); "mixed": "divemem" and "sam2" in turn by chance.
        frames: length of a clip (SAM 2: 8). A stage's own number takes its place for "spread".
        reversed_share: share of the "sam2" and "divemem" clips that run backwards.
        initial: most frames that get an initial prompt, their number drawn from 1 (SAM 2: 2); DiveMem has one.
        divemem_share: of the "mixed" clips (SAM2S: one half).
    """

    kind: Literal["spread", "sam2", "divemem", "mixed"] = "spread"
    frames: int = 8
    reversed_share: float = 0.5
    initial: int = 1
    divemem_share: float = 0.5

    def __post_init__(self) -> None:
        if self.frames < 1 or not 1 <= self.initial <= self.frames:
            raise ValueError(f"a clip has frames >= initial >= 1, not {self.frames} and {self.initial}")
        if self.has_long_term and 1 < self.frames <= ANYWHERE + 1:
            raise ValueError(f"a DiveMem clip has {ANYWHERE} frames and two more at least, not {self.frames}")

    @property
    def has_long_term(self) -> bool:
        """Whether some clips have long-term frames."""
        return self.kind in ("divemem", "mixed")

    @property
    def least_frames(self) -> int:
        """How many frames a case must have."""
        return 1 if self.kind == "spread" else self.frames

    def for_step(self, most: int, rng: np.random.Generator) -> PlanSettings:
        """With the number of frames of one step's clips, the same for all: for "spread" drawn from 3 to `most`."""
        if self.kind != "spread":
            return self
        return replace(self, frames=int(rng.integers(min(FEWEST_FRAMES, most), most + 1)))


def draw_plan(settings: PlanSettings, length: int, ordered: bool, rng: np.random.Generator) -> ClipPlan:
    """The plan of one clip.

    Args:
        settings: with `frames` 1 a single image, of whatever kind.
        length: frames of the case.
        ordered: whether they follow one another in time or space.
        rng: source of chance.

    Raises:
        UnfitCase: the case is too short or has no order, for a kind that needs frames that follow one another.
    """
    if settings.frames == 1:
        return ClipPlan((int(rng.integers(length)),))
    if settings.kind == "spread":
        return ClipPlan(_spread(settings.frames, length, ordered, rng), _initial(settings, rng))
    if not ordered:
        raise UnfitCase("its frames have no order: train on it as images")
    if length < settings.frames:
        raise UnfitCase(f"it has {length} frames where a clip takes {settings.frames}")
    backwards = rng.random() < settings.reversed_share
    if settings.kind == "divemem" or (settings.kind == "mixed" and rng.random() < settings.divemem_share):
        run = _run(settings.frames - ANYWHERE, length, backwards, rng)
        others = np.setdiff1d(np.arange(length), run)
        anywhere = rng.choice(others, size=ANYWHERE, replace=False)
        return ClipPlan((*(int(one) for one in anywhere), *run), (0,), (1, 2))
    return ClipPlan(_run(settings.frames, length, backwards, rng), _initial(settings, rng))


def _run(count: int, length: int, backwards: bool, rng: np.random.Generator) -> tuple[int, ...]:
    """`count` frames that follow one another, from anywhere in the case."""
    start = int(rng.integers(length - count + 1))
    frames = range(start, start + count)
    return tuple(reversed(frames)) if backwards else tuple(frames)


def _initial(settings: PlanSettings, rng: np.random.Generator) -> tuple[int, ...]:
    """The prompted places: the first, and others drawn from the rest."""
    count = int(rng.integers(1, settings.initial + 1))
    others = rng.choice(np.arange(1, settings.frames), size=count - 1, replace=False)
    return (0, *sorted(int(place) for place in others))


def _spread(count: int, length: int, ordered: bool, rng: np.random.Generator) -> tuple[int, ...]:
    """`count` frames, most often at one stride.

    They run either way, and turn at the ends of the case: what left comes back. Some clips are cut: their frames are
    drawn anywhere, so that an object has to be known by its looks. Some are one frame repeated.
    """
    if not ordered or length < 3 or rng.random() < STILL_CLIPS:
        return (int(rng.integers(length)),) * count
    if rng.random() < CUT_CLIPS:
        return tuple(int(place) for place in rng.integers(length, size=count))
    widest = min(WIDEST_STRIDE, max(1, (length - 1) // (count - 1)))
    stride = 1 if rng.random() < 0.5 else int(rng.integers(1, widest + 1))
    start = int(rng.integers(2 * length - 2))  # on the round trip through all frames and back
    places = (start + stride * np.arange(count)) % (2 * length - 2)
    return tuple(int(min(place, 2 * length - 2 - place)) for place in places)
