"""`trocar segment --set`: templates by name, confidence for every picture, the review sheet, and corrections."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.cli import main
from trocar.cli.image_set import MEMORY
from trocar.formats.label_png import read_png
from trocar.formats.rle import read_rle
from trocar.frames import ArraySource
from trocar.load import load_memory
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.track.session import Session

SIZE = (48, 64)
Run = Callable[..., int]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(3)
    save_weights(Network(replace(tiny_random(), dense_prompts=True, mask_prior=True)), path, {})
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """cells/ with five pictures, and atlas.png with its mask beside it."""
    (tmp_path / "cells").mkdir()
    rng = np.random.default_rng(0)
    for number in range(5):
        picture = rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)
        Image.fromarray(picture).save(tmp_path / "cells" / f"cell{number}.png")
    Image.fromarray(picture[::-1].copy()).save(tmp_path / "atlas.png")
    Image.fromarray(mask().astype(np.uint8)).save(tmp_path / "mask.png")
    return tmp_path


def mask() -> np.ndarray:
    drawn = np.zeros(SIZE, np.bool_)
    drawn[10:35, 12:50] = True
    return drawn


@pytest.fixture
def segment(folder: Path, weights: Path) -> Run:
    def run(*arguments: str) -> int:
        out = str(folder / "out")
        return main(["segment", str(folder / "cells"), "--model", str(weights), "--out", out, *arguments])

    return run


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "out" / "confidence.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_one_template_by_name_segments_all(segment: Run, folder: Path) -> None:
    assert segment("--set", "--mask", f"{folder / 'mask.png'}@cell3", "--review", "2") == 0
    np.testing.assert_array_equal(read_png(folder / "out" / "masks" / "cell3.png") == 1, mask())
    assert len(list((folder / "out" / "masks").iterdir())) == 5
    rows = table(folder)
    assert {row["image"] for row in rows} == {f"cell{number}" for number in range(5)}
    tracked = [float(row["confidence"]) for row in rows if row["prompted"] == "no"]
    assert len(tracked) == 4
    assert tracked == sorted(tracked)
    assert rows[-1]["image"] == "cell3"
    assert (folder / "out" / "review.png").exists()
    record = json.loads((folder / "out" / "run.json").read_text())
    assert record["frames_tracked"] == 5
    assert record["request"]["memory"]["policy"] == "self_sorting"


def test_a_template_may_lie_elsewhere(segment: Run, folder: Path) -> None:
    template = ["--template", str(folder / "atlas.png"), "--mask", f"{folder / 'mask.png'}@atlas"]
    assert segment("--set", *template) == 0
    np.testing.assert_array_equal(read_png(folder / "out" / "masks" / "atlas.png") == 1, mask())
    assert len(table(folder)) == 6


def test_a_correction_sticks_when_the_set_is_run_again(segment: Run, folder: Path) -> None:
    said = ["--set", "--box", "10,10,40,40@cell0"]
    assert segment(*said) == 0
    assert segment(*said, "--mask", f"{folder / 'mask.png'}@cell2") == 0
    np.testing.assert_array_equal(read_png(folder / "out" / "masks" / "cell2.png") == 1, mask())
    assert [row["image"] for row in table(folder) if row["prompted"] == "yes"] == ["cell0", "cell2"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (["--set", "--box", "1,1,9,9@cel3"], "did you mean 'cell3'"),
        (["--set", "--box", "1,1,9,9@17"], "no picture '17'"),
        (["--review", "3", "--box", "1,1,9,9@0"], "add --set"),
        (["--template", "atlas.png", "--box", "1,1,9,9@0"], "add --set"),
        (["--set", "--review", "0", "--box", "1,1,9,9@0"], "at least 1"),
        (["--set", "--plane", "coronal", "--box", "1,1,9,9@0"], "plane does not apply"),
        (["--set"], "nothing is prompted"),
    ],
)
def test_bad_usage_is_one_line(
    segment: Run, folder: Path, capsys: pytest.CaptureFixture[str], said: list[str], message: str
) -> None:
    assert segment(*said) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "out").exists()


def test_the_default_memory_is_that_of_a_session(weights: Path) -> None:
    source = ArraySource(np.zeros((1, 8, 8, 3), np.uint8))
    source.ordered = False  # type: ignore[attr-defined]
    torch.manual_seed(3)
    assert vars(Session(Network(tiny_random()), source)._memory) == vars(load_memory(MEMORY))


def test_pictures_of_several_sizes_get_masks_of_their_own(segment: Run, folder: Path) -> None:
    sizes = {"cell5.png": (30, 70), "cell6.png": (90, 33)}
    for name, size in sizes.items():
        picture = np.random.default_rng(1).integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "cells" / name)
    formats = ["png", "rle", "coco", "labelme", "montage"]
    assert segment("--set", "--mask", f"{folder / 'mask.png'}@cell3", "--review", "9", "--format", *formats) == 0
    for name, size in sizes.items():
        assert read_png(folder / "out" / "masks" / name).shape == size
    masks = {one.frame: one.masks[1].shape for one in read_rle(folder / "out" / "masks.json")}
    assert masks == {**dict.fromkeys(range(5), SIZE), 5: (30, 70), 6: (90, 33)}
    images = json.loads((folder / "out" / "coco.json").read_text())["images"]
    assert [(one["height"], one["width"]) for one in images] == list(masks.values())
    assert (folder / "out" / "review.png").exists()


def test_formats_of_one_size_refuse_several(segment: Run, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((30, 70, 3), np.uint8)).save(folder / "cells" / "cell5.png")
    for name in ("overlay", "youtube-vis", "cvat"):
        assert segment("--set", "--box", "1,1,9,9@cell0", "--format", name) == 2
        assert "differ in size" in capsys.readouterr().err
