"""Scores as the field's reference evaluators compute them: NumPy in, numbers out. The prediction comes first.

Masks of one pair: `overlap`, `boundary`, `surface`. Several classes: `multiclass`, `endovis`, `sarrarp50`, `medsam2`.
Videos: `masklet`. Users: `interactive`. Classes of clips: `recognition`, `calibration`.
"""

from trocar.metrics.boundary import boundary_f
from trocar.metrics.masklet import (
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
from trocar.metrics.overlap import dice, iou
from trocar.metrics.score import Average, Score, average
from trocar.metrics.surface import assd, hausdorff, hd95, nsd

__all__ = [
    "DAVIS",
    "SA_V",
    "Average",
    "ObjectScore",
    "Score",
    "SequenceRules",
    "SequenceScore",
    "assd",
    "average",
    "boundary_f",
    "decay",
    "dice",
    "hausdorff",
    "hd95",
    "iou",
    "j_and_f",
    "nsd",
    "pooled",
    "recall",
]
