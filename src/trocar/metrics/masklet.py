"""J&F of masklets, by the rules of SA-V (Ravi et al., SAM 2) and of DAVIS 2017 (Pont-Tuset et al.)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.boundary import boundary_f
from trocar.metrics.overlap import iou
from trocar.metrics.score import Mask, Status, mean

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class SequenceRules:
    """Which objects and frames count.

    Args:
        skip_ends: leave out the first and the last frame of the sequence.
        first_frame_objects: score the ids 1 to the largest of the first frame, on every frame, and refuse predictions
            of others (DAVIS); else score each id that occurs in the truth, from the frame on where truth or
            prediction first shows it (SA-V).
    """

    skip_ends: bool = True
    first_frame_objects: bool = False


SA_V = SequenceRules()
DAVIS = SequenceRules(first_frame_objects=True)


@dataclass(frozen=True)
class ObjectScore:
    """One object's J and F on the frames that count, in 0..1.

    Args:
        frames: their indices in the sequence.
        j_per_frame, f_per_frame: the scores.
        statuses: whether the object is absent from truth or prediction there.
    """

    frames: tuple[int, ...]
    j_per_frame: tuple[float, ...]
    f_per_frame: tuple[float, ...]
    statuses: tuple[Status, ...]

    @property
    def j(self) -> float:
        return mean(self.j_per_frame)

    @property
    def f(self) -> float:
        return mean(self.f_per_frame)

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2

    @property
    def absent_accuracy(self) -> float:
        """The share of frames without the object where none is predicted; NaN if it is always there."""
        return mean(float(status == "both_empty") for status in self.statuses if status in ("both_empty", "gt_empty"))


@dataclass(frozen=True)
class SequenceScore:
    """Means over objects, in 0..1; NaN where no object counts. Keys are the objects' ids."""

    objects: Mapping[object, ObjectScore]

    @property
    def j(self) -> float:
        return mean(score.j for score in self.objects.values())

    @property
    def f(self) -> float:
        return mean(score.f for score in self.objects.values())

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


def j_and_f(
    pred: Labels,
    gt: Labels,
    rules: SequenceRules = SA_V,
    prompt_frames: Mapping[int, int] | None = None,
    skip_prompt_frame: bool = True,
    void: Mask | None = None,
) -> SequenceScore:
    """Region similarity J and boundary accuracy F of each object, averaged over its frames.

    A frame where an object is absent from truth and prediction scores 1, so long absences lift the mean.

    Args:
        pred: (T, rows, columns) object ids, 0 for background.
        gt: (T, rows, columns) object ids.
        rules: SA_V, DAVIS or rules of your own.
        prompt_frames: object id -> the frame it was prompted on; that object's frames before it do not count.
        skip_prompt_frame: leave out the prompted frame itself too, where the user has just said where the object is.
        void: (T, rows, columns) bool, pixels that count for neither.

    Raises:
        ValueError: shapes differ; or, by the DAVIS rules, the prediction has an id that the first frame has not, or
            there are fewer than three frames.
    """
    if gt.ndim != 3 or gt.shape != pred.shape:
        raise ValueError(f"prediction {pred.shape} and truth {gt.shape} must have one shape (frames, rows, columns)")
    frames = range(1, len(gt) - 1) if rules.skip_ends else range(len(gt))
    find_starts = _starts_davis if rules.first_frame_objects else _starts_sa_v
    scores: dict[object, ObjectScore] = {}
    for number, start in find_starts(pred, gt, frames).items():
        prompted = (prompt_frames or {}).get(number)
        first = start if prompted is None else max(start, prompted + skip_prompt_frame)
        counted = tuple(frame for frame in frames if frame >= first)
        if counted:
            scores[number] = _score(pred, gt, number, counted, void)
    return SequenceScore(scores)


def pooled(sequences: Mapping[str, SequenceScore]) -> SequenceScore:
    """All objects of many sequences as one: its means are over objects, not over sequences; keys are (name, id)."""
    return SequenceScore(
        {(name, number): score for name, sequence in sequences.items() for number, score in sequence.objects.items()}
    )


def recall(values: Iterable[float], threshold: float = 0.5) -> float:
    """The share of frames above the threshold (DAVIS 2016, section 5); a NaN counts as below."""
    return mean(float(value > threshold) for value in values)


def decay(values: Iterable[float]) -> float:
    """The mean of the first quarter of the frames less that of the last (DAVIS 2016, section 5); NaN are left out."""
    series = np.asarray(list(values), np.float64)
    # Neighbouring quarters share a frame, as in the DAVIS evaluator, but here sequences may be longer than 256 frames.
    edges = np.round(np.linspace(1, len(series), 5) + 1e-10).astype(int) - 1
    first, last = series[edges[0] : edges[1] + 1], series[edges[3] : edges[4] + 1]
    return float(np.nanmean(first) - np.nanmean(last))


def _score(pred: Labels, gt: Labels, number: int, frames: tuple[int, ...], void: Mask | None) -> ObjectScore:
    j, f, statuses = [], [], []
    for frame in frames:
        pair = pred[frame] == number, gt[frame] == number
        uncounted = None if void is None else void[frame]
        overlap = iou(*pair, uncounted)
        j.append(overlap.value)
        f.append(boundary_f(*pair, void=uncounted).value)
        statuses.append(overlap.status)
    return ObjectScore(frames, tuple(j), tuple(f), tuple(statuses))


def _starts_sa_v(pred: Labels, gt: Labels, frames: range) -> dict[int, int]:
    """Object id -> the first counted frame where truth or prediction shows it, for ids that the truth shows."""
    starts: dict[int, int] = {}
    in_gt: set[int] = set()
    for frame in frames:
        shown = _ids(gt[frame])
        in_gt |= shown
        for number in shown | _ids(pred[frame]):
            starts.setdefault(number, frame)
    return {number: starts[number] for number in sorted(in_gt)}


def _starts_davis(pred: Labels, gt: Labels, frames: range) -> dict[int, int]:
    if not frames:
        raise ValueError(f"the DAVIS rules need at least 3 frames, not {len(gt)}: score it by the SA-V rules")
    largest = int(gt[0].max())
    extra = sorted(number for number in _ids(pred) if number > largest)
    if extra:
        raise ValueError(
            f"the prediction has the ids {extra}, which the first frame of the truth has not: "
            "the DAVIS rules know objects of the first frame only, score it by the SA-V rules"
        )
    return dict.fromkeys(range(1, largest + 1), frames[0])


def _ids(labels: Labels) -> set[int]:
    return {int(number) for number in np.unique(labels) if number}
