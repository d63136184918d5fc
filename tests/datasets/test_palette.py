"""Label pictures: what their values and colours mean, worked out by hand."""

import numpy as np
import pytest
from PIL import Image

from trocar.datasets.palette import Palette, read_binary, read_values


def save(path, pixels):
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def test_values_become_ids_and_void_has_no_truth(tmp_path):
    truth = Palette({0: 0, 10: 1, 20: 2}, void=(255,)).read(save(tmp_path / "a.png", [[0, 10, 20], [255, 20, 0]]))
    assert {number: mask.tolist() for number, mask in truth.masks.items()} == {
        1: [[False, True, False], [False, False, False]],
        2: [[False, False, True], [False, True, False]],
    }
    assert truth.ignore is not None
    assert truth.ignore.tolist() == [[False, False, False], [True, False, False]]


def test_colours_become_ids(tmp_path):
    palette = Palette({(0, 0, 0): 0, (255, 0, 0): 3, (0, 0, 255): 4})
    truth = palette.read(save(tmp_path / "a.png", [[[255, 0, 0], [0, 0, 255], [0, 0, 0]]]))
    assert {number: mask.tolist() for number, mask in truth.masks.items()} == {
        3: [[True, False, False]],
        4: [[False, True, False]],
    }
    assert truth.ignore is None


def test_a_softened_colour_goes_to_the_nearest_only_where_asked(tmp_path):
    path = save(tmp_path / "a.png", [[[250, 4, 3], [2, 1, 0]]])
    colours = {(0, 0, 0): 0, (255, 0, 0): 1}
    with pytest.raises(ValueError, match=r"a\.png holds the colour \(250, 4, 3\)|\(2, 1, 0\)"):
        Palette(colours).read(path)
    assert Palette(colours, nearest=True).read(path).masks[1].tolist() == [[True, False]]


def test_an_unknown_value_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png holds the label 7"):
        Palette({0: 0, 1: 1}).read(save(tmp_path / "a.png", [[0, 7]]))


def test_black_and_white_in_either_scale(tmp_path):
    for name, pixels in (("a.png", [[0, 1, 1]]), ("b.png", [[3, 200, 255]])):
        assert read_binary(save(tmp_path / name, pixels), 5).masks[5].tolist() == [[False, True, True]]
    Image.fromarray(np.array([[False, True, True]])).save(tmp_path / "c.png")
    assert read_binary(tmp_path / "c.png").masks[1].tolist() == [[False, True, True]]
    assert read_binary(save(tmp_path / "d.png", [[0, 0]])).masks == {}


def test_grey_pictures_with_three_equal_channels_are_values(tmp_path):
    assert read_values(save(tmp_path / "a.png", [[[4, 4, 4], [9, 9, 9]]])).tolist() == [[4, 9]]
    with pytest.raises(ValueError, match="is in colour"):
        read_values(save(tmp_path / "b.png", [[[4, 4, 5]]]))


def test_a_missing_and_a_damaged_file_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.png is missing"):
        read_values(tmp_path / "no.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(ValueError, match=r"bad\.png cannot be read as a picture"):
        read_values(tmp_path / "bad.png")
