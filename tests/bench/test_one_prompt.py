"""The one-prompt protocol: what it scores, on what, and that a perfect copy scores 1."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.bench.one_prompt import LabelledImage, OnePromptOptions, Scores, score_one_prompt, told
from trocar.bench.protocol import RunOptions, run_protocol
from trocar.bench.protocols.one_prompt import OnePrompt
from trocar.bench.results import Row
from trocar.datasets.wbc import DATASET
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights

OPTIONS = OnePromptOptions(templates=(1, 2), draws=2)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(tiny_random()).eval()


def write_cells(folder: Path, count: int) -> None:
    """Cells of 20 x 24 pixels around nuclei of 10 x 12, on pictures of two sizes; odd pictures are JPEG-named BMPs."""
    folder.mkdir(parents=True)
    for number in range(count):
        size = (40, 48) if number % 2 else (60, 48)
        labels = np.zeros(size, np.uint8)
        labels[10:30, 10:34] = 128
        labels[15:25, 16:28] = 255
        Image.fromarray(labels).save(folder / f"{number:03d}.label.png")
        Image.fromarray(np.repeat(labels[..., None], 3, axis=2)).save(
            folder / f"{number:03d}.image.{'bmp' if number % 2 else 'png'}"
        )


def alike(count: int) -> list[LabelledImage]:
    truth = np.zeros((32, 32), np.bool_)
    truth[8:20, 6:25] = True
    return [LabelledImage(str(number), np.zeros((32, 32, 3), np.uint8), {"object": truth}) for number in range(count)]


def test_a_run_has_every_setting_and_repeats_itself(network: Network, tmp_path: Path) -> None:
    write_cells(tmp_path / "wbc" / "dataset1", 6)
    save_weights(network, tmp_path / "tiny.safetensors", {})
    protocol = OnePrompt(templates=(1, 2), draws=2)
    for out in ("one", "two"):
        how = RunOptions(tmp_path, device="cpu")
        outcome = run_protocol(protocol, str(tmp_path / "tiny.safetensors"), tmp_path / out, how)
    assert outcome.partial == ["WBC: 6 cases are there and 300 are published"]
    for file in ("cases.parquet", "summary.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    fewer = RunOptions(tmp_path, device="cpu", limit=4)
    said = run_protocol(protocol, str(tmp_path / "tiny.safetensors"), tmp_path / "fewer", fewer).partial
    assert said[-1] == "WBC: only the first 4 of 6 cases were asked for"
    cells = {(cell.setting, cell.metric): cell.value for cell in outcome.cells}
    settings = {setting for setting, _ in cells}
    remembered = {setting for setting in settings if setting.startswith("memory")}
    assert len(remembered) == 2 * 2 * 2 * 2  # memories, targets, prompts, numbers of templates
    assert "memory, growing bank, whole cell, mask, 2 templates" in remembered
    assert {setting.rsplit(", ", 2)[0] for setting in settings if setting.endswith("box")} == {
        "own box, no memory",
        "box in the middle, no memory",
    }
    for setting in settings:
        assert 0 <= cells[setting, "Dice least"] <= cells[setting, "Dice"] <= cells[setting, "Dice largest"] <= 1


def test_pasting_scores_one_where_all_images_are_alike(network: Network) -> None:
    scores = score_one_prompt(network, alike(4), OPTIONS)
    pasted = [draws for (method, _), draws in scores.items() if method == "templates' mask pasted"]
    assert [[draw.dices for draw in draws] for draws in pasted] == [[[1.0, 1.0]] * 2] * 2


def test_cells_are_the_mean_of_draws_and_their_spread() -> None:
    place = ("wbc", "WBC")
    rows = [
        Row(*place, f"dataset1/draw {number}", "", "nucleus", "memory", "Dice", value)
        for number, value in enumerate((0.2, 0.4, 0.9))
    ]
    cells = {cell.metric: cell.value for cell in OnePrompt().cells(rows)}
    assert cells == {
        "Dice": pytest.approx(0.5),
        "Dice sd": pytest.approx(math.sqrt((0.09 + 0.01 + 0.16) / 2)),
        "Dice least": 0.2,
        "Dice largest": 0.9,
    }


def test_confidence_is_held_against_dice_over_all_draws() -> None:
    draws = [Scores([0.1, 0.9], [0.2, 0.8]), Scores([0.3, 0.5], [0.4, 0.6])]
    assert told(draws) == {"rank correlation": pytest.approx(1), "Dice of least confident tenth": 0.1}
    assert told([Scores([0.1, 0.9])]) == {}
    assert math.isnan(told([Scores([0.1, 0.9], [0.5, 0.5])])["rank correlation"])


def test_too_few_images_and_images_without_the_target_are_refused(network: Network, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 images are too few for 2 templates"):
        score_one_prompt(network, alike(2), OPTIONS)
    write_cells(tmp_path / "dataset1", 3)
    Image.fromarray(np.full((60, 48), 128, np.uint8)).save(tmp_path / "dataset1" / "002.label.png")
    protocol = OnePrompt()
    (source,) = protocol.sources()
    (case,) = protocol.joined(DATASET.read(tmp_path, "dataset1"), source)
    assert (case.name, case.frames) == ("dataset1", 3)
    with pytest.raises(ValueError, match="dataset1/002 shows no nucleus"):
        protocol.score(network, case, source)
    with pytest.raises(ValueError, match="other ids than classes"):
        OnePrompt(subsets=("A=nuclei/all",)).sources()


def test_the_published_set_is_one_case(network: Network) -> None:
    data = os.environ.get("TROCAR_DATA")
    if data is None or not (Path(data) / "wbc" / "dataset1").is_dir():
        pytest.skip("TROCAR_DATA does not name a folder with wbc/dataset1")
    protocol = OnePrompt()
    (source,) = protocol.sources()
    (case,) = protocol.joined(DATASET.read(Path(data) / "wbc", "dataset1"), source)
    assert case.frames == 300  # as its README says
    for frame in (0, 150, 299):
        truth = case.truth(frame)
        assert truth is not None
        assert truth.masks[1].any()
        assert not (truth.masks[1] & ~truth.masks[2]).any()
