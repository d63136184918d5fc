"""Masks as prompts on the command line: pictures, and objects of mask files."""

import argparse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.cli.said import add_prompt_options, said_prompts
from trocar.formats import write_masks
from trocar.frames import ArraySource
from trocar.masks import FrameMasks
from trocar.prompts import MaskPrompt, PlacedPrompt

SOURCE = ArraySource(np.zeros((3, 12, 16, 3), np.uint8))


def masks_of(frame: int) -> FrameMasks:
    one, two = np.zeros((2, 12, 16), np.bool_)
    one[2:5, 3 : 6 + frame] = True
    two[7:9, 1:4] = frame > 0
    return FrameMasks(frame, {1: one, 2: two})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_masks(tmp_path, [masks_of(frame) for frame in range(3)], SOURCE, ["rle"])
    return tmp_path / "masks.json"


def said(*words: str) -> list[PlacedPrompt]:
    parser = argparse.ArgumentParser()
    add_prompt_options(parser)
    return said_prompts(parser.parse_args(words), SOURCE, "axial")


def test_an_object_of_a_mask_file(file: Path) -> None:
    (placed,) = said("--object", "7", "--mask", f"{file}#2@1")
    assert (placed.frame, placed.object_id) == (1, 7)
    assert isinstance(placed.prompt, MaskPrompt)
    assert np.array_equal(placed.prompt.mask, masks_of(1).masks[2])


def test_the_only_object_of_a_frame_needs_no_id(file: Path) -> None:
    (placed,) = said("--mask", f"{file}@0")
    assert isinstance(placed.prompt, MaskPrompt)
    assert np.array_equal(placed.prompt.mask, masks_of(0).masks[1])


def test_a_picture_is_a_mask_where_it_is_not_0(tmp_path: Path) -> None:
    Image.fromarray(masks_of(2).masks[1].astype(np.uint8) * 9).save(tmp_path / "tool.png")
    (placed,) = said("--mask", f"{tmp_path / 'tool.png'}@2")
    assert isinstance(placed.prompt, MaskPrompt)
    assert np.array_equal(placed.prompt.mask, masks_of(2).masks[1])


@pytest.mark.parametrize(
    ("what", "message"), [("@1", "objects 1, 2"), ("#2@0", "objects 1 "), ("#x@0", "id of an object")]
)
def test_an_object_that_is_not_told_or_not_there_is_named(file: Path, what: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        said("--mask", f"{file}{what}")
