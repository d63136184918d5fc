"""`trocar segment --class` and `trocar classes`, with untrained weights: what is said, written, refused and resumed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from trocar.classprompt import ClassModel, ClassPromptConfig, open_class_model
from trocar.cli import main
from trocar.cli import run as running
from trocar.formats.rle import read_rle
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import open_network, save_weights

FRAMES = 8
ALWAYS, NEVER = (9.0, 0, 0, 0, 0, 0, 0), (-9.0, 0, 0, 0, 0, 0, 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with eight frames, a network, and a class model that is sure of hooks and sees no grasper."""
    folder = tmp_path_factory.mktemp("classes")
    torch.manual_seed(3)
    network = Network(replace(tiny_random(), dense_prompts=True, mask_prior=True)).eval()
    save_weights(network, folder / "net.safetensors", {})
    torch.manual_seed(1)
    config = ClassPromptConfig(("hook", "grasper"), network.config.hidden_dim, 16, 64, presence=(ALWAYS, NEVER))
    model = ClassModel(config, open_network(folder / "net.safetensors"))
    with torch.no_grad():
        last = model.decoder.iou_head.layers[-1]
        assert isinstance(last, nn.Linear)
        last.bias.fill_(3.0)  # predicted IoU near 1
    model.save(folder / "classes.safetensors", dtype=torch.float32)
    (folder / "frames").mkdir()
    rng = np.random.default_rng(0)
    for frame in range(FRAMES):
        image = rng.integers(60, 120, (48, 64, 3)).astype(np.uint8)
        image[10:30, 10 + frame : 34 + frame] = (220, 200, 180)
        Image.fromarray(image).save(folder / "frames" / f"{frame:03d}.png")
    return folder


def segment(made: Path, out: Path, *more: str) -> int:
    known = ["--model", str(made / "net.safetensors"), "--class-model", str(made / "classes.safetensors")]
    return main(["segment", str(made / "frames"), *known, "--out", str(out), *more])


def test_a_class_that_is_there_is_found_and_recorded(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(made, tmp_path, "--class", "Hook", "--class", "grasper", "--format", "rle") == 0
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["looked_for"] == ["Hook", "grasper"]
    assert record["request"]["direction"] == "forward"
    assert record["found"]
    for number, one in enumerate(record["found"], start=1):
        assert (one["object"], one["class"]) == (number, "hook")
        assert 0 <= one["first_frame"] <= one["prompted_frame"] < FRAMES
    assert f"object 1: hook, from frame {record['found'][0]['first_frame']} on" in capsys.readouterr().out


def test_a_class_that_is_not_there_leaves_the_masks_empty(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(made, tmp_path, "--class", "grasper") == 0
    assert "nothing found of: grasper" in capsys.readouterr().out
    masks = sorted((tmp_path / "masks").glob("*.png"))
    assert len(masks) == FRAMES
    assert not any(np.asarray(Image.open(path)).any() for path in masks)


def test_an_interrupted_run_goes_on(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ("--class", "hook", "--format", "rle")
    assert segment(made, tmp_path / "whole", *asked) == 0

    class Stopping(running.Clock):
        def write(self, *arguments: object) -> None:
            super().write(*arguments)  # type: ignore[arg-type]
            if self.frames == 3:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(running, "Clock", Stopping)
        assert segment(made, tmp_path / "parts", *asked) == 130
    assert segment(made, tmp_path / "parts", "--class", "grasper", "--format", "rle", "--resume") == 2
    assert segment(made, tmp_path / "parts", *asked, "--resume") == 0
    whole, parts = (
        {one.frame: one for one in read_rle(tmp_path / name / "masks.jsonl")} for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys() == set(range(FRAMES))
    for frame, one in whole.items():
        assert one.masks.keys() == parts[frame].masks.keys()
        assert all(np.array_equal(mask, parts[frame].masks[name]) for name, mask in one.masks.items())
    found = [json.loads((tmp_path / name / "run.json").read_text())["found"] for name in ("whole", "parts")]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--class", "graspers"], "there is no class 'graspers': did you mean 'grasper'?"),
        (["--class", "hook", "--direction", "both"], "one direction"),
        (["--class", "hook", "--image-size", "96"], "reads inputs of 64 px, not of 96"),
        (["--box", "1,1,9,9@0"], "--class-model is for --class"),
        (["--class", "hook", "--class-model", "nano-class"], "did you mean 'nano-classes'?"),
        (["--class", "hook", "--model", "nano", "--image-size", "64"], "another image encoder"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_and_nothing_is_written(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    out = tmp_path / "out"
    assert segment(made, out, *arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_a_class_is_added_from_labelled_frames(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [str(made / "frames" / f"{number:03d}.png") for number in range(5)]
    masks = []
    for number in range(5):
        mask = np.zeros((48, 64), np.uint8)
        mask[10:30, 10 + number : 34 + number] = 255
        masks.append(str(tmp_path / f"{number}.png"))
        Image.fromarray(mask).save(masks[-1])
    to, network = tmp_path / "more.safetensors", made / "net.safetensors"
    known = ["--from", str(made / "classes.safetensors"), "--model", str(network), "--to", str(to), "--steps", "2"]
    add = ["classes", "add", "clip applier", "--frames", *frames, "--masks", *masks, *known]
    assert main([*add, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["classes"], facts["added"]) == (["hook", "grasper", "clip applier"], ["clip applier"])
    assert main(["classes", "show", str(to)]) == 0
    assert "clip applier" in capsys.readouterr().out
    old, new = (open_class_model(path, open_network(network)) for path in (made / "classes.safetensors", to))
    assert all(torch.equal(one, new.state_dict()[name][: len(one)]) for name, one in old.state_dict().items())
    again = [*add[:2], "hook", *add[3:]]
    assert main(again) == 2
    assert "one name each" in capsys.readouterr().err
    assert main([*add[: -len(known)], str(masks[0]), *known]) == 2
    assert "5 frames and 6 masks" in capsys.readouterr().err


def test_the_class_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classes", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["class_model"], row["network"]) == ("nano-classes", "nano")
    assert row["here"] == bool(row["classes"])
