import numpy as np

from trocar.masks import FrameMasks, fill_holes, remove_specks, tidied


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
