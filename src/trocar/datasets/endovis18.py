"""EndoVis 2018, robotic scene segmentation: porcine nephrectomies with tissue, parts of instruments, thread and clamps.

Colours are those of the owners' labels.json; black is any other tissue. There is no sequence 8. Labels that the owners
corrected later come apart from the releases and have to be put in place of the old ones first. The truth of SA-SV's
EV18-T is the tissue in here; its EV18-I has the types of instruments, which are in "endovis18-instruments". The split
into train and val is that of ISINet, which SurgicalSAM and SA-SV (val: 4 x 149 frames) keep.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import coloured, made_up, save
from trocar.datasets.palette import Colour, Palette
from trocar.datasets.picture_cases import matched, picture_case

CLASSES = {
    1: "instrument shaft",
    2: "instrument clasper",
    3: "instrument wrist",
    4: "kidney parenchyma",
    5: "covered kidney",
    6: "thread",
    7: "clamps",
    8: "suturing needle",
    9: "suction instrument",
    10: "small intestine",
    11: "ultrasound probe",
}
COLOURS: dict[int, Colour] = {
    0: (0, 0, 0),
    1: (0, 255, 0),
    2: (0, 255, 255),
    3: (125, 255, 12),
    4: (255, 55, 0),
    5: (24, 55, 125),
    6: (187, 155, 25),
    7: (0, 255, 125),
    8: (255, 255, 125),
    9: (123, 15, 175),
    10: (124, 155, 5),
    11: (12, 255, 141),
}
PALETTE = Palette({colour: number for number, colour in COLOURS.items()})
RELEASES = {
    "miccai_challenge_2018_release_1": (1, 2, 3, 4),
    "miccai_challenge_release_2": (5, 6, 7),
    "miccai_challenge_release_3": (9, 10, 11, 12),
    "miccai_challenge_release_4": (13, 14, 15, 16),
}
VAL = (2, 5, 9, 15)
FOLDERS = {f"seq_{number}": f"{release}/seq_{number}" for release, own in RELEASES.items() for number in own}
FOLDERS |= {f"test/seq_{number}": f"test_data/seq_{number}" for number in (1, 2, 3, 4)}
HELD = tuple(f"seq_{number}" for number in VAL)
KEPT = tuple(name for name in FOLDERS if name not in HELD and not name.startswith("test/"))
SPLITS = {
    "train": Split("training sequences that ISINet trains on, 149 frames each", 11, KEPT),
    "val": Split(
        "training sequences that ISINet holds out, and SA-SV's test set, 149 frames each", 4, HELD, reported=True
    ),
    "test": Split(
        "the owners' test sequences", 4, tuple(name for name in FOLDERS if name.startswith("test/")), reported=True
    ),
}


def cases(root: Path, split: str) -> Iterator[Case]:
    for name in SPLITS[split].names:
        folder = root / FOLDERS[name]
        if folder.is_dir():
            frames, truths = matched(folder / "left_frames" / "*.png", folder / "labels" / "*.png")
            yield picture_case(name, frames, truths, PALETTE.read, CLASSES)


def write_fixture(root: Path) -> None:
    for place, folder in enumerate(FOLDERS.values()):
        images, labels = made_up(2, (1, 2, 4, 9), seed=place)
        for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
            save(root / folder / "left_frames" / f"frame{frame:03d}.png", image)
            save(root / folder / "labels" / f"frame{frame:03d}.png", coloured(truth, COLOURS))


DATASET = Dataset(
    name="endovis18",
    title="EndoVis 2018, robotic scene segmentation",
    frames="video",
    ids="classes",
    licence="the challenge's rules, to which one consents when joining it",
    obtain="https://endovissub2018-roboticscenesegmentation.grand-challenge.org/ (an account)",
    citation="Allan et al., 2018 robotic scene segmentation challenge, arXiv 2001.11190, 2020",
    classes=CLASSES,
    splits=SPLITS,
    layout="miccai_challenge_2018_release_1/seq_N/left_frames/frameNNN.png  labels/frameNNN.png  (N from 1 to 4)\n"
    "miccai_challenge_release_2/seq_N/...  (5 to 7)\nmiccai_challenge_release_3/seq_N/...  (9 to 12)\n"
    "miccai_challenge_release_4/seq_N/...  (13 to 16)\ntest_data/seq_N/...  (1 to 4)",
    cases=cases,
    write_fixture=write_fixture,
)
