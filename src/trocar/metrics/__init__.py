"""Scores from two masks: NumPy in, float out. The truth always comes first."""

from trocar.metrics.boundary import boundary_f
from trocar.metrics.overlap import Score, dice, iou
from trocar.metrics.sequence import (
    DAVIS,
    SA_V,
    ObjectScore,
    SequenceRules,
    SequenceScore,
    decay,
    j_and_f,
    pooled,
    recall,
)

__all__ = [
    "DAVIS",
    "SA_V",
    "ObjectScore",
    "Score",
    "SequenceRules",
    "SequenceScore",
    "boundary_f",
    "decay",
    "dice",
    "iou",
    "j_and_f",
    "pooled",
    "recall",
]
