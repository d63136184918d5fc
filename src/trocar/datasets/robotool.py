"""RoboTool: frames of 20 freely available robotic procedures with all tools as one black and white mask.

Frames and masks lie side by side: dv9_00329.png and dv9_00329_seg.png; what stands before the last "_" is the
procedure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up, save
from trocar.datasets.palette import read_binary
from trocar.datasets.picture_cases import case_each, matched

CLASSES = {1: "tool"}


def cases(root: Path, split: str) -> Iterator[Case]:
    for case in case_each(*matched(root / "*.png", root / "*_seg.png"), read_binary, CLASSES):
        yield replace(case, group=case.name.rpartition("_")[0] or case.name)


def write_fixture(root: Path) -> None:
    for place, name in enumerate(("dv1_00012", "dv1_00329", "dv9_00329")):
        images, labels = made_up(1, (1,), seed=place)
        save(root / f"{name}.png", images[0])
        save(root / f"{name}_seg.png", labels[0] * 255)


DATASET = Dataset(
    name="robotool",
    title="RoboTool",
    frames="picture",
    ids="classes",
    licence="stated on its Synapse page, which is shown after signing in",
    obtain="https://www.synapse.org/Synapse:syn22427422 (an account)",
    citation="Garcia-Peraza-Herrera et al., Image compositing for segmentation of surgical tools without manual "
    "annotations, IEEE TMI 2021",
    classes=CLASSES,
    splits={"train": Split("all there is, as SA-SV trains on it", 514)},
    layout="PROCEDURE_NNNNN.png\nPROCEDURE_NNNNN_seg.png",
    cases=cases,
    write_fixture=write_fixture,
)
