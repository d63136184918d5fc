from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from trocar.masks import from_rle, rle_area, rle_box, to_rle


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_round_trip_area_and_box(mask):
    rle = to_rle(mask)
    assert (from_rle(rle) == mask).all()
    assert rle_area(rle) == mask.sum()
    if mask.any():
        rows, columns = np.nonzero(mask)
        width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
        assert rle_box(rle) == (columns.min(), rows.min(), width, height)
    else:
        assert rle_box(rle) == (0, 0, 0, 0)


def test_plain_runs_count_down_the_columns():
    # 2 rows x 3 columns: one background pixel, three of the object, two of the background, column by column.
    assert from_rle({"size": [2, 3], "counts": [1, 3, 2]}).tolist() == [[False, True, False], [True, True, False]]


@given(st.text(max_size=12))
def test_a_damaged_code_is_refused_and_never_read_beyond_its_end(counts):
    with suppress(ValueError):
        assert from_rle({"size": [3, 4], "counts": counts}).shape == (3, 4)


@pytest.mark.parametrize(
    "rle", [{"size": [3], "counts": [3]}, {"size": [2, 2], "counts": [3]}, {"size": [2, 2], "counts": [5, -1]}]
)
def test_runs_that_do_not_fill_the_size_are_refused(rle):
    with pytest.raises(ValueError, match="run-length code"):
        from_rle(rle)


def test_only_bool_pictures_are_encoded():
    with pytest.raises(ValueError, match="2-D bool"):
        to_rle(np.ones((2, 2), np.uint8))
