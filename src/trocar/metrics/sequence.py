"""J&F of whole sequences, by the rules of SA-V (Ravi et al., SAM 2) and of DAVIS 2017 (Pont-Tuset et al.)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.boundary import boundary_f
from trocar.metrics.overlap import Mask, iou

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
    """One object's J and F on the frames that count, in 0..1; `frames` are their indices in the sequence."""

    frames: tuple[int, ...]
    j_per_frame: tuple[float, ...]
    f_per_frame: tuple[float, ...]

    @property
    def j(self) -> float:
        return _mean(self.j_per_frame)

    @property
    def f(self) -> float:
        return _mean(self.f_per_frame)

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


@dataclass(frozen=True)
class SequenceScore:
    """Means over objects, in 0..1; NaN where no object counts. Keys are the objects' ids."""

    objects: Mapping[object, ObjectScore]

    @property
    def j(self) -> float:
        return _mean([score.j for score in self.objects.values()])

    @property
    def f(self) -> float:
        return _mean([score.f for score in self.objects.values()])

    @property
    def j_and_f(self) -> float:
        return (self.j + self.f) / 2


def j_and_f(
    truth: Labels,
    prediction: Labels,
    rules: SequenceRules = SA_V,
    prompt_frames: Mapping[int, int] | None = None,
    ignore: Mask | None = None,
) -> SequenceScore:
    """Region similarity J and boundary accuracy F of each object, averaged over its frames.

    A frame where an object is absent from truth and prediction scores 1, so long absences lift the mean.

    Args:
        truth: (T, rows, columns) object ids, 0 for background.
        prediction: (T, rows, columns) object ids.
        rules: SA_V, DAVIS or rules of your own.
        prompt_frames: object id -> the frame it was prompted on; that object's frames up to this one do not count.
        ignore: (T, rows, columns) bool, pixels that count for neither.

    Raises:
        ValueError: shapes differ; or, by the DAVIS rules, the prediction has an id that the first frame has not, or
            there are fewer than three frames.
    """
    if truth.ndim != 3 or truth.shape != prediction.shape:
        raise ValueError(
            f"truth {truth.shape} and prediction {prediction.shape} must have one shape (frames, rows, columns)"
        )
    frames = range(1, len(truth) - 1) if rules.skip_ends else range(len(truth))
    find_starts = _starts_davis if rules.first_frame_objects else _starts_sa_v
    scores: dict[object, ObjectScore] = {}
    for number, start in find_starts(truth, prediction, frames).items():
        after_prompt = (prompt_frames or {}).get(number, -1) + 1
        counted = tuple(frame for frame in frames if frame >= max(start, after_prompt))
        if counted:
            scores[number] = _score(truth == number, prediction == number, counted, ignore)
    return SequenceScore(scores)


def pooled(sequences: Mapping[str, SequenceScore]) -> SequenceScore:
    """All objects of many sequences as one: its means are over objects, not over sequences; keys are (name, id)."""
    return SequenceScore(
        {(name, number): score for name, sequence in sequences.items() for number, score in sequence.objects.items()}
    )


def recall(values: Iterable[float], threshold: float = 0.5) -> float:
    """The share of frames above the threshold (DAVIS 2016, section 5); a NaN counts as below."""
    return _mean([float(value > threshold) for value in values])


def decay(values: Iterable[float]) -> float:
    """The mean of the first quarter of the frames less that of the last (DAVIS 2016, section 5); NaN are left out."""
    series = np.asarray(list(values), np.float64)
    # Neighbouring quarters share a frame, as in the DAVIS evaluator, but here sequences may be longer than 256 frames.
    edges = np.round(np.linspace(1, len(series), 5) + 1e-10).astype(int) - 1
    first, last = series[edges[0] : edges[1] + 1], series[edges[3] : edges[4] + 1]
    return float(np.nanmean(first) - np.nanmean(last))


def _score(truth: Mask, prediction: Mask, frames: tuple[int, ...], ignore: Mask | None) -> ObjectScore:
    j, f = [], []
    for frame in frames:
        void = None if ignore is None else ignore[frame]
        j.append(iou(truth[frame], prediction[frame], void).value)
        f.append(boundary_f(truth[frame], prediction[frame], void))
    return ObjectScore(frames, tuple(j), tuple(f))


def _starts_sa_v(truth: Labels, prediction: Labels, frames: range) -> dict[int, int]:
    """Object id -> the first counted frame where truth or prediction shows it, for ids that the truth shows."""
    starts: dict[int, int] = {}
    in_truth: set[int] = set()
    for frame in frames:
        shown = _ids(truth[frame])
        in_truth |= shown
        for number in shown | _ids(prediction[frame]):
            starts.setdefault(number, frame)
    return {number: starts[number] for number in sorted(in_truth)}


def _starts_davis(truth: Labels, prediction: Labels, frames: range) -> dict[int, int]:
    if not frames:
        raise ValueError(f"the DAVIS rules need at least 3 frames, not {len(truth)}: score it by the SA-V rules")
    largest = int(truth[0].max())
    extra = sorted(number for number in _ids(prediction) if number > largest)
    if extra:
        raise ValueError(
            f"the prediction has the ids {extra}, which the first frame of the truth has not: "
            "the DAVIS rules know objects of the first frame only, score it by the SA-V rules"
        )
    return dict.fromkeys(range(1, largest + 1), frames[0])


def _ids(labels: Labels) -> set[int]:
    return {int(number) for number in np.unique(labels) if number}


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return float(np.mean(listed)) if listed else math.nan
