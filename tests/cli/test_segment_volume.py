"""`trocar segment` on volumes: six directions onto the file's own grid, interrupted or not, and refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from trocar.cli import main
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.track.volume import VolumeRun

SHAPE = (18, 14, 9)  # x to the left, y to the back, z up
BOX = ["--box", "4,3,13,11@4"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(3)
    save_weights(Network(replace(tiny_random(), dense_prompts=True, mask_prior=True)), path, {})
    return path


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = np.random.default_rng(0).integers(1, 120, SHAPE).astype(np.int16)
    values[5:13, 4:10, 2:7] += 120
    path = tmp_path_factory.mktemp("volume") / "scan.nii.gz"
    nib.save(nib.Nifti1Image(values, np.diag([-1.5, -0.7, 4.0, 1.0])), path)
    return path


def segment(volume: Path, weights: Path, out: Path, *more: str) -> int:
    return main(["segment", str(volume), "--model", str(weights), "--out", str(out), "--format", "nifti", *more])


def labels(out: Path) -> np.ndarray:
    return np.asarray(nib.load(out / "masks.nii.gz").dataobj)


@pytest.mark.parametrize(
    "more",
    [
        ["--plane", "all6"],
        ["--plane", "all6", "--directions", "joint", "--memory", "self_sorting", "--aggregate", "majority"],
        ["--plane", "all6", "--carry", "box", "--true-aspect", "--largest-component", "--fill-cavities"],
        ["--smooth", "2"],
    ],
)
def test_masks_lie_on_the_files_grid(volume: Path, weights: Path, tmp_path: Path, more: list[str]) -> None:
    assert segment(volume, weights, tmp_path, *BOX, *more) == 0
    written = nib.load(tmp_path / "masks.nii.gz")
    assert written.shape == SHAPE
    assert np.array_equal(written.affine, nib.load(volume).affine)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["request"]["volume"] is not None
    assert not (tmp_path / "state").exists()


def test_a_box_in_three_dimensions(volume: Path, weights: Path, tmp_path: Path) -> None:
    """In one plane it is its outline on the slice in its middle."""
    assert segment(volume, weights, tmp_path / "3d", "--box3d", "4,3,2,13,11,6") == 0
    assert segment(volume, weights, tmp_path / "2d", *BOX) == 0
    assert np.array_equal(labels(tmp_path / "3d"), labels(tmp_path / "2d"))
    assert (
        segment(volume, weights, tmp_path / "six", "--plane", "all6", "--object", "3", "--box3d", "4,3,2,13,11,6") == 0
    )
    record = json.loads((tmp_path / "six" / "run.json").read_text())
    assert record["request"]["volume"]["boxes"] == {"3": [4, 3, 2, 13, 11, 6]}


def test_the_first_mask_of_the_same_model_is_its_own(volume: Path, weights: Path, tmp_path: Path) -> None:
    """Given back as a mask prompt, the mask of the prompted slice stays what the model itself made of the box."""
    assert segment(volume, weights, tmp_path / "own", *BOX) == 0
    assert segment(volume, weights, tmp_path / "other", *BOX, "--init-model", str(weights)) == 0
    assert np.array_equal(labels(tmp_path / "own")[..., 4], labels(tmp_path / "other")[..., 4])


def test_an_interrupted_run_leaves_no_volume_and_goes_on(
    volume: Path, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [*BOX, "--plane", "all6", "--directions", "joint"]
    assert segment(volume, weights, tmp_path / "whole", *said) == 0
    run, visited = VolumeRun._say, []

    def interrupted(self: VolumeRun, *arguments: object) -> None:
        visited.append(1)
        if len(visited) == 20:
            raise KeyboardInterrupt
        run(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(VolumeRun, "_say", interrupted)
    assert segment(volume, weights, tmp_path / "cut", *said) == 130
    assert not (tmp_path / "cut" / "masks.nii.gz").exists()
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["status"] == "interrupted"
    monkeypatch.undo()
    assert segment(volume, weights, tmp_path / "cut", *BOX, "--plane", "all6", "--resume") == 2
    assert segment(volume, weights, tmp_path / "cut", *said, "--resume") == 0
    assert np.array_equal(labels(tmp_path / "cut"), labels(tmp_path / "whole"))


def test_refusals(volume: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "picture.png"
    from PIL import Image

    Image.new("RGB", (18, 14)).save(picture)
    assert main(["segment", str(picture), "--model", str(weights), "--box", "1,1,5,5", "--largest-component"]) == 2
    assert "is not a volume" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        segment(volume, weights, tmp_path, "--box3d", "4,3,13,11")
    assert "x0,y0,z0,x1,y1,z1" in capsys.readouterr().err
    assert segment(volume, weights, tmp_path, "--plane", "all6", "--box3d", "4,3,2,13,11,60") == 2
    assert "frame 60" in capsys.readouterr().err
