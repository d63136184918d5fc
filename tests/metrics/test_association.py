"""Association scores: sequences of squares counted by hand, and what holds for any sequence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trocar.metrics.association import AssociationScore, AssociationScorer

Mask = NDArray[np.bool_]
LEFT, RIGHT = (np.zeros((4, 8), np.bool_) for _ in range(2))
LEFT[:, :4] = True
RIGHT[:, 4:] = True
NOTHING = np.zeros((4, 8), np.bool_)


def scored(frames: list[tuple[dict[int, Mask], dict[int, Mask]]]) -> AssociationScore:
    scorer = AssociationScorer()
    for found, truth in frames:
        scorer.add(found, truth)
    return scorer.score()


def test_ids_that_swap_once_are_two_switches() -> None:
    truth = {1: LEFT, 2: RIGHT}
    score = scored([({7: LEFT, 8: RIGHT}, truth)] * 3 + [({7: RIGHT, 8: LEFT}, truth)])
    assert score.switches == 2
    assert score.precision == score.recall == 1
    assert score.identity_f1 == 6 / 8  # 7 is 1 and 8 is 2 on three of four frames
    assert score.masklet_recall == 1  # 7 and 1 share 3 of 5 masks' pixels in union


def test_a_new_id_after_an_absence_is_one_switch() -> None:
    score = scored([({5: LEFT}, {1: LEFT})] * 2 + [({}, {})] * 3 + [({6: LEFT}, {1: LEFT})] * 2)
    assert score.switches == 1
    assert (score.kept, score.found, score.true) == (2, 4, 4)
    assert (score.masklets_matched, score.masklets_found, score.masklets_true) == (1, 2, 1)


def test_a_mask_that_is_missing_costs_recall_and_one_too_many_precision() -> None:
    score = scored([({1: LEFT}, {1: LEFT, 2: RIGHT}), ({1: LEFT, 9: RIGHT}, {1: LEFT})])
    assert score.switches == 0
    assert score.recall == score.precision == 2 / 3
    assert score.masklet_precision == score.masklet_recall == 1 / 2


def test_a_correspondence_that_still_holds_is_kept_before_a_better_one() -> None:
    """As CLEAR MOT says it: 5 still covers 4 of 7 columns of the truth, though 6 fits it better."""
    truth = {1: np.arange(8)[None] < 7}
    wide, narrow = np.arange(8)[None] < 6, np.arange(8)[None] < 4
    score = scored([({5: narrow}, truth), ({5: narrow, 6: wide}, truth)])
    assert score.switches == 0


def test_empty_masks_are_no_masks_and_no_frames_no_rates() -> None:
    score = scored([({3: NOTHING}, {1: NOTHING})])
    assert score == AssociationScore()
    assert math.isnan(score.precision)
    assert math.isnan(score.identity_f1)


def test_scores_of_videos_add_up() -> None:
    one, other = scored([({1: LEFT}, {1: LEFT})]), scored([({1: LEFT}, {1: RIGHT})])
    assert one + other == AssociationScore(0, 1, 2, 2, 1, 1, 2, 2)


def test_masks_of_two_sizes_and_senseless_thresholds_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        AssociationScorer().add({1: LEFT}, {1: LEFT[:, :4]})
    with pytest.raises(ValueError, match="not 0"):
        AssociationScorer(0.0)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=12, max_size=12), min_size=1, max_size=6), st.permutations([1, 2, 3])
)
def test_the_truth_under_other_names_is_perfect(labels: list[list[int]], names: list[int]) -> None:
    frames = [np.array(one).reshape(3, 4) for one in labels]
    truths = [{i: frame == i for i in (1, 2, 3)} for frame in frames]
    score = scored([({names[i - 1]: mask for i, mask in truth.items()}, truth) for truth in truths])
    assert score.switches == 0
    assert score.matched == score.kept == score.found == score.true
    assert score.masklets_matched == score.masklets_found == score.masklets_true
