"""Masks of pretraining: counted by hand, as properties, and against figures measured with V-JEPA's release."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch

from trocar.pretrain.masks import Blocks, Masks, block_masks, block_size, tube_masks

GRID = (8, 14, 14)  # 16 frames of 224 px


def streams(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, number)) for number in range(count)]


def test_a_tube_is_one_set_of_places_through_all_slots_of_time() -> None:
    masks = tube_masks(GRID, 0.9, streams(3))
    assert masks.seen.shape == (3, 160)
    assert masks.hidden.shape == (3, 1408)  # floor(0.9 * 196) = 176 places in 8 slots
    assert masks.share == pytest.approx(20 / 196)
    for seen, hidden in zip(masks.seen, masks.hidden, strict=True):
        assert torch.equal(torch.cat((seen, hidden)).sort()[0], torch.arange(1568))
        slots = seen.view(8, 20) % 196
        assert (slots == slots[0]).all()
        assert (seen.diff() > 0).all()
    assert len({tuple(row.tolist()) for row in masks.seen}) == 3, "each clip has its own"
    assert torch.equal(tube_masks(GRID, 0.9, streams(3)).seen, masks.seen)


@pytest.mark.parametrize("ratio", [0.0, 0.004, 1.0])
def test_a_ratio_that_hides_all_or_nothing_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"hides \d+ of 196 places: choose another"):
        tube_masks(GRID, ratio, streams(1))


def test_a_blocks_sides_follow_from_its_area_and_ratio() -> None:
    square = Blocks(1, 0.25, 1.0, 1.0)  # a quarter of 196 is 49 = 7 * 7
    assert block_size(GRID, square, np.random.default_rng(0)) == (7, 7)
    tall = Blocks(1, 0.25, 2.0, 2.0)  # sqrt(98) = 9.9, sqrt(24.5) = 4.95
    assert block_size(GRID, tall, np.random.default_rng(0)) == (10, 5)
    wide = Blocks(1, 0.9, 0.1, 0.1)  # wider than the picture: sqrt(1760) = 42 is cut to 14
    assert block_size(GRID, wide, np.random.default_rng(0)) == (4, 14)


def test_one_clips_blocks_hide_exactly_their_union() -> None:
    masks = block_masks(GRID, Blocks(1), (5, 6), streams(1))
    assert masks.hidden.shape == (1, 8 * 30)
    assert torch.equal(torch.cat((masks.seen, masks.hidden), 1).sort(1)[0], torch.arange(1568)[None])
    places = masks.hidden[0].view(8, 30) % 196
    assert (places == places[0]).all()
    rows, columns = places[0] // 14, places[0] % 14
    assert (rows.max() - rows.min() + 1, columns.max() - columns.min() + 1) == (5, 6)


@pytest.mark.parametrize(
    ("blocks", "visible", "cut"),
    # Measured with the release, batch 32: visible before and after sets are cut to one length.
    [(Blocks(8, 0.15), 0.374, 0.223), (Blocks(2, 0.7), 0.186, 0.058)],
)
def test_as_much_is_seen_as_in_the_release(blocks: Blocks, visible: float, cut: float) -> None:
    shares, kept = [], []
    for draw in range(120):
        size = block_size(GRID, blocks, np.random.default_rng((7, draw)))
        masks = block_masks(GRID, blocks, size, streams(32, draw))
        shares.append(masks.share)
        kept.append(masks.seen.shape[1] / 1568)
    assert np.mean(shares) == pytest.approx(visible, abs=0.02)
    assert np.mean(kept) == pytest.approx(cut, abs=0.02)


@pytest.mark.parametrize("cut", ["random", "tail"])
def test_sets_are_cut_to_the_shortest(cut: Literal["random", "tail"]) -> None:
    def draw(count: int) -> Masks:
        return block_masks(GRID, Blocks(8), (5, 6), streams(count), cut)

    masks = draw(16)
    alone = [block_masks(GRID, Blocks(8), (5, 6), [rng]) for rng in streams(16)]
    assert masks.seen.shape[1] == min(one.seen.shape[1] for one in alone)
    assert masks.hidden.shape[1] == min(one.hidden.shape[1] for one in alone)
    for row, one in enumerate(alone):
        assert set(masks.seen[row].tolist()) <= set(one.seen[0].tolist())
        assert set(masks.hidden[row].tolist()) <= set(one.hidden[0].tolist())
    per_slot = [int(((masks.seen // 196) == slot).sum()) for slot in range(8)]
    if cut == "tail":
        assert per_slot[-1] < 0.75 * per_slot[0], "the release's way starves the last frames"
    else:
        assert max(per_slot) < 1.1 * min(per_slot)


def test_blocks_that_cover_everything_are_refused() -> None:
    with pytest.raises(ValueError, match="cover all"):
        block_masks((2, 3, 3), Blocks(1), (3, 3), streams(1))
    with pytest.raises(ValueError, match="area between 0 and 1"):
        Blocks(area=1.0)
