"""SA-SV's interactive video segmentation (SAM2S, tables 2 to 6): prompt once, track to the end, J&F of each masklet.

What the paper leaves open, and what is done here:

* Clicks are SAM 2's "center" clicks on the prompted frame, at the truth's own size, each with the logits of the answer
  before it; a box is tight, its corner pixels included, without jitter.
* An object is prompted on the first annotated frame that shows it, however small it is; its area there is a row.
  Nothing before that frame is scored, and nothing is tracked backward.
* Only annotated frames are visited, as if they followed one another.
* Objects are tracked and scored independently; masks may overlap.
* The headline leaves out the prompted frame; the default of SA-V's evaluator stands beside it (`prompted_once`).
* A subset is the mean over its masklets, the average the plain mean of the subsets.
* The paper corrected masks by hand and does not list its videos: labels as their owners publish them, such as
  `--subsets EV18-I=endovis18-instruments/val`, give other figures. Ids must stay with their objects throughout a
  video, see `trocar datasets masklets`. A subset of the paper's name is expected to have the paper's number of videos.
* Precision and post-processing are not stated: everything runs in float32, and nothing is cleaned up.
* Frames per second are in `timings.json`: the first 10 frames of a case are left out, all its objects run at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from trocar.bench.masklets import PromptKind
from trocar.bench.prompted_once import PromptedOnce
from trocar.bench.protocol import Source, parse_sources
from trocar.load import load_dataset

#: Subset -> how many videos it is published with.
VIDEOS = {
    "EV17": 3,
    "EV18-I": 4,
    "RARP50": 10,
    "Hyst-YT": 6,
    "CIS-Test": 4,
    "EV18-T": 4,
    "PolypGen": 21,
    "SurgAI3.8k": 51,
}


@dataclass(frozen=True)
class SaSv(PromptedOnce):
    """SA-SV.

    Args:
        subsets: the table's columns, SUBSET=DATASET/SPLIT[/FOLDER] each; the paper's are expected as masklets in the
            layout of own-data, a folder each in its test split.
        prompts, tracker, memory, image_size, min_area_px, seed: as in `PromptedOnce`.
    """

    title: ClassVar[str] = "SA-SV interactive video segmentation"
    published: ClassVar[tuple[tuple[str, str], ...]] = tuple(("SAM2S", table) for table in ("2", "3", "4", "5", "6"))

    prompts: tuple[PromptKind, ...] = ("3-click", "1-click", "5-click", "box", "mask")
    subsets: tuple[str, ...] = tuple(f"{name}=own-data/test/{name}" for name in VIDEOS)

    def sources(self) -> Sequence[Source]:
        """The subsets.

        Raises:
            ValueError: ids of a data set do not stay with their objects, so that there is nothing to track by.
        """
        found = parse_sources(self.subsets, VIDEOS)
        for source in found:
            if load_dataset(source.dataset).ids == "instances":
                raise ValueError(
                    f"{source.dataset} numbers the objects of each frame anew: make masklets of it with `trocar "
                    "datasets masklets` and name those in subsets"
                )
        return found


PROTOCOL = SaSv
