"""EndoVis across data sets (SurgicalSAM, table 4): trained on one year, scored on the other.

Only the four classes that both years have in the paper's table are scored, and their plain mean; pixels of other
classes are background. What was trained on the other year is scored from its predictions or as a class model, {split}
in whose file's name is "train" for 2018 to 2017 and "val" for 2017 to 2018; the oracle prompts, which learn from
neither year, stand beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from trocar.bench.label_maps import LabelMaps, initials
from trocar.metrics.endovis import ClassCounts, class_ious
from trocar.metrics.score import Average, mean


@dataclass(frozen=True)
class EndoVisCross(LabelMaps):
    """EndoVis 2017 and 2018.

    Args:
        subsets: SUBSET=DATASET/SPLIT each.
        classes: initials of the classes that count.
        prompts and the others: as in `LabelMaps`.
    """

    title: ClassVar[str] = "EndoVis across data sets"
    published: ClassVar[tuple[tuple[str, str], ...]] = (("SurgicalSAM", "4"),)

    subsets: tuple[str, ...] = ("18->17=endovis17/train", "17->18=endovis18-instruments/val")
    classes: tuple[str, ...] = ("BF", "PF", "LND", "MCS")

    def figures(self, counts: ClassCounts, names: Sequence[str]) -> dict[str, Average]:
        """The IoU of each class, and their mean over the classes that have one."""
        found = {initials(name): one for name, one in zip(names, class_ious(counts), strict=True)}
        missing = [name for name in self.classes if name not in found]
        if missing:
            raise ValueError(f"there is no class {', '.join(missing)}: choose from {', '.join(found)}")
        kept = {f"IoU_{name}": found[name] for name in self.classes}
        values = [one.value for one in kept.values() if one.counted]
        return {**kept, "MeanIoU": Average(mean(values), len(values), len(kept) - len(values))}


PROTOCOL = EndoVisCross
