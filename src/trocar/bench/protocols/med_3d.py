"""Medical volumes from their middle slices (SAM 2 medical benchmark, tables 2 and 3): DSC and NSD by modality.

An object's mask on its middle slice is tracked to both sides. It comes from the network itself, which is given a box
there ("init=box"), from the truth ("init=truth"), or from another network by its name ("init=medsam"). A network
without memory, such as SAM or MedSAM, goes slice by slice instead.

What the paper leaves open, and what is done here:

* Mode "released": from which slice to which an object reaches is known, so nothing is found elsewhere; the middle is
  that of this range; the box is the outline of the object's box in three dimensions (stored, or made from the truth).
  Mode "clean": nothing is known of where it ends; the middle one of the slices that show it, and its tight box there.
* Either way the first mask, and not the box, is what is tracked; a given mask stays as it is. Backward tracking begins
  with a fresh memory. Objects are tracked independently and pasted in the order of their ids.
* Slice by slice the next box is the tight one of the mask before, not moved; an empty mask ends the object.
* NSD has a tolerance of 2 mm. Modes, gate and rounding are those of `trocar.bench.challenge`.
* What lies outside an object's range is visited too, and then dropped: it comes after all that counts. Only policies
  that look ahead (`tree`) could notice. Everything runs in float32, where the release has bfloat16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from trocar.bench.challenge import (
    PAPER,
    RULES,
    BoxPrompter,
    Labels,
    Mask,
    Mode,
    case_cells,
    case_rows,
    pasted,
    quality_of,
    sources_of,
    spacing_of,
    stored_boxes,
    truth_labels,
    worst_picture,
)
from trocar.bench.middle_slice import Beginning, first_masks, middles, slice_by_slice, track_both_ways
from trocar.bench.protocol import Scored, Source
from trocar.bench.results import Cell, Row
from trocar.bench.trackers import AnnotatedFrames, OwnTracker, TrackerOptions
from trocar.datasets import Case
from trocar.load import load
from trocar.metrics.multiclass import score_case
from trocar.model.network import Network


@dataclass(frozen=True)
class Med3d:
    """Volumes from their middle slices.

    Args:
        subsets: SUBSET=DATASET/SPLIT each.
        mode: released or clean, see above.
        starts: where the first mask comes from, a row of the table each: box, truth, or a model as `load` knows it.
        slice_by_slice: go by boxes from slice to slice, even with a network that could track.
        memory: memory policy of what is tracked, as for `load_memory`.
        image_size: side of the network's input in pixels; None for its own.
        seed: of the policy's random streams.
    """

    title: ClassVar[str] = "Medical volumes from their middle slices"
    published: ClassVar[tuple[tuple[str, str], ...]] = ((PAPER, "2"), (PAPER, "3"))

    subsets: tuple[str, ...] = ("CT=cvpr24-3d/CT", "MR=cvpr24-3d/MR", "PET=cvpr24-3d/PET")
    mode: Mode = "released"
    starts: tuple[str, ...] = ("box", "truth")
    slice_by_slice: bool = False
    memory: str = "recent"
    image_size: int | None = None
    seed: int = 0

    def sources(self) -> Sequence[Source]:
        """The modalities."""
        return sources_of(self.subsets, "volume")

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Find the objects of a volume from each kind of first mask."""
        truth = truth_labels(case)
        inside = self._range(truth)
        truth = truth[inside]
        view = AnnotatedFrames(case.open(), case.annotated_frames[inside])
        beginnings = middles(truth, self.mode, stored_boxes(case) if self.mode == "released" else {})
        by_boxes = self.slice_by_slice or not network.config.remembers
        rows: list[Row] = []
        picture = None
        for start in self.starts:
            first = self._first(network, view, truth, beginnings, start)
            found = pasted(self._carried(network, view, beginnings, first), truth.shape)
            score = score_case(found, truth, spacing_of(view.geometry, self.mode), RULES[self.mode])
            setting = f"init={start}{', slice by slice' if by_boxes else ''}"
            rows += case_rows(score, case, source, setting, self.mode)
            picture = worst_picture(view, found, truth) if picture is None else picture
        return Scored(rows, quality_of(rows), picture)

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Means over the volumes of each modality."""
        return case_cells(rows)

    def _range(self, truth: Labels) -> slice:
        """The slices that are looked at: all, or those between the first and the last object."""
        shown = np.flatnonzero(truth.any((1, 2)))
        if self.mode == "clean" or not len(shown):
            return slice(0, len(truth))
        return slice(int(shown[0]), int(shown[-1]) + 1)

    def _first(
        self,
        network: Network,
        view: AnnotatedFrames,
        truth: Labels,
        beginnings: Mapping[int, Beginning],
        start: str,
    ) -> dict[int, Mask]:
        """The first mask of each object."""
        if start == "truth":
            return {number: truth[one.frame] == number for number, one in beginnings.items()}
        asked = network
        if start != "box":
            asked = other_network(start, str(network.absent_pointer.device))
        size = self.image_size if asked is network else None
        return first_masks(BoxPrompter(asked, view, size), beginnings)

    def _carried(
        self,
        network: Network,
        view: AnnotatedFrames,
        beginnings: Mapping[int, Beginning],
        first: Mapping[int, Mask],
    ) -> dict[int, Mask]:
        if self.slice_by_slice or not network.config.remembers:
            return slice_by_slice(BoxPrompter(network, view, self.image_size), beginnings, first)
        session = OwnTracker(network, TrackerOptions(self.memory, self.image_size, seed=self.seed)).session(view)
        try:
            return track_both_ways(session, beginnings, first)
        finally:
            session.close()


@lru_cache(maxsize=1)
def other_network(name: str, device: str) -> Network:
    """A network that others begin with; the last one stays loaded."""
    return load(name, device)


PROTOCOL = Med3d
