"""What SurgRec's released splits are: sizes, cases on both sides, and what saying one class always would score."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from trocar.datasets.recognition_sets import RecognitionSet


@dataclass(frozen=True)
class ReleasedSplit:
    """One set's released split.

    Args:
        train, validation, test: clips of each part.
        test_cases: cases that the test clips come from, as far as the names of files tell.
        shared_cases: how many of these have training clips too.
        validation_is_test: whether both parts are the same clips, so that what is chosen is chosen on the test clips.
        majority: share of the most frequent class of the test clips.
    """

    name: str
    train: int
    validation: int
    test: int
    test_cases: int
    shared_cases: int
    validation_is_test: bool
    majority: float


def audit_released(dataset: RecognitionSet, splits: Path) -> ReleasedSplit:
    """Count what a set's manifests in the release's folder hold.

    Raises:
        FileNotFoundError, ValueError: a manifest is missing or damaged.
    """
    parts = dataset.read_released(splits)
    clips = {part: {(clip.name, clip.label) for clip in listed} for part, listed in parts.items()}
    cases = {part: {clip.case for clip in listed} for part, listed in parts.items()}
    most = Counter(clip.label for clip in parts["test"]).most_common(1)[0][1]
    return ReleasedSplit(
        dataset.name,
        train=len(parts["train"]),
        validation=len(parts["validation"]),
        test=len(parts["test"]),
        test_cases=len(cases["test"]),
        shared_cases=len(cases["train"] & cases["test"]),
        validation_is_test=clips["validation"] == clips["test"],
        majority=most / len(parts["test"]),
    )
