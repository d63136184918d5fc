"""Protocols on medical pictures, volumes and videos: what they score is what direct computation gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_cases import made_case

from trocar.bench.challenge import BoxPrompter, pasted
from trocar.bench.middle_slice import Beginning
from trocar.bench.protocol import RunOptions, Source, protocol_class, read_protocol, run_protocol
from trocar.bench.protocols.flare22 import Flare22, organ_rows, released_beginnings, released_box
from trocar.bench.protocols.med_2d import Med2d, picture_rows
from trocar.bench.protocols.med_3d import Med3d
from trocar.bench.protocols.med_video import MedVideo, video_score
from trocar.bench.protocols.medsam_2 import MedSam2, prompted_slices, volume_rows
from trocar.bench.results import Row
from trocar.datasets import Case
from trocar.datasets.challenge_cases import PromptedCase
from trocar.load import load_dataset
from trocar.metrics import dice, nsd
from trocar.metrics.multiclass import CVPR24, CVPR25, score_case
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.model.config import tiny_sam
from trocar.model.sam1 import make_network
from trocar.prompts import Box, MaskPrompt, outset_box, tight_box
from trocar.track.session import Session

SOURCE = Source("set", "cvpr24-3d", "CT")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(replace(tiny_random(), dense_prompts=True, mask_prior=True)).eval()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, network: Network) -> Path:
    """Weights of a tiny network, and made-up sets as the protocols ask for them."""
    root = tmp_path_factory.mktemp("data")
    save_weights(network, root / "tiny.safetensors", {})
    for name in ("cvpr24-2d", "cvpr24-3d", "cvpr24-video", "flare22", "btcv"):
        dataset = load_dataset(name)
        dataset.write_fixture(root / dataset.folder)
    return root


def volume() -> np.ndarray:
    labels = np.zeros((5, 24, 32), np.uint16)
    labels[1:4, 4:12, 4:14] = 1
    labels[2:5, 14:20, 16:28] = 2
    return labels


def values(rows: Sequence[Row], metric: str) -> dict[tuple[str, str], float]:
    return {(row.setting, row.object): row.value for row in rows if row.metric == metric}


def with_boxes(case: Case, boxes: dict[int, Box]) -> PromptedCase:
    return PromptedCase(case.name, case.frames, case.open, case.truth, case.objects, boxes=lambda: boxes)


@pytest.mark.parametrize("name", ["med-2d", "med-3d", "med-video", "flare22", "medsam-2"])
@pytest.mark.parametrize("mode", ["released", "clean"])
def test_a_run_on_made_up_files_is_whole_and_repeats_itself(name: str, mode: str, root: Path, tmp_path: Path) -> None:
    protocol = protocol_class(name)(mode=mode)
    if name == "medsam-2":
        protocol = replace(protocol, repeats=2)
    limit = 1 if name in ("flare22", "medsam-2") else None
    for out in ("one", "two"):
        outcome = run_protocol(
            protocol, str(root / "tiny.safetensors"), tmp_path / out, RunOptions(root, 1, "cpu", limit)
        )
        assert not outcome.failures
        assert outcome.cells
        assert limit or not outcome.partial
    kept = [path.name for path in (tmp_path / "one" / "pictures").iterdir()]
    assert kept or (name, mode) == ("medsam-2", "released")
    for file in ("cases.parquet", "summary.json", "pictures.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_pictures_are_scored_as_slabs_or_as_contours() -> None:
    truth = volume()[2]
    found = np.roll(truth, 3, axis=1)
    clean = {row.metric: row.value for row in picture_rows(found, truth, made_case(truth), SOURCE, "clean")}
    pairs = [(found == number, truth == number) for number in (1, 2)]
    assert clean["DSC"] == dice(*pairs[1]).value  # rows of objects come last
    rows = picture_rows(found, truth, made_case(truth), SOURCE, "clean")
    assert values(rows, "NSD ungated")["box", ""] == np.mean([nsd(*pair, (1.0, 1.0), 2.0).value for pair in pairs])
    rows = picture_rows(found, truth, made_case(truth), SOURCE, "released")
    slabs = [nsd(found[..., None], true[..., None], (1.0, 1.0, 1.0), 2.0).value for found, true in pairs]
    assert values(rows, "NSD slab ungated")["box", ""] == round(float(np.mean(slabs)), 4)
    assert not values(rows, "NSD")


def test_released_pictures_take_stored_boxes_and_clean_ones_tight_boxes(network: Network) -> None:
    truth = volume()[2:3]
    stored = {1: Box(2, 2, 20, 16), 2: Box(12, 10, 30, 22)}
    case = with_boxes(made_case(truth), stored)
    prompter = BoxPrompter(network, case.open())
    tight = {number: tight_box(truth[0] == number) for number in (1, 2)}
    for mode, boxes in (("released", stored), ("clean", tight)):
        rows = Med2d(mode=mode).score(network, case, SOURCE).rows  # type: ignore[arg-type]
        found = pasted(prompter.masks(0, boxes), truth.shape[1:])
        score = score_case(found, truth[0], (1.0, 1.0), CVPR25)
        assert values(rows, "DSC")["box", ""] == pytest.approx(score.mean_dice, abs=1e-4)
    unboxed = Med2d().score(network, made_case(truth), SOURCE).rows
    assert values(unboxed, "DSC") != values(Med2d().score(network, case, SOURCE).rows, "DSC")


def test_a_volume_from_the_truth_scores_what_its_sessions_find(network: Network) -> None:
    truth = volume()
    case = made_case(truth)
    rows = Med3d(mode="clean", starts=("truth",)).score(network, case, SOURCE).rows
    found = np.zeros_like(truth)
    for number, middle in ((1, 2), (2, 3)):
        for direction in ("forward", "backward"):
            session = Session(network, case.open())
            session.add(MaskPrompt(truth[middle] == number), frame=middle)
            for masks in session.propagate(direction):  # type: ignore[arg-type]
                found[masks.frame][masks.masks[1]] = number
    score = score_case(found, truth, (1.0, 1.0, 1.0), CVPR25)
    assert values(rows, "DSC")["init=truth", ""] == score.mean_dice
    assert values(rows, "NSD")["init=truth", ""] == score.nsd_as_scored


def test_in_a_released_volume_nothing_is_found_outside_an_objects_range(network: Network) -> None:
    truth = volume()
    truth[truth == 2] = 0
    rows = {mode: Med3d(mode=mode).score(network, made_case(truth), SOURCE).rows for mode in ("released", "clean")}  # type: ignore[arg-type]
    released, clean = (values(rows[mode], "DSC")["init=truth", ""] for mode in ("released", "clean"))
    assert released >= clean  # the same tracking without what lies outside


def test_other_networks_begin_and_networks_without_memory_go_by_boxes(network: Network, root: Path) -> None:
    case = made_case(volume())
    same = str(root / "tiny.safetensors")
    rows = Med3d(starts=("box", same)).score(network, case, SOURCE).rows
    assert values(rows, "DSC")["init=box", ""] == values(rows, "DSC")[f"init={same}", ""]
    rows = Med3d(slice_by_slice=True).score(network, case, SOURCE).rows
    by_boxes = {"init=box, slice by slice", "init=truth, slice by slice"}
    assert {row.setting for row in rows} == by_boxes
    torch.manual_seed(0)
    assert {row.setting for row in Med3d().score(make_network(tiny_sam()).eval(), case, SOURCE).rows} == by_boxes


def test_the_recipes_of_the_repository_are_read() -> None:
    folder = Path(__file__).resolve().parents[2] / "recipes"
    assert read_protocol(folder / "med-3d.toml") == Med3d(starts=("box", "medsam", "truth"))
    released = MedSam2(mode="released", repeats=1, memory="recent", image_size=1024)
    assert read_protocol(folder / "medsam-2-released.toml") == released


def test_flare_scores_organs_by_themselves_and_absent_ones_as_one() -> None:
    truth = volume()
    case = replace(made_case(truth), objects={1: "liver", 2: "spleen", 3: "aorta", 4: "stomach"})
    found = {1: truth == 1, 2: truth == 1, 4: truth == 2}
    rows = organ_rows(found, truth, (1.0, 1.0, 1.0), case, SOURCE)
    assert {row.label: row.value for row in rows if row.metric == "DSC"} == {
        "liver": 1, "spleen": 0, "aorta": 1, "stomach": 0
    }  # fmt: skip
    cells = Flare22().cells([*rows, *(replace(row, case="b", value=0.0) for row in rows)])
    assert {cell.subset: cell.value for cell in cells if cell.metric == "NSD"} == {
        "liver": 0.5, "spleen": 0, "aorta": 0.5, "stomach": 0, "set": 0.25
    }  # fmt: skip


def test_flares_first_box_is_the_largest_of_all_slices() -> None:
    truth = volume()
    truth[3, 4:12, 4:20] = 1  # wider than on slices 1 and 2
    begun = released_beginnings(truth)
    assert begun[1] == Beginning(2, Box(0, 0, 24, 16), 1, 3)
    assert begun[2].frame == 3


def test_flares_next_box_is_five_parts_of_1024_larger() -> None:
    mask = np.zeros((512, 256), bool)
    mask[100:200, 50:60] = True
    # Twofold from top to bottom: rows 200 to 399. Fourfold across: columns 200 to 239.
    begun = Beginning(0, Box(1, 2, 3, 4), 0, 5)
    assert released_box(mask, begun) == Box(195 / 4, 195 / 2, 244 / 4, 404 / 2)
    assert released_box(np.zeros_like(mask), begun) == begun.box


def test_nsd_of_a_video_is_the_mean_over_frames_that_show_the_object_or_a_mask() -> None:
    truth = volume()
    found = np.zeros_like(truth)
    found[2:4][truth[2:4] == 1] = 1
    score = video_score(found, truth, CVPR24, "frames")
    assert score.nsd[1].value == pytest.approx(2 / 3)  # missed on one of three frames, and found nowhere else
    assert score.dice[1].value == 2 * 160 / (160 + 240)
    assert (score.nsd[2].value, score.nsd[2].status) == (0, "pred_empty")
    found[0][truth[2] == 1] = 1
    assert video_score(found, truth, CVPR24, "frames").nsd[1].value == 0.5
    volume_wise = score_case(found, truth, (1.0, 1.0, 1.0), CVPR24)
    assert video_score(found, truth, CVPR24, "volume") == volume_wise
    assert {n: s.value for n, s in video_score(found, truth, CVPR24, "frames").dice.items()} == {
        n: s.value for n, s in volume_wise.dice.items()
    }
    gap = np.where(truth == 2, 3, truth)
    assert math.isnan(video_score(gap, gap, CVPR24, "frames").mean_dice)
    assert video_score(gap, gap, CVPR25, "frames").mean_nsd == 1


def test_boxes_of_videos_are_moved_by_seed_case_and_script() -> None:
    truth = volume().repeat(16, axis=1).repeat(16, axis=2)
    mask = truth[1] == 1
    shifts: dict[str, set[int]] = {}
    for split in ("Ultrasound", "Endoscopy"):
        source = Source("A", "cvpr24-video", split)
        boxes = [MedVideo(seed=seed)._beginning(truth, 1, made_case(truth), source).box for seed in range(40)]
        assert MedVideo(seed=3)._beginning(truth, 1, made_case(truth), source).box == boxes[3]
        tight = tight_box(mask)
        shifts[split] = {round(tight.x0 - box.x0) for box in boxes}
    assert shifts["Ultrasound"] == {0, 1, 2, 3, 4, 5}
    assert shifts["Endoscopy"] == {2, 4, 6, 8}  # 1 to 4 parts of 256 on 512 pixels
    assert outset_box(mask, 4, 256).y1 == tight_box(mask).y1 + 6  # 384 rows
    clean = MedVideo(mode="clean")._beginning(truth, 1, made_case(truth), SOURCE)
    assert clean == Beginning(1, tight_box(mask), 1, 4)


def test_slices_are_prompted_by_chance_and_the_first_one_always() -> None:
    truth = np.zeros((400, 4, 4), np.uint16)
    truth[100:, :2] = 1
    truth[7, 2:] = 2
    chosen = prompted_slices(truth, 0.25, [0, 5])
    assert chosen == prompted_slices(truth, 0.25, [0, 5])
    assert chosen != prompted_slices(truth, 0.25, [1, 5])
    assert chosen[2] == [7]
    assert chosen[1][0] == 100
    assert 50 < len(chosen[1]) < 100  # of 300
    assert prompted_slices(truth, 0, [0])[1] == [100]
    assert len(prompted_slices(truth, 1, [0])[1]) == 300
    # A slice's draw does not depend on how many there are.
    assert [place for place in chosen[1] if place < 200] == prompted_slices(truth[:200], 0.25, [0, 5])[1]


def test_unprompted_slices_are_scored_apart() -> None:
    truth = volume()
    case = replace(made_case(truth), objects={1: "a", 2: "b", 3: "c"})
    found = {1: (truth == 1) & (np.arange(5) == 2)[:, None, None], 2: truth == 2}
    rows = volume_rows(found, truth, {1: [2], 2: [2, 3, 4]}, case, SOURCE, "mask 0.25")
    assert {row.object: row.value for row in rows if row.metric == "Dice" and row.object != "3"} == {"1": 0.5, "2": 1}
    unprompted = {row.object: (row.value, row.status) for row in rows if row.metric == "Dice unprompted"}
    assert unprompted["1"] == (0, "pred_empty")
    assert unprompted["2"][1] == unprompted["3"][1] == "both_empty"


def test_with_every_slice_prompted_by_its_mask_nothing_is_left_to_find(network: Network) -> None:
    truth = volume()[2:4]  # both objects on both slices
    case = replace(made_case(truth), objects={1: "a", 2: "b"})
    protocol = MedSam2(frequency=1, repeats=2)
    rows = protocol.score(network, case, SOURCE).rows
    assert {row.value for row in rows if row.metric == "Dice"} == {1.0}
    cells = {(cell.subset, cell.metric): cell for cell in protocol.cells(rows)}
    assert cells["Average", "Dice"].value == 1
    assert cells["Average", "Dice sd"].value == 0
    assert cells["a", "Dice"].setting == "mask 1"
    assert cells["set", "Dice"].value == 1
    assert math.isnan(cells["a", "Dice unprompted"].value)


def test_repeats_have_a_mean_and_a_deviation_and_glands_share_a_column() -> None:
    rows = [
        Row("btcv", "BTCV", case, f"{number}/{repeat}", label, "mask 0.25", "Dice", value)
        for repeat, case, number, label, value in (
            (0, "x", "12", "right adrenal gland", 0.2),
            (0, "x", "13", "left adrenal gland", 0.4),
            (1, "x", "12", "right adrenal gland", 0.6),
            (1, "x", "13", "left adrenal gland", 0.8),
            (0, "x", "6", "liver", 0.9),
            (1, "x", "6", "liver", 0.7),
        )
    ]
    cells = {(cell.subset, cell.metric): cell.value for cell in MedSam2(repeats=2).cells(rows)}
    assert cells["AG", "Dice"] == pytest.approx(0.5)
    assert cells["AG", "Dice sd"] == pytest.approx(0.4 / math.sqrt(2))  # of 0.3 and 0.7
    assert cells["Average", "Dice"] == pytest.approx(0.65)
    assert cells["Average", "Dice sd"] == pytest.approx(0.1 / math.sqrt(2))  # of 0.6 and 0.7


def test_released_medsam_2_looks_at_the_first_quarter_and_says_what_is_absent(network: Network) -> None:
    truth = np.zeros((14, 24, 32), np.uint16)
    truth[2:, 4:12, 4:14] = 1  # twelve slices with an object: three are visited, 2 to 4
    truth[4:, 14:20, 16:28] = 2
    truth[9:, 20:, :4] = 3  # beyond them
    protocol = MedSam2(mode="released", memory="recent", repeats=1)
    rows = protocol.score(network, made_case(truth), SOURCE).rows
    assert [row.object for row in rows] == ["1/0", "2/0"]
    assert all(0 <= row.value <= 1 for row in rows)
    assert rows[1].value >= 1 / 3  # absent on slice 2, and said to be: that slice scores 1
