import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from trocar.masks import FrameMasks, from_label_map, to_label_map

LEFT = np.array([[1, 1, 0, 0]], np.bool_)
RIGHT = np.array([[0, 1, 1, 0]], np.bool_)


def test_the_larger_id_lies_on_top():
    assert to_label_map(FrameMasks(4, {7: RIGHT, 2: LEFT}), (1, 4)).tolist() == [[2, 7, 7, 0]]
    assert to_label_map(FrameMasks(0, {}), (2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements={"min_value": 0, "max_value": 5}))
def test_a_label_map_survives_the_round_trip(labels):
    frame = from_label_map(labels, frame=3)
    assert frame.frame == 3
    assert set(frame.masks) == set(np.unique(labels)) - {0}
    assert (to_label_map(frame, size=labels.shape) == labels).all()


def test_asked_ids_that_are_absent_have_empty_masks():
    assert not from_label_map(np.uint8([[1, 0]]), ids=[1, 2]).masks[2].any()


@pytest.mark.parametrize(
    ("frame", "highest", "message"),
    [
        (FrameMasks(6, {0: LEFT}), 255, "ids 1 to 255, not 0"),
        (FrameMasks(6, {256: LEFT}), 255, "not 256"),
        (FrameMasks(6, {1: LEFT, 2: RIGHT.T}), 255, "object 2 on frame 6"),
    ],
)
def test_what_does_not_fit_a_label_map_is_refused(frame, highest, message):
    with pytest.raises(ValueError, match=message):
        to_label_map(frame, (1, 4), highest)


def test_a_label_map_has_two_dimensions():
    with pytest.raises(ValueError, match="rows and columns"):
        from_label_map(np.zeros((1, 2, 3), np.uint8))
