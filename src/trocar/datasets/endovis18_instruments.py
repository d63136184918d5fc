"""EndoVis 2018 with the types of instruments that ISINet's authors added: SA-SV's EV18-I and SurgicalSAM's EndoVis2018.

Values 1 to 7 are the types in the order below. ISINet's own scripts can also write labels in the numbering of
EndoVis 2017, where 4 and 5 are other instruments and 8 and 9 occur: those have to be renumbered first (6 to 4, 7 to 5,
8 to 6, 9 to 7). Sequences keep their numbers from the challenge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import Palette
from trocar.datasets.picture_cases import matched, picture_case

CLASSES = {
    1: "bipolar forceps",
    2: "prograsp forceps",
    3: "large needle driver",
    4: "monopolar curved scissors",
    5: "ultrasound probe",
    6: "suction instrument",
    7: "clip applier",
}
PALETTE = Palette({number: number for number in (0, *CLASSES)})
SEQUENCES = {"train": (1, 3, 4, 6, 7, 10, 11, 12, 13, 14, 16), "val": (2, 5, 9, 15)}
SPLITS = {
    split: Split(
        f"{about}, 149 frames each", len(own), tuple(f"seq_{number}" for number in own), reported=split == "val"
    )
    for (split, own), about in zip(SEQUENCES.items(), ("ISINet's training sequences", "ISINet's others"), strict=True)
}


def cases(root: Path, split: str) -> Iterator[Case]:
    images, labels = matched(root / split / "images" / "*.png", root / split / "annotations" / "*.png")
    sequences: dict[str, list[int]] = {}
    for place, path in enumerate(images):
        number = re.match(r"seq_?(\d+)_frame\d+$", path.stem)
        if number is None:
            raise ValueError(f"{path} is not called seq_N_frameNNN.png: is it the set's own file?")
        sequences.setdefault(f"seq_{number[1]}", []).append(place)
    for name in SPLITS[split].names:
        if own := sequences.get(name):
            frames, truths = [images[place] for place in own], [labels[place] for place in own]
            yield picture_case(name, frames, truths, PALETTE.read, CLASSES)


def write_fixture(root: Path) -> None:
    for split, numbers in SEQUENCES.items():
        for number in numbers:
            images, labels = made_up(2, (1, 3, 6), seed=number)
            for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
                save(root / split / "images" / f"seq_{number}_frame{frame:03d}.png", image)
                save(root / split / "annotations" / f"seq_{number}_frame{frame:03d}.png", truth)


DATASET = Dataset(
    name="endovis18-instruments",
    title="EndoVis 2018 with ISINet's instrument types",
    frames="video",
    ids="classes",
    licence="frames as EndoVis 2018; for the types ask the authors of ISINet",
    obtain="https://github.com/BCV-Uniandes/ISINet (a link to the annotations; frames from EndoVis 2018)",
    citation="González et al., ISINet: an instance-based approach for surgical instrument segmentation, MICCAI 2020",
    classes=CLASSES,
    splits=SPLITS,
    layout="train/images/seq_N_frameNNN.png\ntrain/annotations/seq_N_frameNNN.png\n"
    "val/images/seq_N_frameNNN.png\nval/annotations/seq_N_frameNNN.png",
    cases=cases,
    write_fixture=write_fixture,
)
