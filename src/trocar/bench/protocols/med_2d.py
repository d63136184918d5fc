"""2-D boxes on medical pictures (SAM 2 medical benchmark, table 1): one box an object, DSC by modality.

What the paper leaves open, and what is done here:

* Boxes are those that the challenge's files store in mode "released", where a case without any gets tight ones; tight
  ones always in mode "clean". Whether the stored ones were moved is not known.
* A box asks for one mask; masks of larger ids cover those of smaller ones.
* A picture's figure is the mean over its objects, a modality's the mean over its pictures.
* NSD has a tolerance of 2 pixels. In mode "clean" it is of contours; in "released" a picture is a volume of one slice,
  as the challenge's scorer takes it, all of whose pixels are surface: that is no NSD of contours, and is called
  "NSD slab". The paper prints DSC alone.
* Modes, gate and rounding are those of `trocar.bench.challenge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from trocar.bench.challenge import (
    PAPER,
    RULES,
    BoxPrompter,
    Labels,
    Mode,
    case_cells,
    case_rows,
    pasted,
    quality_of,
    sources_of,
    stored_boxes,
    truth_labels,
    worst_picture,
)
from trocar.bench.protocol import Scored, Source
from trocar.bench.results import Cell, Row
from trocar.datasets import Case
from trocar.metrics.multiclass import score_case
from trocar.model.network import Network
from trocar.prompts import tight_box

MODALITIES = {
    "CT": "CT",
    "MR": "MR",
    "PET": "PET",
    "Ultrasound": "US",
    "X-Ray": "XRay",
    "Dermoscopy": "Dermoscopy",
    "Endoscopy": "Endoscopy",
    "Fundus": "Fundus",
    "Mammography": "Mammography",
    "OCT": "OCT",
    "Light Microscope": "Microscopy",
}
"""Column of the table -> split of the data set."""


@dataclass(frozen=True)
class Med2d:
    """2-D boxes.

    Args:
        subsets: SUBSET=DATASET/SPLIT each.
        mode: released or clean, see above.
        image_size: side of the network's input in pixels; None for its own.
    """

    title: ClassVar[str] = "Medical pictures, 2-D boxes"
    published: ClassVar[tuple[tuple[str, str], ...]] = ((PAPER, "1"),)

    subsets: tuple[str, ...] = tuple(f"{name}=cvpr24-2d/{split}" for name, split in MODALITIES.items())
    mode: Mode = "released"
    image_size: int | None = None

    def sources(self) -> Sequence[Source]:
        """The modalities."""
        return sources_of(self.subsets, "picture")

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Put the boxes of a picture to the network."""
        truth, pictures = truth_labels(case), case.open()
        boxes = stored_boxes(case) if self.mode == "released" else {}
        boxes = boxes or {number: tight_box(truth[0] == number) for number in np.unique(truth[truth > 0]).tolist()}
        found = pasted(BoxPrompter(network, pictures, self.image_size).masks(0, boxes), truth.shape[1:])
        rows = picture_rows(found, truth[0], case, source, self.mode)
        return Scored(rows, quality_of(rows), worst_picture(pictures, found[None], truth))

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Means over the pictures of each modality."""
        return case_cells(rows)


def picture_rows(found: Labels, truth: Labels, case: Case, source: Source, mode: Mode) -> list[Row]:
    """The scores of (rows, columns) ids."""
    if mode == "clean":
        return case_rows(score_case(found, truth, (1.0, 1.0), RULES[mode]), case, source, "box", mode)
    score = score_case(found[..., None], truth[..., None], (1.0, 1.0, 1.0), RULES[mode])
    rows = case_rows(score, case, source, "box", mode)
    return [replace(row, metric=row.metric.replace("NSD", "NSD slab")) for row in rows]


PROTOCOL = Med2d
