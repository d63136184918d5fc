import numpy as np

from trocar.masks import fill_holes, largest_piece, remove_specks


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


def test_the_largest_piece_stays():
    assert largest_piece(SHAPE).sum() == 16
    assert largest_piece(picture("#..", ".#.", "..#")).all() == picture("#..", ".#.", "..#").all()
    assert (largest_piece(picture("#.#")) == picture("#..")).all()


def test_empty_and_full_masks_pass():
    empty, full = np.zeros((3, 3), np.bool_), np.ones((3, 3), np.bool_)
    for tidy in (lambda mask: fill_holes(mask, 5), lambda mask: remove_specks(mask, 5), largest_piece):
        assert not tidy(empty).any()
        assert tidy(full).all()
