"""Abdominal organs of FLARE22 (SAM 2 medical benchmark, table 5): DSC and NSD of each organ from its middle slice.

Organs are scored each by itself with FLARE's rules: an organ that is neither there nor found scores 1, one of the two
0, no gate; NSD has a tolerance of 2 mm. The duodenum is left out, as there. A figure is the mean over cases.

What the paper leaves open, and what is done here:

* The paper says that a mask is propagated; its script does so by boxes, slice by slice, without any memory. Mode
  "released" does the same: the first box is the largest of the organ's boxes on all slices, given to the middle of its
  range; the next one is that of the mask before. All are 5 pixels larger on each side, the first one in pixels of the
  slice, the others in pixels of 1/1024 of its sides. After an empty mask the first box is given again. The organ's
  range is known. Spacing is taken as it is stored, (x, y, z), for the axes (slices, rows, columns), and
  figures are rounded to four decimals.
* Mode "clean": as `med-3d` in its mode "clean" from a box, tracked with memory by a network that has one.
* Slices are shown in our own abdominal window rather than in the script's, and masks are resized as logits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.bench.challenge import (
    PAPER,
    BoxPrompter,
    Labels,
    Mask,
    Mode,
    pasted,
    sources_of,
    spacing_of,
    truth_labels,
    worst_picture,
)
from trocar.bench.middle_slice import Beginning, first_masks, middles, slice_by_slice, track_both_ways
from trocar.bench.protocol import Scored, Source
from trocar.bench.results import Cell, Row, mean_cells
from trocar.bench.trackers import AnnotatedFrames, OwnTracker, TrackerOptions
from trocar.datasets import Case
from trocar.metrics.multiclass import FLARE22, CaseRules, score_case
from trocar.model.network import Network
from trocar.prompts import Box, outset_box

SHIFT = 5
SIDE = 1024  # of what the script looks for masks in
ORGAN = CaseRules((1,), FLARE22.tolerance_mm, FLARE22.both_empty, FLARE22.gate)


@dataclass(frozen=True)
class Flare22:
    """Organs of FLARE22.

    Args:
        subsets: NAME=DATASET/SPLIT each.
        mode: released or clean, see above.
        left_out: organs that are neither asked for nor scored.
        memory: memory policy of mode clean, as for `load_memory`.
        image_size: side of the network's input in pixels; None for its own.
        seed: of the policy's random streams.
    """

    title: ClassVar[str] = "FLARE22 organs from their middle slices"
    published: ClassVar[tuple[tuple[str, str], ...]] = ((PAPER, "5"),)

    subsets: tuple[str, ...] = ("FLARE22=flare22/test",)
    mode: Mode = "released"
    left_out: tuple[str, ...] = ("duodenum",)
    memory: str = "recent"
    image_size: int | None = None
    seed: int = 0

    def sources(self) -> Sequence[Source]:
        """The sets."""
        return sources_of(self.subsets, "volume")

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Find and score the organs of a case."""
        organs = {number: name for number, name in case.objects.items() if name not in self.left_out}
        truth = truth_labels(case)
        truth[~np.isin(truth, list(organs))] = 0
        view = AnnotatedFrames(case.open(), case.annotated_frames)
        found = self._found(network, view, truth)
        rows = organ_rows(found, truth, spacing_of(view.geometry, self.mode), replace(case, objects=organs), source)
        if self.mode == "released":
            rows = [replace(row, value=round(row.value, 4)) for row in rows]
        quality = float(np.mean([row.value for row in rows if row.metric == "DSC"]))
        return Scored(rows, quality, worst_picture(view, pasted(found, truth.shape), truth))

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """The mean over cases of each organ, and over all organs of each set."""
        return mean_cells([*(replace(row, subset=row.label) for row in rows), *rows], "cases")

    def _found(self, network: Network, view: AnnotatedFrames, truth: Labels) -> dict[int, Mask]:
        beginnings = released_beginnings(truth) if self.mode == "released" else middles(truth, "clean", {})
        prompter = BoxPrompter(network, view, self.image_size)
        first = first_masks(prompter, beginnings)
        if self.mode == "released":
            return slice_by_slice(prompter, beginnings, first, released_box)
        if not network.config.remembers:
            return slice_by_slice(prompter, beginnings, first)
        session = OwnTracker(network, TrackerOptions(self.memory, self.image_size, seed=self.seed)).session(view)
        try:
            return track_both_ways(session, beginnings, first)
        finally:
            session.close()


def released_beginnings(truth: Labels) -> dict[int, Beginning]:
    """The largest of each organ's boxes, on the middle of its range; `truth` is (slices, rows, columns) ids."""
    found = {}
    for number in np.unique(truth[truth > 0]).tolist():
        shown = np.flatnonzero((truth == number).any((1, 2))).tolist()
        boxes = [outset_box(truth[place] == number, SHIFT, None) for place in shown]
        areas = [(box.x1 - box.x0) * (box.y1 - box.y0) for box in boxes]
        middle = (shown[0] + shown[-1]) // 2
        found[number] = Beginning(middle, boxes[int(np.argmax(areas))], shown[0], shown[-1])
    return found


def released_box(mask: Mask, beginning: Beginning) -> Box:
    """The box of the next slice: around the mask before, or the first one again."""
    if not mask.any():
        return beginning.box
    large = cv2.resize(mask.astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
    ends: list[tuple[float, float]] = []
    for axis, length in ((0, mask.shape[1]), (1, mask.shape[0])):
        where = np.flatnonzero(large.any(axis))
        low, high = max(0, int(where[0]) - SHIFT), min(SIDE, int(where[-1]) + SHIFT)
        ends.append((low * length / SIDE, high * length / SIDE))
    (x0, x1), (y0, y1) = ends
    return Box(x0, y0, x1, y1)


def organ_rows(
    found: Mapping[int, NDArray[np.bool_]], truth: Labels, spacing_mm: tuple[float, ...], case: Case, source: Source
) -> list[Row]:
    """The scores of every object of a case, each against its own (slices, rows, columns) mask."""
    rows = []
    for number, name in case.objects.items():
        true = truth == number
        score = score_case(
            found.get(number, np.zeros_like(true)).astype(np.uint8), true.astype(np.uint8), spacing_mm, ORGAN
        )
        for metric, one in (("DSC", score.dice[1]), ("NSD", score.nsd[1])):
            where = (source.dataset, source.subset, case.name, str(number), name, "middle box")
            rows.append(Row(*where, metric, one.value, one.status))
    return rows


PROTOCOL = Flare22
