"""SegRap2023: planning CT of nasopharyngeal cancer, 45 organs at risk and 2 tumour volumes, 120 labelled patients.

Read are the plain CT and the one-file label maps of both tasks. Organs overlap: seven kinds of label mean that a voxel
belongs to two of them. Label maps of the first release are meant; the owners have corrected some organs since.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset, Split
from trocar.datasets.fixture import save_made_up
from trocar.datasets.listing import in_order, names_between
from trocar.datasets.volume_cases import volume_case

_SAID = (
    "Brain BrainStem Chiasm TemporalLobe_L TemporalLobe_R TemporalLobe_L+Hippocampus_L TemporalLobe_R+Hippocampus_R "
    "Hippocampus_L Hippocampus_R Eye_L Eye_R Lens_L Lens_R OpticNerve_L OpticNerve_R MiddleEar_L MiddleEar_R IAC_L "
    "IAC_R MiddleEar_L+TympanicCavity_L MiddleEar_R+TympanicCavity_R TympanicCavity_L TympanicCavity_R "
    "MiddleEar_L+VestibulSemi_L MiddleEar_R+VestibulSemi_R VestibulSemi_L VestibulSemi_R Cochlea_L Cochlea_R "
    "MiddleEar_L+ETbone_L MiddleEar_R+ETbone_R ETbone_L ETbone_R Pituitary OralCavity Mandible_L Mandible_R "
    "Submandibular_L Submandibular_R Parotid_L Parotid_R Mastoid_L Mastoid_R TMjoint_L TMjoint_R SpinalCord Esophagus "
    "Larynx Larynx_Glottic Larynx_Supraglot Larynx+PharynxConstr PharynxConstr Thyroid Trachea"
)
LABELS = tuple(_SAID.split())
"""What the labels of task 1 stand for, from 1; "+" joins the organs of an overlap."""

ORGANS = dict(enumerate((label for label in LABELS if "+" not in label), start=1))
TUMORS = {46: "GTVp", 47: "GTVnd"}
IDS = {name: number for number, name in ORGANS.items()}
SPLITS = {
    "organs": Split("task 1 of the challenge: organs at risk of the training patients", 120, reported=True),
    "tumors": Split("task 2 of the challenge: gross tumour volumes of the same patients", 120, reported=True),
}
FOLDER = "SegRap2023_Training_Set_120cases"


def organs_of(label: int) -> tuple[int, ...]:
    """The ids of the organs that a label of task 1 belongs to; () for one that is not known."""
    return tuple(IDS[name] for name in LABELS[label - 1].split("+")) if 0 < label <= len(LABELS) else ()


def tumors_of(label: int) -> tuple[int, ...]:
    """The id of the tumour volume that a label of task 2 is; () for one that is not known."""
    return {1: (46,), 2: (47,)}.get(label, ())


def cases(root: Path, split: str) -> Iterator[Case]:
    task, objects, meaning = ("Task001", ORGANS, organs_of) if split == "organs" else ("Task002", TUMORS, tumors_of)
    labels = root / f"{FOLDER}_OneHot_Labels" / task
    for name in in_order(names_between(root / FOLDER, "segrap_", "") + names_between(labels, "segrap_", ".nii.gz")):
        image = root / FOLDER / f"segrap_{name}" / "image.nii.gz"
        yield volume_case(f"segrap_{name}", image, labels / f"segrap_{name}.nii.gz", objects, meaning)


def write_fixture(root: Path) -> None:
    for number in range(2):
        name = f"segrap_{number:04d}"
        for task, ids in (("Task001", (1, 6, 24, 51)), ("Task002", (1, 2))):
            labels = root / f"{FOLDER}_OneHot_Labels" / task / f"{name}.nii.gz"
            save_made_up(root / FOLDER / name / "image.nii.gz", labels, ids, number)


DATASET = Dataset(
    name="segrap23",
    title="SegRap2023",
    frames="volume",
    ids="classes",
    licence="stated by the challenge on registration",
    obtain="https://segrap2023.grand-challenge.org/dataset/",
    citation="Luo et al., SegRap2023: a benchmark of organs-at-risk and gross tumor volume segmentation for "
    "radiotherapy planning of nasopharyngeal carcinoma, arXiv:2312.09576",
    classes=ORGANS | TUMORS,
    splits=SPLITS,
    layout=f"{FOLDER}/segrap_NNNN/image.nii.gz\n{FOLDER}_OneHot_Labels/Task00T/segrap_NNNN.nii.gz",
    cases=cases,
    write_fixture=write_fixture,
    overlapping_splits=True,
)
