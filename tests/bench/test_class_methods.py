"""Rows of SurgicalSAM's tables: what each method is told, and that it says so."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from made_cases import made_case

from trocar.bench.class_methods import METHODS, Asked, class_maps, first_references, persam_maps
from trocar.bench.label_maps import class_names
from trocar.bench.protocol import Source
from trocar.bench.protocols.endovis17 import EndoVis17
from trocar.bench.protocols.endovis18 import EndoVis18
from trocar.bench.trackers import AnnotatedFrames
from trocar.classprompt import ClassModel, ClassPromptConfig
from trocar.formats.coco_detections import read_detections
from trocar.load import load_dataset
from trocar.model import Network, tiny_random
from trocar.prompts import Box, tight_box
from trocar.track.features import input_of
from trocar.track.session import Session

SOURCE = Source("set", "vocalfolds", "tune")
NAMES = class_names("vocalfolds")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random()).eval()


def labels() -> np.ndarray:
    """Class 1 on both frames, class 3 on the second alone."""
    made = np.zeros((2, 32, 48), np.uint8)
    made[:, 4:16, 6:20] = 1
    made[1, 20:30, 26:44] = 3
    return made


def view_of(case: object) -> AnnotatedFrames:
    return AnnotatedFrames(case.open(), case.annotated_frames)  # type: ignore[attr-defined]


def truths(place: int) -> dict[int, np.ndarray]:
    return {int(one): labels()[place] == one for one in np.unique(labels()[place]) if one}


def class_model(network: Network, path: Path, presence: tuple[tuple[float, ...], ...] = ()) -> str:
    torch.manual_seed(1)
    config = ClassPromptConfig(("glottal space", "vocal folds"), 64, 16, 64, presence=presence)
    ClassModel(config, network).save(path)
    return str(path)


def test_what_reads_the_truth_of_a_scored_frame_says_oracle() -> None:
    assert {name for name in METHODS if "oracle" not in name} == {"detector", "class model"}


def test_a_detectors_boxes_are_prompts_and_the_oracle_drops_absent_classes(network: Network, tmp_path: Path) -> None:
    case = made_case(labels())
    document = {
        "images": [{"id": 7, "file_name": "f10.png"}, {"id": 5, "file_name": "f2.png"}],
        "categories": [{"id": 4, "name": "vocal_folds"}, {"id": 9, "name": "glottal space"}],
        "annotations": [
            {"image_id": 5, "category_id": 4, "bbox": [6, 4, 14, 12], "score": 0.9},
            {"image_id": 5, "category_id": 9, "bbox": [26, 20, 18, 10], "score": 0.8},
            {"image_id": 7, "category_id": 4, "bbox": [6, 4, 14, 12], "score": 0.2},
        ],
    }
    (tmp_path / "vocalfolds").mkdir()
    (tmp_path / "vocalfolds" / "made.json").write_text(json.dumps(document))
    asked = Asked(network, "vocalfolds", NAMES, "made", detections=str(tmp_path))
    free, second = class_maps("detector", asked, view_of(case), truths)
    assert not second.any(), "its box is below the score"
    session = Session(network, case.open())
    alone = session.add(tight_box(labels()[0] == 1), frame=0).masks[1]
    assert NAMES[0] == "vocal folds"
    told = list(class_maps("detector (oracle classes)", asked, view_of(case), truths))
    assert np.array_equal(told[0] == 1, alone), "the box of COCO is that of the first and the last pixel"
    assert set(np.unique(told[0])) <= {0, 1}
    assert not np.array_equal(free, told[0]) or not (free == 3).any()


def test_detections_are_read_from_a_document_or_a_bare_list(tmp_path: Path) -> None:
    results = [{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]
    path = tmp_path / "bare.json"
    path.write_text(json.dumps(results))
    first, second = read_detections(path, 2, {2: "hook"})
    assert first == []
    assert (second[0].class_name, second[0].box, second[0].score) == ("hook", Box(1, 2, 3, 5), 0.5)
    with pytest.raises(ValueError, match="image 1: there are 1 frames"):
        read_detections(path, 1, {2: "hook"})
    with pytest.raises(ValueError, match="class 2, which has no name"):
        read_detections(path, 2, {1: "hook"})
    path.write_text('{"images": []}')
    with pytest.raises(ValueError, match="lists 0 images, and 2 frames are annotated"):
        read_detections(path, 2, {})
    path.write_text("[{]")
    with pytest.raises(ValueError, match=r"bare\.json"):
        read_detections(path, 2, {})
    with pytest.raises(FileNotFoundError, match="DATASET/CASE"):
        read_detections(tmp_path / "none.json", 2, {})


@pytest.mark.parametrize("points", [1, 5])
def test_points_start_where_a_class_first_shows_and_memory_goes_on(network: Network, points: int) -> None:
    case = made_case(labels()[[1, 0, 0]][::-1].copy())  # class 3 appears on the last frame alone
    shown = [labels()[0], labels()[0], labels()[1]]
    found = list(
        class_maps(
            "5 points tracked (oracle start)" if points == 5 else "1 point tracked (oracle start)",
            Asked(network, "vocalfolds", NAMES, "made"),
            view_of(case),
            lambda place: {int(one): shown[place] == one for one in np.unique(shown[place]) if one},
        )
    )
    assert len(found) == 3
    assert all(set(np.unique(one)) <= {0, 1} for one in found[:2]), "nothing is known of class 3 before its points"


def test_frames_before_the_first_class_are_empty(network: Network) -> None:
    case = made_case(labels())
    found = list(
        class_maps(
            "1 point tracked (oracle start)",
            Asked(network, "vocalfolds", NAMES, "made"),
            view_of(case),
            lambda place: {} if place == 0 else truths(1),
        )
    )
    assert len(found) == 2
    assert not found[0].any()


@pytest.mark.parametrize("tuned", [False, True])
def test_persam_finds_classes_that_have_a_reference(network: Network, tuned: bool) -> None:
    case = made_case(labels())
    shots = [(case.open()[0].image, truths(0))]  # class 3 has none
    shown = input_of(network.config)
    references = first_references(network, shots, 2, shown, tuned)
    assert list(references) == [1]
    assert (references[1].weights is not None) == tuned
    with torch.inference_mode():
        maps = list(persam_maps(network, references, shown, view_of(case), truths))
    assert all(set(np.unique(one)) <= {0, 1} for one in maps)


def test_a_class_model_is_asked_by_name_and_oracle_classes_keep_out_absent_ones(
    network: Network, tmp_path: Path
) -> None:
    path = class_model(network, tmp_path / "a.safetensors")
    asked = Asked(network, "vocalfolds", NAMES, "made", class_model=path)
    first, second = class_maps("class model (oracle classes)", asked, view_of(made_case(labels())), truths)
    assert set(np.unique(first)) <= {0, NAMES.index("vocal folds") + 1}
    assert set(np.unique(second)) <= {0, NAMES.index("vocal folds") + 1, NAMES.index("glottal space") + 1}
    with pytest.raises(ValueError, match="presence was never calibrated"):
        next(class_maps("class model", asked, view_of(made_case(labels())), truths))


def test_models_of_several_seeds_have_a_row_each_a_mean_and_a_spread(network: Network, tmp_path: Path) -> None:
    for seed in (1, 2):
        torch.manual_seed(seed)
        config = ClassPromptConfig(("vocal folds", "glottal space"), 64, 16, 64)
        ClassModel(config, network).save(tmp_path / f"tune-{seed}.safetensors")
    protocol = EndoVis18(
        prompts=("class model (oracle classes)",),
        class_models=(f"{tmp_path}/{{split}}-1.safetensors", f"{tmp_path}/{{split}}-2.safetensors"),
    )
    rows = protocol.score(network, made_case(labels()), SOURCE).rows
    cells = {(cell.setting, cell.metric): cell.value for cell in protocol.cells(rows)}
    own = [cells[f"class model (oracle classes) {number}", "ChallengeIoU"] for number in (1, 2)]
    assert cells["class model (oracle classes), mean of 2", "ChallengeIoU"] == pytest.approx(np.mean(own))
    assert cells["class model (oracle classes), sd of 2", "ChallengeIoU"] == pytest.approx(np.std(own, ddof=1))
    assert own[0] == cells["class model (oracle classes) 1", "IoU"], "told the classes, IoU is Challenge IoU"


def test_what_a_method_lacks_is_named(network: Network) -> None:
    asked, view = Asked(network, "vocalfolds", NAMES, "made"), view_of(made_case(labels()))
    for name, said in {
        "detector": "needs boxes",
        "class model": "needs one",
        "PerSAM (oracle classes)": "references =",
    }.items():
        with pytest.raises(ValueError, match=said):
            next(class_maps(name, asked, view, truths))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="class_models ="):
        EndoVis18(prompts=("class model",)).score(network, made_case(labels()), SOURCE)


def test_persams_references_come_from_the_folds_own_training_split(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = load_dataset("endovis17")
    dataset.write_fixture(tmp_path / dataset.folder)
    monkeypatch.setenv("TROCAR_DATA", str(tmp_path))
    protocol = EndoVis17(prompts=("PerSAM (oracle classes)",))
    case = dataset.read(tmp_path / dataset.folder, "fold0")[0]
    rows = protocol.score(network, case, protocol.sources()[0]).rows
    assert {row.setting for row in rows} == {"PerSAM (oracle classes)"}
    assert any(row.metric == "pred_px" and row.value > 0 for row in rows)
