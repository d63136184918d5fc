"""Which frames an encoder sees, by hand."""

import numpy as np
import pytest

from trocar.recognition.views import as_clips, frame_indices, square


def test_every_other_frame_in_the_middle_and_in_two_views():
    assert frame_indices(10, 4, 2).tolist() == [[1, 3, 5, 7]]
    assert frame_indices(10, 4, 2, views=2).tolist() == [[0, 2, 4, 6], [3, 5, 7, 9]]


def test_a_short_clip_is_spread_from_first_to_last():
    assert frame_indices(5, 3, 4).tolist() == [[0, 2, 4]]
    assert frame_indices(2, 4, 4, views=2).tolist() == [[0, 0, 1, 1]] * 2
    assert frame_indices(1, 4, 1).tolist() == [[0, 0, 0, 0]]
    assert frame_indices(9, 3, 0).tolist() == [[0, 4, 8]]


@pytest.mark.parametrize("wrong", [(0, 4, 1, 1), (4, 0, 1, 1), (4, 4, -1, 1), (4, 4, 1, 0)])
def test_numbers_out_of_range(wrong):
    with pytest.raises(ValueError, match="gives no"):
        frame_indices(*wrong)


def test_the_middle_of_a_wide_picture():
    image = np.zeros((10, 30, 3), np.uint8)
    image[:, 10:20] = 200
    assert (square(image, 10) == 200).all()
    assert square(image, 4).shape == (4, 4, 3)
    assert square(image.transpose(1, 0, 2), 20).shape == (20, 20, 3)


def test_pixels_become_clips():
    pixels = np.zeros((2, 3, 4, 4, 3), np.uint8)
    pixels[1, 2, 3, 0] = (255, 51, 0)
    clips = as_clips(pixels)
    assert clips.shape == (2, 3, 3, 4, 4)
    assert clips[1, 2, :, 3, 0].tolist() == pytest.approx([1.0, 0.2, 0.0])
