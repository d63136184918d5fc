"""Lists of augmentations do what they say, as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.train.augment import Augment
from trocar.train.changes import LISTS, MEDSAM_2, SAM2, Change, Drawn, draw_changes, placed, recoloured

RNG = np.random.default_rng


def test_changes_come_as_often_and_as_far_as_listed() -> None:
    rng, drawn = RNG(0), []
    for _ in range(4000):
        drawn += list(draw_changes(MEDSAM_2, rng, 1)[0])
    for change in MEDSAM_2:
        values = [one.value for one in drawn if one.kind == change.kind]
        assert len(values) / 4000 == pytest.approx(change.chance, abs=0.025), change.kind
        assert all(change.low <= value <= change.high for value in values)


def test_sam2_changes_all_frames_alike_and_then_each_a_little() -> None:
    frames = draw_changes(SAM2, RNG(0), 8)
    once = sum(not change.per_frame for change in SAM2)
    alike = {one[: len(one) - 3] for one in frames}
    assert len(alike) == 1
    assert len({one[-3:] for one in frames}) == 8
    assert len(next(iter(alike))) <= once


def test_a_list_may_be_drawn_for_each_frame() -> None:
    listed = Augment("medsam-2", each_frame=True).listed
    assert listed is not None
    assert all(change.per_frame for change in listed)
    assert Augment().listed is None
    assert Augment("none").listed == ()
    own = (Change("flip_x"),)
    assert Augment("sam2", changes=own).listed == own


def at(matrix: np.ndarray, x: float, y: float) -> list[float]:
    return [round(float(value), 6) for value in (matrix @ [x, y, 1])[:2]]


def test_geometry_by_hand() -> None:
    size = (100, 200)
    assert at(placed([], size, 50), 0, 0) == [0, 0]
    assert at(placed([], size, 50), 200, 100) == [50, 50]
    assert at(placed([Drawn("flip_x")], size, 50), 0, 0) == [50, 0]
    assert at(placed([Drawn("flip_y")], size, 50), 0, 0) == [0, 50]
    # 100 right of the middle, twice as far is 200 of 200 columns right of it: a whole picture
    assert at(placed([Drawn("zoom", 2)], size, 50), 200, 50) == [75, 25]
    # a quarter turn of a point 50 right of the middle puts it 50 below, the lower edge, in the source's proportions
    assert at(placed([Drawn("rotate", 90)], size, 50), 150, 50) == [25, 50]
    # sheared by 45 degrees along x, what is 50 below the middle goes 50 right
    assert at(placed([Drawn("shear", 45, 0)], size, 50), 100, 100) == [37.5, 50]
    area = np.linalg.det(placed([Drawn("shear", 20, -13)], (64, 64), 64)[:2, :2])
    assert area == pytest.approx(1)


def grey(value: int) -> np.ndarray:
    return np.full((8, 8, 3), value, np.uint8)


@pytest.mark.parametrize(
    ("drawn", "image", "expected"),
    [
        (Drawn("brightness", 0.5), grey(100), 50),
        (Drawn("brightness", 3), grey(100), 255),
        (Drawn("contrast", 0.5), grey(100), 100),
        (Drawn("invert"), grey(100), 155),
        (Drawn("multiply", 1.2), grey(100), 100),  # clipped to the picture's own range
        (Drawn("blur", 1.0), grey(100), 100),
        (Drawn("low_resolution", 2.0), grey(100), 100),
        (Drawn("noise", 0.1), grey(100), 100),  # in parts of a deviation that is 0
        (Drawn("rotate", 20), grey(100), 100),
    ],
)
def test_colours_by_hand(drawn: Drawn, image: np.ndarray, expected: int) -> None:
    assert (recoloured(image, [drawn], RNG(0)) == expected).all()


def test_more_colours_by_hand() -> None:
    two = np.zeros((4, 4, 3), np.uint8)
    two[:2] = 200
    halves = recoloured(two, [Drawn("contrast", 0.5)], RNG(0))
    assert (halves[:2] == 150).all()
    assert (halves[2:] == 50).all()
    mid = two.copy()
    mid[0, 0] = 100
    assert (recoloured(mid, [Drawn("gamma", 2.0)], RNG(0))[0, 0] == 50).all()  # (1/2)^2 of the range
    red = np.zeros((4, 4, 3), np.uint8)
    red[..., 0] = 100
    assert (np.ptp(recoloured(red, [Drawn("grey")], RNG(0)), axis=-1) == 0).all()
    assert (recoloured(red, [Drawn("saturation", 1.0)], RNG(0)) == red).all()
    noisy = recoloured(np.random.default_rng(0).integers(60, 190, (64, 64, 3), np.uint8), [Drawn("noise", 0.1)], RNG(0))
    flat = recoloured(noisy, [], RNG(0))
    assert (flat == noisy).all()


def test_a_change_that_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match="the change rotate needs a chance"):
        Change("rotate", 1.5)
    with pytest.raises(ValueError, match="low <= high"):
        Change("zoom", 1.0, 2.0, 1.0)
    assert set(LISTS) == {"none", "sam2", "medsam-2"}
