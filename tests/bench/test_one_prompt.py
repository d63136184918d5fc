"""The one-prompt protocol: what it scores, on what, and that a perfect copy scores 1."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.bench.one_prompt import CELL, NUCLEUS, LabelledImage, OnePromptOptions, read_wbc, run_wbc, score_one_prompt
from trocar.model import Network, tiny_random

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


def test_the_reader_gives_nucleus_and_whole_cell(tmp_path: Path) -> None:
    write_cells(tmp_path / "set", 2)
    images = list(read_wbc(tmp_path / "set"))
    assert [image.name for image in images] == ["000", "001"]
    assert images[0].truths[NUCLEUS].sum() == 10 * 12
    assert images[1].truths[CELL].sum() == 20 * 24
    with pytest.raises(FileNotFoundError, match=r"NNN\.label\.png"):
        list(read_wbc(tmp_path))


def test_figures_have_every_setting_and_are_plain_data(network: Network, tmp_path: Path) -> None:
    write_cells(tmp_path / "wbc" / "dataset1", 6)
    figures = run_wbc(network, tmp_path, OPTIONS)
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["images"], figures["scored_images"]) == (6, 4)
    rows = figures["rows"]
    remembered = [row for row in rows if row["method"].startswith("memory")]
    assert len(remembered) == 2 * 2 * 2 * 2  # memories, targets, prompts, numbers of templates
    assert all(0 <= row["least"] <= row["dice"] <= row["largest"] <= 1 for row in rows)
    assert {row["method"] for row in rows} - {row["method"] for row in remembered} == {
        "templates' mask pasted", "own box, no memory", "box in the middle, no memory"
    }  # fmt: skip


def test_pasting_scores_one_where_all_images_are_alike(network: Network) -> None:
    truth = np.zeros((32, 32), np.bool_)
    truth[8:20, 6:25] = True
    images = [LabelledImage(str(number), np.zeros((32, 32, 3), np.uint8), {"object": truth}) for number in range(4)]
    rows = score_one_prompt(network, images, OPTIONS)["rows"]
    pasted = [row for row in rows if row["method"] == "templates' mask pasted"]
    assert [row["dice"] for row in pasted] == [1.0, 1.0]


def test_too_few_images_are_refused(network: Network) -> None:
    one = LabelledImage("0", np.zeros((32, 32, 3), np.uint8), {"object": np.ones((32, 32), np.bool_)})
    with pytest.raises(ValueError, match="2 images are too few for 2 templates"):
        score_one_prompt(network, [one, one], OPTIONS)


def test_the_published_set_reads() -> None:
    data = os.environ.get("TROCAR_DATA")
    if data is None or not (Path(data) / "wbc" / "dataset1").is_dir():
        pytest.skip("TROCAR_DATA does not name a folder with wbc/dataset1")
    images = list(read_wbc(Path(data) / "wbc" / "dataset1"))
    assert len(images) == 300  # as its README says
    assert all(
        image.truths[NUCLEUS].any() and not (image.truths[NUCLEUS] & ~image.truths[CELL]).any() for image in images
    )
