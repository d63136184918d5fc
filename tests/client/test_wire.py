"""Masks on the wire are COCO's, patches bring one mask to another, and messages survive JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from trocar.masks import from_rle, to_rle
from trocar.wire import (
    Answer,
    EditMessage,
    MaskMessage,
    Patch,
    SourceMessage,
    apply_patch,
    decode_runs,
    encode_runs,
    from_json,
    make_patch,
    mask_version,
    to_json,
)

SIZES = st.tuples(st.integers(1, 24), st.integers(1, 24))
MASKS = SIZES.flatmap(lambda size: arrays(np.bool_, size))
PAIRS = SIZES.flatmap(lambda size: st.tuples(arrays(np.bool_, size), arrays(np.bool_, size)))


@given(MASKS)
def test_codes_are_those_of_coco(mask: np.ndarray) -> None:
    rows, columns = mask.shape
    code = encode_runs(mask)
    assert code == to_rle(mask)["counts"]
    assert np.array_equal(decode_runs(code, rows, columns), mask)
    assert np.array_equal(from_rle({"size": [rows, columns], "counts": code}), mask)


@given(PAIRS)
def test_a_patch_brings_one_mask_to_another(pair: tuple[np.ndarray, np.ndarray]) -> None:
    before, after = pair
    assert np.array_equal(apply_patch(make_patch(after)), after)
    patch = make_patch(after, before, "version")
    assert np.array_equal(apply_patch(patch, before), after)
    x, y, width, height = patch.box
    changed = before != after
    assert changed[y : y + height, x : x + width].sum() == changed.sum()
    assert width * height == 0 or (changed[:, x].any() and changed[y].any())


@given(PAIRS)
def test_versions_are_equal_where_masks_are(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one, other = pair
    assert (mask_version(one) == mask_version(other)) == np.array_equal(one, other)
    assert mask_version(one) == mask_version(one.copy())
    assert (mask_version(one) == "") == (not one.any())


def test_the_first_column_is_counted_down() -> None:
    """By hand: 2 rows, 3 columns, only the lower pixel of the middle column: runs of 3, 1, 2."""
    mask = np.array([[0, 0, 0], [0, 1, 0]], np.bool_)
    assert encode_runs(mask) == "312"


@pytest.mark.parametrize(
    "patch",
    [
        Patch([4, 4], [2, 0, 3, 1], "3"),
        Patch([4, 4], [-1, 0, 1, 1], "1"),
        Patch([4, 4], [0, 0, 2, 2], "3"),
        Patch([4, 4], [0, 0, 2, 2], "\x00"),
        Patch([4, 4], [0, 0, 2, 2], "~~~~~~~~~~~~~~~~~~"),
        Patch([4], [0, 0, 2, 2], "4"),
    ],
)
def test_damaged_patches_are_refused(patch: Patch) -> None:
    with pytest.raises(ValueError, match=r"patch|run-length"):
        apply_patch(patch)


def test_messages_survive_json_and_newer_servers() -> None:
    mask = MaskMessage(1, 3, Patch([4, 4], [0, 0, 1, 1], "01"), "abc", 0.5, True)
    answer = Answer(3, 1, [mask], EditMessage(7, "prompt", 1, 3))
    told = json.loads(json.dumps(to_json(answer)))
    assert from_json(Answer, told) == answer
    assert from_json(Answer, told | {"something": "newer"}) == answer
    with pytest.raises(ValueError, match="no SourceMessage"):
        from_json(SourceMessage, {"id": 1})
