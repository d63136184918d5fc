"""Masks carried along the motion between two frames: known shifts, cuts, and independence of neighbours."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trocar.datasets.scenes import scene
from trocar.frames import ArraySource
from trocar.load import load
from trocar.memory.seam import MemoryEntry, Visit
from trocar.model import Decoded, Network, PromptTensors, tiny_random
from trocar.model.motion import Search, frame_views, moved_masks
from trocar.model.network import ANSWER_SHARE
from trocar.model.tensors import CarriedMasks
from trocar.prompts import MaskPrompt
from trocar.track.carry import FROM_LAST
from trocar.track.features import to_network_input
from trocar.track.handed_on import FROM_NEWEST, FROM_PROMPT, carried_masks, nearest
from trocar.track.session import Session

SIDE = 128  # of the network input
SEARCHES = {"newest": FROM_NEWEST, "prompt": FROM_PROMPT, "last": FROM_LAST}


def picture(seed: int) -> torch.Tensor:
    """(3, 2 * SIDE, 2 * SIDE) of tissue, to cut shifted windows from."""
    return to_network_input(scene(seed, "abdomen", frames=1, size=2 * SIDE).images[0], 2 * SIDE)


def window(large: torch.Tensor, x: int, y: int) -> torch.Tensor:
    return large[:, y : y + SIDE, x : x + SIDE]


def disc(x: float, y: float, radius: float) -> torch.Tensor:
    """(1, 1, SIDE / 4, SIDE / 4) logits, +-10, of a disc given in input pixels."""
    centres = (torch.arange(SIDE // 4) + 0.5) * 4
    inside = (centres - x) ** 2 + (centres[:, None] - y) ** 2 < radius**2
    return (inside.float() * 20 - 10)[None, None]


def overlap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a > 0) & (b > 0)).sum() / ((a > 0) | (b > 0)).sum())


def carried(mask: torch.Tensor, then: torch.Tensor, now: torch.Tensor, search: Search = FROM_NEWEST) -> torch.Tensor:
    """A mask times its trust."""
    moved, trust = moved_masks(mask, [then], [now], search)
    return moved * trust


def entry(time: int, mask: torch.Tensor, view: torch.Tensor, prompted: bool = False) -> MemoryEntry:
    return MemoryEntry(
        time,
        time,
        "prompted" if prompted else "tracked",
        None,
        torch.zeros(4),
        mask[0, 0],
        1.0,
        1.0,
        True,
        1,
        None,
        view=view,
    )


def test_a_view_is_the_frame_in_grey() -> None:
    image = np.full((SIDE, SIDE, 3), 96, np.uint8)
    image[: SIDE // 2] = 160
    view = frame_views(to_network_input(image, SIDE)[None])
    assert view.shape == (1, SIDE, SIDE)
    assert view.dtype == torch.uint8
    assert abs(int(view[0, 0, 0]) - 160) <= 2
    assert abs(int(view[0, -1, 0]) - 96) <= 2


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("seed", [3, 4, 5])
@pytest.mark.parametrize("shift", [(8, 0), (0, -12), (-8, 8)])
def test_a_mask_follows_a_camera_that_moves(seed: int, shift: tuple[int, int], search: str) -> None:
    large, (dx, dy) = picture(seed), shift
    views = frame_views(torch.stack([window(large, 64, 64), window(large, 64 - dx, 64 - dy)]))
    moved = carried(disc(64, 64, 24), views[0], views[1], SEARCHES[search])
    assert overlap(moved, disc(64 + dx, 64 + dy, 24)) > 0.85
    assert overlap(disc(64, 64, 24), disc(64 + dx, 64 + dy, 24)) < 0.7


@pytest.mark.parametrize("search", SEARCHES)
def test_a_still_frame_changes_nothing(search: str) -> None:
    view = frame_views(window(picture(3), 64, 64)[None])[0]
    mask = disc(60, 50, 20)
    assert torch.allclose(carried(mask, view, view, SEARCHES[search]), mask, atol=1e-4)


@pytest.mark.parametrize("search", SEARCHES)
def test_behind_a_cut_a_mask_says_less(search: str) -> None:
    before, after = (frame_views(window(picture(seed), 64, 64)[None])[0] for seed in (3, 9))
    still = carried(disc(64, 64, 24), before, before, SEARCHES[search]).abs().mean()
    assert carried(disc(64, 64, 24), before, after, SEARCHES[search]).abs().mean() < 0.5 * still


def test_who_has_to_find_back_is_trusted_less_where_pictures_look_alike_without_being_the_same() -> None:
    """Two draws of the same noise: flow finds a look-alike of every cell, and nothing that leads back."""
    noise = np.random.default_rng(0)
    one, other = (cv2.GaussianBlur(noise.normal(0, 300, (SIDE, SIDE)), (0, 0), 4).clip(-90, 90) for _ in range(2))
    views = [torch.from_numpy((values + 128).astype(np.uint8)) for values in (one, other)]
    mask = disc(64, 64, 24)
    there, back = (
        moved_masks(mask, views[:1], views[1:], replace(FROM_PROMPT, astray=far))[1] for far in (math.inf, 1)
    )
    assert back.mean() < 0.5 * there.mean()


def test_what_differs_by_little_is_trusted_in_full() -> None:
    view = frame_views(window(picture(3), 64, 64)[None])[0]
    darker = (view.int() - 3).clamp(min=0).byte()
    still = Search(stride=1, window=9, tolerated=3, scale=16)
    assert float(moved_masks(disc(64, 64, 24), [view], [darker], still)[1].min()) > 0.9
    assert float(moved_masks(disc(64, 64, 24), [view], [darker], replace(still, tolerated=0))[1].max()) < 0.9


def test_rows_do_not_see_one_another() -> None:
    large = picture(4)
    views = frame_views(torch.stack([window(large, x, 64) for x in (64, 60, 52)]))
    masks = torch.cat([disc(40, 60, 16), disc(90, 40, 20)])
    entries = [entry(0, masks[:1], views[0]), entry(1, masks[1:], views[1])]
    said = entry(0, masks[1:], views[0], prompted=True)
    both = carried_masks(entries, [None, said], [views[2], views[2]])
    alone = carried_masks(entries[1:], [said], [views[2]])
    assert torch.equal(both.logits[1:], alone.logits)
    assert torch.equal(both.trust[1:], alone.trust)


def test_gradients_reach_the_mask_that_is_carried() -> None:
    views = frame_views(torch.stack([window(picture(4), x, 64) for x in (64, 60)]))
    mask = disc(64, 64, 24).requires_grad_()
    said = entry(0, mask, views[0], prompted=True)
    carried_masks([entry(1, mask, views[0])], [said], [views[1]]).logits.sum().backward()
    assert mask.grad is not None
    assert float(mask.grad.abs().sum()) > 0


def test_the_prompts_mask_counts_where_the_newest_came_along_wrongly() -> None:
    """The newest frame is another picture; the prompted one is this very picture."""
    here, other = (frame_views(window(picture(seed), 64, 64)[None])[0] for seed in (3, 9))
    right, wrong = disc(40, 40, 20), disc(90, 90, 20)
    said = entry(0, right, here, prompted=True)
    both = carried_masks([entry(5, wrong, other)], [said], [here])
    assert overlap(both.logits, F.interpolate(right, size=(SIDE, SIDE), mode="bilinear")) > 0.9
    assert float(both.trust.min()) > 0.99
    assert overlap(carried_masks([entry(5, wrong, other)], [None], [here]).logits, both.logits) < 0.1


def test_nearest_in_time_counts_and_in_sets_the_last() -> None:
    view = torch.zeros(4, 4, dtype=torch.uint8)
    entries = [entry(time, disc(64, 64, 24), view) for time in (0, 9, 4)]
    visit = Visit(frame=7, time=7, direction=1)
    assert nearest(entries, visit, timed=True).time == 9
    assert nearest(entries, visit, timed=False).time == 4


@pytest.mark.parametrize("trust", [0.0, 0.5, 1.0])
def test_a_carried_mask_joins_every_candidate_the_more_it_is_trusted(trust: float) -> None:
    torch.manual_seed(0)
    network = Network(replace(tiny_random(), mask_prior=True, mask_carried=True)).eval()
    features = network.encode_image(torch.randn(1, 3, 64, 64))
    fused = network.attend(features.stride16, None)
    logits = torch.randn(1, 1, 64, 64) * 20
    small = F.avg_pool2d(logits, 4)
    alone = PromptTensors(torch.zeros(1, 1, 2), torch.full((1, 1), -1), mask_logits=small)

    def decoded(prompts: PromptTensors) -> Decoded:
        return network.decode(fused, features.stride4, features.stride8, prompts, multimask=True)

    plain = decoded(alone)
    joined = decoded(replace(alone, carried=CarriedMasks(logits, torch.full_like(logits, trust))))
    share = ANSWER_SHARE + (1 - ANSWER_SHARE) * (1 - trust) ** 2
    assert plain.fine is None
    assert joined.fine is not None
    answer = F.interpolate(plain.masks, size=(64, 64), mode="bilinear")
    torch.testing.assert_close(joined.fine, share * answer + logits.clamp(-10, 10))
    torch.testing.assert_close(joined.masks, F.avg_pool2d(joined.fine, 4))


def test_a_mask_can_only_be_carried_where_one_is_handed_on() -> None:
    with pytest.raises(ValueError, match="set both"):
        replace(tiny_random(), mask_carried=True)


def test_detail_of_a_given_mask_is_not_lost_on_the_way() -> None:
    """Lines of 3 pixels, which cells of 4 pixels cannot hold, on a camera that moves by 5 pixels a frame."""
    large = scene(3, "abdomen", frames=1, size=320).images[0]
    frames = np.stack([large[32:288, 32 - 5 * step : 288 - 5 * step] for step in range(4)])
    lines = np.zeros((256, 256), np.bool_)
    lines[60:200, 60:180] = np.arange(120) % 6 < 3
    session = Session(load("nano", "cpu"), ArraySource(frames))
    session.add(MaskPrompt(lines))
    *_, last = session.propagate()
    session.close()
    expected = np.roll(lines, 15, axis=1)
    assert (last.masks[1] & expected).sum() / (last.masks[1] | expected).sum() > 0.8
