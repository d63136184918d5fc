"""Medical videos from a box on the first frame (SAM 2 medical benchmark, table 4): DSC and NSD by modality.

An object's box on the first frame that shows it gives a mask, which is tracked forward; objects are tracked
independently and pasted in the order of their ids.

What the paper leaves open, and what is done here:

* Mode "released": nothing is found after the last true frame of an object, and its box is moved outwards by chance: by
  0 to 5 pixels, in endoscopy by 1 to 4 pixels of 1/256 of the sides. The release draws from one generator for all
  videos, so that a shift depends on the order of files; here the case, the object and `seed` decide. Mode "clean": the
  tight box, and tracking to the end.
* DSC is of the whole video as if it were a volume. For NSD the paper names no dimension: it is the mean, over frames
  that the object is on or found on, of the NSD of contours at 2 pixels; `nsd = "volume"` takes the video as a volume
  with spacing 1 instead.
* Modes, gate and rounding are those of `trocar.bench.challenge`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

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
    seed_of,
    sources_of,
    truth_labels,
    worst_picture,
)
from trocar.bench.middle_slice import Beginning, first_masks, track_both_ways
from trocar.bench.protocol import Scored, Source
from trocar.bench.results import Cell, Row
from trocar.bench.trackers import AnnotatedFrames, OwnTracker, TrackerOptions
from trocar.datasets import Case
from trocar.metrics import dice, nsd
from trocar.metrics.multiclass import CaseRules, CaseScore, score_case
from trocar.metrics.score import Score, mean, status_of
from trocar.model.network import Network
from trocar.prompts import outset_box, tight_box

NsdOf = Literal["frames", "volume"]


@dataclass(frozen=True)
class MedVideo:
    """Videos from a box on the first frame.

    Args:
        subsets: SUBSET=DATASET/SPLIT each.
        mode: released or clean, see above.
        nsd: of frames, or of the video as a volume.
        memory: as for `load_memory`.
        image_size: side of the network's input in pixels; None for its own.
        seed: of the boxes' shifts and of the policy's random streams.
    """

    title: ClassVar[str] = "Medical videos from a box on the first frame"
    published: ClassVar[tuple[tuple[str, str], ...]] = ((PAPER, "4"),)

    subsets: tuple[str, ...] = ("Ultrasound=cvpr24-video/Ultrasound", "Endoscopy=cvpr24-video/Endoscopy")
    mode: Mode = "released"
    nsd: NsdOf = "frames"
    memory: str = "recent"
    image_size: int | None = None
    seed: int = 0

    def sources(self) -> Sequence[Source]:
        """The modalities."""
        return sources_of(self.subsets, "video")

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Track the objects of a video from their boxes."""
        truth = truth_labels(case)
        view = AnnotatedFrames(case.open(), case.annotated_frames)
        beginnings = {
            number: self._beginning(truth, number, case, source) for number in np.unique(truth[truth > 0]).tolist()
        }
        first = first_masks(BoxPrompter(network, view, self.image_size), beginnings)
        session = OwnTracker(network, TrackerOptions(self.memory, self.image_size, seed=self.seed)).session(view)
        try:
            found = pasted(track_both_ways(session, beginnings, first, backward=False), truth.shape)
        finally:
            session.close()
        rows = case_rows(video_score(found, truth, RULES[self.mode], self.nsd), case, source, "box", self.mode)
        return Scored(rows, quality_of(rows), worst_picture(view, found, truth))

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Means over the videos of each modality."""
        return case_cells(rows)

    def _beginning(self, truth: Labels, number: int, case: Case, source: Source) -> Beginning:
        shown = np.flatnonzero((truth == number).any((1, 2))).tolist()
        mask = truth[shown[0]] == number
        if self.mode == "clean":
            return Beginning(shown[0], tight_box(mask), shown[0], len(truth) - 1)
        chance = np.random.default_rng([self.seed, *seed_of(case.name, number)])
        endoscopy = source.split == "Endoscopy"
        shift = int(chance.integers(1, 5) if endoscopy else chance.integers(0, 6))
        return Beginning(shown[0], outset_box(mask, shift, 256 if endoscopy else None), shown[0], shown[-1])


def video_score(found: Labels, truth: Labels, rules: CaseRules, of: NsdOf) -> CaseScore:
    """The scores of (frames, rows, columns) ids."""
    if of == "volume":
        return score_case(found, truth, (1.0, 1.0, 1.0), rules)
    present = np.unique(truth[truth > 0]).tolist()
    numbers = range(1, max(present, default=0) + 1) if rules.labels == "up_to_largest" else present
    masks = {number: (found == number, truth == number) for number in numbers}
    dices = {number: dice(*pair, both_empty=rules.both_empty) for number, pair in masks.items()}
    nsds = {}
    for number, pair in masks.items():
        each = [nsd(*frame, (1.0, 1.0), rules.tolerance_mm) for frame in zip(*pair, strict=True)]
        values = [one.value for one in each if one.status != "both_empty"]
        nsds[number] = Score(mean(values), status_of(pair[0].any(), pair[1].any()))
    return CaseScore(dices, nsds, rules.gate)


PROTOCOL = MedVideo
