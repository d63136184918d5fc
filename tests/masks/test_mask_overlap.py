import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from trocar.masks import FrameMasks, from_label_map, keep_largest, to_label_map

LEFT = np.array([[1, 1, 0, 0]], np.bool_)
RIGHT = np.array([[0, 1, 1, 0]], np.bool_)


def test_the_largest_logit_stays_and_the_others_fall_to_minus_ten():
    logits = np.float32([[[3, 1, -20, 2]], [[2, 4, -12, 2]]])
    # The last column is a tie, which the first object wins; -20 is already below -10.
    assert keep_largest(logits).tolist() == [[[3, -10, -20, 2]], [[-10, 4, -12, -10]]]


@given(arrays(np.float32, array_shapes(min_dims=3, max_dims=3, max_side=6), elements={"allow_nan": False}))
def test_no_pixel_belongs_to_two_objects_and_none_is_lost(logits):
    kept = keep_largest(logits)
    assert kept.dtype == logits.dtype
    assert ((kept > 0).sum(0) <= 1).all()
    assert ((kept > 0).any(0) == (logits > 0).any(0)).all()


def test_the_larger_id_lies_on_top_unless_scores_decide():
    frame = FrameMasks(4, {7: RIGHT, 2: LEFT}, scores={2: 0.9, 7: 0.5})
    assert to_label_map(frame).tolist() == [[2, 7, 7, 0]]
    assert to_label_map(frame, by_score=True).tolist() == [[2, 2, 7, 0]]
    assert to_label_map(FrameMasks(4, {7: RIGHT, 2: LEFT}), by_score=True).tolist() == [[2, 7, 7, 0]]


def test_the_type_is_the_smallest_that_holds_the_ids():
    assert to_label_map(FrameMasks(0, {255: LEFT})).dtype == np.uint8
    assert to_label_map(FrameMasks(0, {256: LEFT})).dtype == np.uint16
    assert to_label_map(FrameMasks(0, {}), size=(2, 3)).tolist() == [[0, 0, 0], [0, 0, 0]]


@given(arrays(np.uint8, array_shapes(min_dims=2, max_dims=2), elements={"min_value": 0, "max_value": 5}))
def test_a_label_map_survives_the_round_trip(labels):
    frame = from_label_map(labels, frame=3)
    assert frame.frame == 3
    assert set(frame.masks) == set(np.unique(labels)) - {0}
    assert (to_label_map(frame, size=labels.shape) == labels).all()


def test_asked_ids_that_are_absent_have_empty_masks():
    assert not from_label_map(np.uint8([[1, 0]]), ids=[1, 2]).masks[2].any()


@pytest.mark.parametrize(
    ("frame", "size", "message"),
    [
        (FrameMasks(6, {0: LEFT}), None, "frame 6: a label map holds ids from 1 to 65535, not 0"),
        (FrameMasks(6, {70000: LEFT}), None, "to 70000"),
        (FrameMasks(6, {1: LEFT, 2: RIGHT.T}), None, "one size"),
        (FrameMasks(6, {1: LEFT}), (2, 2), "one size"),
        (FrameMasks(6, {}), None, "one size, not none"),
    ],
)
def test_what_does_not_fit_a_label_map_is_refused(frame, size, message):
    with pytest.raises(ValueError, match=message):
        to_label_map(frame, size)


def test_a_label_map_has_two_dimensions():
    with pytest.raises(ValueError, match="rows and columns"):
        from_label_map(np.zeros((1, 2, 3), np.uint8))
