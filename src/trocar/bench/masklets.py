"""Videos prompted once and tracked to the end, scored frame by frame as the masks arrive.

What stays of a frame is three numbers an object, so a long video with many objects costs no memory. The rules are those
of `trocar.metrics.j_and_f`, which takes whole videos.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trocar.bench.pictures import Shown
from trocar.bench.trackers import AnnotatedFrames, Begun, OwnTracker, Tracker, clock, network_clock
from trocar.datasets import Case, FrameTruth
from trocar.masks import FrameMasks
from trocar.metrics import ObjectScore, SequenceRules, boundary_f, iou
from trocar.metrics.score import Status
from trocar.model.network import Network
from trocar.prompts import MaskPrompt, Prompt, center_click, tight_box
from trocar.track.session import Session

Mask = NDArray[np.bool_]
PromptKind = Literal["1-click", "3-click", "5-click", "box", "mask"]

CLICKS = {"1-click": 1, "3-click": 3, "5-click": 5}
WARM_UP = 10  # frames that do not count for speed, where there are more

EVERY_FRAME = SequenceRules(skip_ends=False)
"""SA-V's rules on all frames after the prompted one: the ends of a video are frames like others."""


@dataclass(frozen=True)
class Pair:
    """What a found mask on one frame scored; `shown`: it has a pixel, one without a truth included."""

    j: float
    f: float
    status: Status
    shown: bool


@dataclass
class Series:
    """One object, frame by frame.

    Args:
        begins: the frame it is prompted on.
        area: its true pixels there.
        in_truth: frames on which the truth shows it.
        pairs: the scores of the frames from `begins` on.
    """

    begins: int
    area: int
    in_truth: set[int]
    pairs: list[Pair] = field(default_factory=list)

    def score(self, length: int, rules: SequenceRules, skip_prompt_frame: bool) -> ObjectScore | None:
        """The scores of the frames that count, as `j_and_f` gives them; None where it does not score the object.

        Args:
            length: frames of the video.
            rules: as there; by the rules of DAVIS the object is one that the first frame shows.
            skip_prompt_frame: as there.
        """
        frames = range(1, length - 1) if rules.skip_ends else range(length)
        first = self.begins + skip_prompt_frame
        if not rules.first_frame_objects:
            if not any(frame in self.in_truth for frame in frames):
                return None
            found = {self.begins + place for place, pair in enumerate(self.pairs) if pair.shown}
            first = max(first, min(frame for frame in frames if frame in self.in_truth or frame in found))
        counted = [frame for frame in frames if frame >= first]
        if not counted:
            return None
        pairs = [self.pairs[frame - self.begins] for frame in counted]
        return ObjectScore(
            tuple(counted),
            tuple(pair.j for pair in pairs),
            tuple(pair.f for pair in pairs),
            tuple(pair.status for pair in pairs),
        )


def score_pair(found: Mask, truth: Mask, void: Mask | None) -> Pair:
    """One object on one frame; `void` marks pixels that count for neither."""
    overlap = iou(found, truth, void)
    return Pair(overlap.value, boundary_f(found, truth, void=void).value, overlap.status, bool(found.any()))


def truth_of(case: Case, frame: int) -> FrameTruth:
    """The truth of an annotated frame.

    Raises:
        ValueError: it has none.
    """
    truth = case.truth(frame)
    if truth is None:
        raise ValueError(f"{case.name} has no truth on frame {frame}, which it lists as annotated")
    return truth


def appearances(case: Case, min_area: int = 1) -> dict[int, Series]:
    """Each object of a case that shows at least `min_area` true pixels on an annotated frame; there it begins.

    Frames are counted among the annotated ones. The truth of the whole case is read once.
    """
    begun: dict[int, Series] = {}
    shown: dict[int, set[int]] = {}
    for place, frame in enumerate(case.annotated_frames):
        for number, mask in sorted(truth_of(case, frame).masks.items()):
            area = int(np.count_nonzero(mask))
            if area:
                shown.setdefault(number, set()).add(place)
            if area >= min_area and number not in begun:
                begun[number] = Series(place, area, shown[number])
    return begun


def prompted(session: Session, number: int, begins: int, truth: FrameTruth, kind: PromptKind) -> Begun:
    """Prompt an object on one frame of a session.

    Clicks are SAM 2's "center" clicks at the truth's own size, each on the error of the answer before it, whose logits
    the network gets back; a perfect answer ends them. Pixels without a truth are no error. The box is tight.
    """
    true = truth.masks[number]
    if kind == "mask":
        return Begun(begins, [MaskPrompt(true)], true)
    prompts: list[Prompt] = []
    found: Mask | None = None
    for _ in range(CLICKS.get(kind, 1)):
        known = found if found is None or truth.ignore is None else found & ~truth.ignore
        prompt = tight_box(true) if kind == "box" else center_click(true, known)
        if prompt is None:
            break
        prompts.append(prompt)
        found = session.add(prompt, frame=begins, object_id=number).masks[number]
    assert found is not None  # the truth has pixels, so the first click is there
    return Begun(begins, prompts, found)


