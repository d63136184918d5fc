"""Data sets: one file each, from files on disk to cases with truth; and scenes rendered from a seed, as clips.

`trocar.load.load_dataset` turns a name into its `Dataset`.
"""

from __future__ import annotations

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.clip import Clip, read_clip
from trocar.datasets.dataset import Dataset, Split

__all__ = ["DATASETS", "Case", "Clip", "Dataset", "FrameTruth", "Split", "read_clip"]

#: Name -> the module of this package whose `DATASET` it is.
DATASETS: dict[str, str] = {
    "nuclei": "nuclei",
    "vocalfolds": "vocalfolds",
}
