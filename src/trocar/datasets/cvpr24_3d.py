"""The 3-D files of the CVPR 2024 challenge, on which the SAM 2 medical benchmark ran from the middle slice.

A split is a modality. `imgs` and `gts` are (slices, rows, columns), grey levels and labels, in one order, which is
kept; `spacing` is (x, y, z) in mm, as SimpleITK gives it. The owners do not say how many files each modality has.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from trocar.datasets.case import Case, FrameTruth
from trocar.datasets.challenge_cases import (
    CITATION,
    LICENCE,
    OBTAIN,
    PromptedCase,
    boxed_objects,
    challenge_files,
    read_array,
    shape_of,
    stored_boxes,
    write_challenge,
)
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import made_up
from trocar.datasets.volume_cases import kept, label_truth
from trocar.formats.intensity import Values
from trocar.formats.volume import ArrayVoxels, VolumeSource, stack_grid

MODALITIES = ("CT", "MR", "PET")


def cases(root: Path, split: str) -> Iterator[Case]:
    for name, image, labels in challenge_files(root, "3D", split):
        yield _case(name, image, labels)


def _case(name: str, image: Path, labels: Path) -> Case:
    objects = boxed_objects(image)
    read_labels = partial(read_array, labels, "gts")

    def truth(frame: int) -> FrameTruth:
        volume = kept(read_labels)
        if not 0 <= frame < len(volume):
            raise ValueError(f"{labels} has {len(volume)} slices and none of number {frame}: fetch it again")
        return label_truth(volume[frame], objects, labels)

    slices = (*shape_of(image, "imgs"), 0)[0]
    return PromptedCase(name, slices, partial(_volume, image), truth, objects, boxes=partial(stored_boxes, image))


def _volume(path: Path) -> VolumeSource:
    voxels, spacing = read_array(path, "imgs"), read_array(path, "spacing")
    if voxels.ndim != 3 or spacing.size != 3:
        raise ValueError(f"{path}: imgs is {voxels.shape} and spacing {spacing.shape}: a volume was expected")
    x, y, z = (float(side) for side in spacing.ravel())
    return VolumeSource(str(path), ArrayVoxels(voxels), stack_grid((z, y, x)), values=Values(grey_levels=True))


def write_fixture(root: Path) -> None:
    for seed, modality in enumerate(MODALITIES):
        images, labels = made_up(4, (1, 2), (20, 28), seed)
        write_challenge(root, f"3DBox_{modality}_{seed:04d}", images[..., 0], labels, (0.5, 0.5, 3.0))


DATASET = Dataset(
    name="cvpr24-3d",
    title="CVPR 2024 challenge, 3-D files",
    frames="volume",
    ids="masklets",
    licence=LICENCE,
    obtain=OBTAIN,
    citation=CITATION,
    classes={},
    splits={modality: Split("the modality, as the file names say", reported=True) for modality in MODALITIES},
    layout="imgs/3DBox_MODALITY_NNNN.npz (imgs, boxes, spacing)\ngts/3DBox_MODALITY_NNNN.npz (gts, spacing)",
    cases=cases,
    write_fixture=write_fixture,
)