@dataclass
class Tracked:
    """What tracking a case gave: each object's series, the frame that was found worst, and how fast it went."""

    series: Mapping[int, Series]
    worst: Shown | None = None
    timing: Mapping[str, float] = field(default_factory=dict)


def track_case(case: Case, own: OwnTracker, tracker: Tracker, kind: PromptKind, min_area: int = 1) -> Tracked:
    """Prompt every object once on its first annotated frame, track forward over annotated frames, and score.

    Args:
        case: its annotated frames are taken as if they followed one another.
        own: the tracker whose session answers the prompts.
        tracker: carries the masks on.
        kind: of prompt.
        min_area: an object begins where it first has this many true pixels.

    Raises:
        ValueError: the tracker leaves out a frame or an object.
    """
    view = AnnotatedFrames(case.open(), case.annotated_frames)
    series = appearances(case, min_area)
    if not series:
        return Tracked(series)
    session = own.session(view)
    begun = {}
    for number, one in sorted(series.items(), key=lambda item: (item[1].begins, item[0])):
        begun[number] = prompted(session, number, one.begins, truth_of(case, view.frames[one.begins]), kind)
    session.close()
    tracked = Tracked(series)
    lowest = math.inf
    with network_clock(own.network) as watch:
        laps = _Laps(own.network, tracker.track(view, begun), lambda: (view.seconds, watch.seconds))
        for masks in laps:
            truth = truth_of(case, view.frames[masks.frame])
            for number, pair in add_frame(series, masks, truth, tracker.name).items():
                if series[number].begins < masks.frame and pair.j + pair.f < lowest:
                    lowest = pair.j + pair.f
                    tracked.worst = Shown(view.frames[masks.frame], masks.masks[number], _mask_of(truth, number, masks))
    for number, one in series.items():
        if one.begins + len(one.pairs) != len(view):
            raise ValueError(
                f"tracker {tracker.name} gave {len(one.pairs)} masks of object {number} of {case.name}, which has "
                f"{len(view) - one.begins} frames from its prompt on"
            )
    tracked.timing = {**laps.figures(), "objects": len(series)}
    return tracked


def add_frame(series: Mapping[int, Series], masks: FrameMasks, truth: FrameTruth, tracker: str) -> dict[int, Pair]:
    """Score the objects that have begun on one frame, the next of each.

    Raises:
        ValueError: an object has no mask, or a frame was left out.
    """
    added = {}
    for number, one in series.items():
        if masks.frame < one.begins:
            continue
        if number not in masks.masks or masks.frame != one.begins + len(one.pairs):
            raise ValueError(
                f"tracker {tracker} gave frame {masks.frame}, where frame {one.begins + len(one.pairs)} of object "
                f"{number} is the next: each frame needs a mask of every object that has begun"
            )
        pair = score_pair(masks.masks[number], _mask_of(truth, number, masks), truth.ignore)
        one.pairs.append(pair)
        added[number] = pair
    return added


def _mask_of(truth: FrameTruth, number: int, masks: FrameMasks) -> Mask:
    mask = truth.masks.get(number)
    return np.zeros_like(masks.masks[number]) if mask is None else mask


class _Laps(Iterator[FrameMasks]):
    """Masks as a tracker makes them, with the time that making them took: decoding included, scoring not."""

    def __init__(self, network: Network, masks: Iterator[FrameMasks], parts: Callable[[], tuple[float, float]]) -> None:
        self._network, self._masks, self._parts = network, masks, parts
        self._laps: list[tuple[float, float, float]] = []  # seconds in all, decoding, in the network

    def __next__(self) -> FrameMasks:
        before, start = self._parts(), clock(self._network)
        masks = next(self._masks)
        whole, after = clock(self._network) - start, self._parts()
        self._laps.append((whole, after[0] - before[0], after[1] - before[1]))
        return masks

    def figures(self) -> dict[str, float]:
        """Frames per second after the warm-up: end to end, without decoding, and of the network alone."""
        counted = np.array(self._laps[WARM_UP:] or self._laps[1:] or self._laps)
        whole, decoding, network = counted.sum(0)
        return {
            "frames": len(counted),
            "frames_per_second": round(len(counted) / whole, 3),
            "frames_per_second_without_decoding": round(len(counted) / (whole - decoding), 3),
            "frames_per_second_of_network": round(len(counted) / network, 3) if network else math.nan,
        }
