"""What to look at first: the order of confidences, the table and the contact sheet."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.formats.review import TILE_PX, confidences, least_confident, write_confidences, write_review
from trocar.frames import ArraySource
from trocar.masks import FrameMasks

SOURCE = ArraySource(np.full((4, 30, 40, 3), 120, np.uint8))


def square(frame: int, scores: dict[int, float], prompted: frozenset[int] = frozenset()) -> FrameMasks:
    """The first object is 10 x 10 pixels; one without a score of its own is empty."""
    masks = {name: np.zeros((30, 40), np.bool_) for name in scores}
    for name, score in scores.items():
        masks[name][5:15, 5:15] = score > 0
    return FrameMasks(frame, masks, scores, prompted)


FRAMES = [
    square(0, {1: 1.0, 2: 0.2}, frozenset({1, 2})),
    square(1, {1: 0.9, 2: 0.3}),
    square(2, {1: 0.5, 2: 0.8}),
    square(3, {1: 0.0, 2: 0.95}),
]


def test_the_least_confident_come_first_and_prompted_ones_last() -> None:
    rows = confidences(FRAMES, SOURCE)
    assert [(row.frame, row.object_id) for row in rows] == [
        (3, 1), (1, 2), (2, 1), (2, 2), (1, 1), (3, 2), (0, 2), (0, 1)
    ]  # fmt: skip
    assert rows[0].area_px == 0
    assert rows[1].area_px == 100


def test_an_image_is_as_confident_as_its_least_confident_object() -> None:
    rows = confidences(FRAMES, SOURCE)
    assert least_confident(rows, 10) == {3: 0.0, 1: 0.3, 2: 0.5}
    assert list(least_confident(rows, 2)) == [3, 1]


def test_the_table_says_all_of_it(tmp_path: Path) -> None:
    write_confidences(tmp_path / "confidence.csv", confidences(FRAMES, SOURCE))
    with (tmp_path / "confidence.csv").open(encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    assert lines[1] == {"image": "00001", "object": "2", "confidence": "0.3000", "area_px": "100", "prompted": "no"}
    assert lines[-1]["prompted"] == "yes"


def test_the_sheet_shows_the_chosen_images_in_their_order(tmp_path: Path) -> None:
    images = np.stack([np.full((30, 40, 3), 60 * number, np.uint8) for number in range(4)])
    source = ArraySource(images)
    write_review(tmp_path / "review.png", FRAMES, source, least_confident(confidences(FRAMES, source), 2))
    with Image.open(tmp_path / "review.png") as image:
        sheet = np.asarray(image)
    assert sheet.shape[1] > 2 * TILE_PX
    middle = sheet.shape[0] // 2
    # The lower right corner of a picture has no mask in it: frame 3 is grey 180, frame 1 grey 60.
    assert sheet[middle + 60, TILE_PX - 20].tolist() == [180] * 3
    assert sheet[middle + 60, 2 * TILE_PX - 20].tolist() == [60] * 3


def test_a_sheet_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every mask answers a prompt"):
        write_review(tmp_path / "review.png", FRAMES, SOURCE, {})
