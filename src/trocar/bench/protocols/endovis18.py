"""EndoVis 2018 instrument types (SurgicalSAM, table 1): ISINet's labels and its four validation videos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trocar.bench.label_maps import LabelMaps


@dataclass(frozen=True)
class EndoVis18(LabelMaps):
    """EndoVis 2018.

    Args:
        subsets: SUBSET=DATASET/SPLIT each.
        prompts and the others: as in `LabelMaps`.
    """

    title: ClassVar[str] = "EndoVis 2018 instrument types"
    published: ClassVar[tuple[tuple[str, str], ...]] = (("SurgicalSAM", "1"),)

    subsets: tuple[str, ...] = ("EndoVis2018=endovis18-instruments/val",)
    references: str = "endovis18-instruments/train"


PROTOCOL = EndoVis18
