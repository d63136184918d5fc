"""EndoVis 2017 instrument types in four folds (SurgicalSAM, table 2), as ISINet's evaluation scores them.

The folds' validation videos are {1, 3}, {2, 5}, {4, 8} and {6, 7}. How folds become one figure is not stated: here it
is the mean of the four, of a class the mean of those where it has an entry; all frames as one are in the column
"pooled". The paper says 255 frames a video; the public training part has 225.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trocar.bench.label_maps import LabelMaps
from trocar.bench.results import Cell, Row


@dataclass(frozen=True)
class EndoVis17(LabelMaps):
    """EndoVis 2017, four folds.

    Args:
        subsets: the folds, SUBSET=DATASET/SPLIT each.
        prompts and the others: as in `LabelMaps`.
    """

    title: ClassVar[str] = "EndoVis 2017 instrument types, four folds"
    published: ClassVar[tuple[tuple[str, str], ...]] = (("SurgicalSAM", "2"),)

    subsets: tuple[str, ...] = tuple(f"fold {number}=endovis17/fold{number}" for number in range(4))
    references: str = "endovis17/{split}_train"

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """The folds, their mean, and all frames as one."""
        folds = super().cells(rows)
        pooled = self.subset_cells(rows, "pooled")
        return [*folds, *mean_of_folds(folds, "EndoVis2017"), *pooled, *self.over_models(pooled)]


def mean_of_folds(folds: Sequence[Cell], name: str) -> list[Cell]:
    """The plain mean of the folds that have a figure."""
    found: dict[tuple[str, str], list[Cell]] = {}
    for cell in folds:
        found.setdefault((cell.setting, cell.metric), []).append(cell)
    cells = []
    for (setting, metric), members in found.items():
        values = [cell.value for cell in members if not math.isnan(cell.value)]
        value = float(np.mean(values)) if values else math.nan
        missing, cases = len(members) - len(values), sum(cell.cases for cell in members)
        cells.append(Cell(name, setting, metric, value, len(values), missing, None, None, "subsets", cases))
    return cells


PROTOCOL = EndoVis17
