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
    "acdc": "acdc",
    "art-net": "art_net",
    "atlas23": "atlas23",
    "autolaparo": "autolaparo",
    "bkai-igh": "bkai_igh",
    "btcv": "btcv",
    "cas23": "cas23",
    "cholecinstanceseg": "cholecinstanceseg",
    "cholecseg8k": "cholecseg8k",
    "coco": "coco",
    "crossmoda23": "crossmoda23",
    "cvc-clinicdb": "cvc_clinicdb",
    "cvpr24-2d": "cvpr24_2d",
    "cvpr24-3d": "cvpr24_3d",
    "cvpr24-video": "cvpr24_video",
    "davis17": "davis17",
    "dsad": "dsad",
    "endoscapes": "endoscapes",
    "endovis17": "endovis17",
    "endovis18": "endovis18",
    "endovis18-instruments": "endovis18_instruments",
    "flare22": "flare22",
    "grasp": "grasp",
    "hyst-yt": "hyst_yt",
    "isic18": "isic18",
    "kits23": "kits23",
    "kvasir-seg": "kvasir_seg",
    "lnq23": "lnq23",
    "nuclei": "nuclei",
    "own-data": "own_data",
    "pendal": "pendal",
    "polypgen": "polypgen",
    "refuge": "refuge",
    "robotool": "robotool",
    "sa-v": "sa_v",
    "sar-rarp50": "sar_rarp50",
    "segrap23": "segrap23",
    "stare": "stare",
    "surgai3.8k": "surgai38k",
    "tdsc-abus23": "tdsc_abus23",
    "toothfairy": "toothfairy",
    "vocalfolds": "vocalfolds",
    "wbc": "wbc",
}
