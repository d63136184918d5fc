import numpy as np
import pytest

from trocar.masks import FrameMasks, fill_holes, remove_specks, split_components, tidied, without_small
from trocar.masks.cleanup import VolumeCleanup


def picture(*rows):
    return np.array([[character == "#" for character in row] for row in rows])


SHAPE = picture(
    "#####..",
    "#...#..",
    "##.##.#",
    "#####..",
    "......#",
)


def test_holes_up_to_the_area_are_filled():
    # The ring's hole has 4 pixels. Outside, the background is one piece, joined at corners.
    assert (fill_holes(SHAPE, 3) == SHAPE).all()
    filled = fill_holes(SHAPE, 4)
    assert filled[:4, :5].all()
    assert (filled[:, 5:] == SHAPE[:, 5:]).all()


def test_a_small_background_piece_at_the_border_is_filled_too():
    assert fill_holes(picture("##.", "###"), 1).all()


def test_specks_below_the_area_are_removed():
    assert (remove_specks(SHAPE, 1) == SHAPE).all()
    kept = remove_specks(SHAPE, 2)
    assert kept.sum() == SHAPE.sum() - 2
    assert not kept[:, 6].any()


def test_prompted_masks_are_left_alone():
    frame = FrameMasks(3, {1: SHAPE, 2: SHAPE}, {1: 0.5}, prompted=frozenset({2}))
    tidy = tidied(frame, holes_px=4, specks_px=3)
    assert (tidy.masks[1] == remove_specks(fill_holes(SHAPE, 4), 3)).all()
    assert tidy.masks[1].sum() == 5 * 4
    assert (tidy.masks[2] == SHAPE).all()
    assert (tidy.frame, tidy.scores, tidy.prompted) == (3, {1: 0.5}, frozenset({2}))


def test_empty_and_full_masks_pass():
    empty, full = np.zeros((3, 3), np.bool_), np.ones((3, 3), np.bool_)
    for tidy in (lambda mask: fill_holes(mask, 5), lambda mask: remove_specks(mask, 5)):
        assert not tidy(empty).any()
        assert tidy(full).all()


def test_components_come_apart_largest_first():
    first, second, third = split_components(picture("##..#", "##...", "...#."))
    assert np.array_equal(first, picture("##...", "##...", "....."))
    assert (second.sum(), third.sum()) == (1, 1)
    assert split_components(np.zeros((3, 3), bool)) == []
    diagonal = np.zeros((2, 2, 2), bool)
    diagonal[0, 0, 0] = diagonal[1, 1, 1] = True
    assert len(split_components(diagonal)) == 1


def test_targets_under_100_pixels_of_256_squared_are_left_out():
    """0.153 % of the picture, MedSAM-2's appendix C.1."""
    large, small = np.zeros((2, 256, 256), bool)
    large[:10, :10] = True
    small[:9, :11] = True
    frame = without_small(FrameMasks(3, {1: large, 2: small}, {1: 0.5, 2: 0.5}, frozenset({2})))
    assert (list(frame.masks), frame.scores, frame.prompted, frame.frame) == ([1], {1: 0.5}, frozenset(), 3)


def test_volume_cleanup_by_hand() -> None:
    mask = np.zeros((7, 9, 9), np.bool_)
    mask[1:6, 1:6, 1:6] = True
    mask[3, 3, 3] = False  # a cavity
    mask[6, 8, 8] = True  # a speck
    untouched = mask.copy()
    VolumeCleanup().apply(mask)
    assert np.array_equal(mask, untouched)
    VolumeCleanup(largest_component=True).apply(mask)
    assert mask.sum() == 124
    VolumeCleanup(fill_holes=True).apply(mask)
    assert mask.sum() == 125


def test_a_hollow_that_opens_through_a_face_is_no_cavity() -> None:
    mask = np.zeros((5, 5, 5), np.bool_)
    mask[1:4, 1:4, 1:4] = True
    mask[2, 2, 2] = mask[1, 2, 2] = False
    before = mask.copy()
    VolumeCleanup(fill_holes=True).apply(mask)
    assert np.array_equal(mask, before)


def test_smoothing_goes_by_millimetres() -> None:
    """A slab of 4 mm stays under a blur of 1 mm; one of 0.4 mm goes. A half space keeps its edge."""
    mask = np.zeros((20, 20, 20), np.bool_)
    mask[8:12] = True
    thick, thin = mask.copy(), mask.copy()
    VolumeCleanup(smooth=1.0).apply(thick, (1.0, 1.0, 1.0))
    VolumeCleanup(smooth=1.0).apply(thin, (0.1, 1.0, 1.0))
    assert np.array_equal(thick, mask)
    assert not thin.any()
    half = np.zeros((20, 20, 20), np.bool_)
    half[:7] = True
    kept = half.copy()
    VolumeCleanup(smooth=2.0).apply(kept)
    assert np.array_equal(kept, half)


def test_an_empty_volume_stays_empty_and_a_negative_width_is_refused() -> None:
    mask = np.zeros((3, 3, 3), np.bool_)
    VolumeCleanup(True, True, 1.0).apply(mask)
    assert not mask.any()
    with pytest.raises(ValueError, match="0 or more"):
        VolumeCleanup(smooth=-1.0)
