"""Vocal folds (ours): every class of a larynx sequence prompted once with a box, tracked forward, J&F.

A class is one object; it is prompted on its first frame with at least 100 true pixels, with a tight box. Pixels without
a truth count for neither mask. Scores are those of `prompted_once`. The default split, held_out, is patient 1: it is
scored once for each released model; choose recipes on `--split tune`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from trocar.bench.prompted_once import PromptedOnce
from trocar.bench.protocol import Source


@dataclass(frozen=True)
class Vocalfolds(PromptedOnce):
    """Vocal folds.

    Args:
        split: as in `trocar.datasets.vocalfolds`.
        prompts, tracker, memory, image_size, min_area_px, seed: as in `PromptedOnce`.
    """

    title: ClassVar[str] = "Vocal folds, prompted once"
    published: ClassVar[tuple[tuple[str, str], ...]] = ()

    min_area_px: int = 100
    split: Literal["held_out", "tune", "train"] = "held_out"

    def sources(self) -> Sequence[Source]:
        """One subset: the split."""
        return [Source(self.split, "vocalfolds", self.split)]


PROTOCOL = Vocalfolds
