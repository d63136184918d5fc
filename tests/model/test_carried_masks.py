"""Masks carried along the motion between two frames: known shifts, cuts, and independence of neighbours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from trocar.datasets.scenes import scene
from trocar.model import Network, PromptTensors, tiny_random
from trocar.model.motion import carried_masks, frame_views
from trocar.model.network import ANSWER_SHARE
from trocar.track.features import to_network_input

SIDE = 128  # of the network input; views are half as wide, masks a quarter


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


def test_a_view_is_the_frame_in_grey_at_half_its_size() -> None:
    image = np.full((SIDE, SIDE, 3), 96, np.uint8)
    image[: SIDE // 2] = 160
    view = frame_views(to_network_input(image, SIDE)[None])
    assert view.shape == (1, SIDE // 2, SIDE // 2)
    assert view.dtype == torch.uint8
    assert abs(int(view[0, 0, 0]) - 160) <= 2
    assert abs(int(view[0, -1, 0]) - 96) <= 2


@pytest.mark.parametrize("seed", [3, 4, 5])
@pytest.mark.parametrize("shift", [(8, 0), (0, -12), (-8, 8)])
def test_a_mask_follows_a_camera_that_moves(seed: int, shift: tuple[int, int]) -> None:
    large, (dx, dy) = picture(seed), shift
    views = frame_views(torch.stack([window(large, 64, 64), window(large, 64 - dx, 64 - dy)]))
    moved = carried_masks(disc(64, 64, 24), [views[0]], [views[1]])
    assert overlap(moved, disc(64 + dx, 64 + dy, 24)) > 0.85
    assert overlap(disc(64, 64, 24), disc(64 + dx, 64 + dy, 24)) < 0.7


def test_a_still_frame_changes_nothing() -> None:
    view = frame_views(window(picture(3), 64, 64)[None])[0]
    mask = disc(60, 50, 20)
    assert torch.allclose(carried_masks(mask, [view], [view]), mask, atol=1e-4)


def test_behind_a_cut_a_mask_says_less() -> None:
    before, after = (frame_views(window(picture(seed), 64, 64)[None])[0] for seed in (3, 9))
    still = carried_masks(disc(64, 64, 24), [before], [before]).abs().mean()
    assert carried_masks(disc(64, 64, 24), [before], [after]).abs().mean() < 0.5 * still


def test_rows_do_not_see_one_another() -> None:
    large = picture(4)
    views = frame_views(torch.stack([window(large, x, 64) for x in (64, 60, 52)]))
    masks = torch.cat([disc(40, 60, 16), disc(90, 40, 20)])
    both = carried_masks(masks, [views[0], views[1]], [views[2], views[2]])
    alone = carried_masks(masks[1:], [views[1]], [views[2]])
    assert torch.equal(both[1:], alone)


def test_gradients_reach_the_mask_that_is_carried() -> None:
    views = frame_views(torch.stack([window(picture(4), x, 64) for x in (64, 60)]))
    mask = disc(64, 64, 24).requires_grad_()
    carried_masks(mask, [views[0]], [views[1]]).sum().backward()
    assert mask.grad is not None
    assert float(mask.grad.abs().sum()) > 0


def test_the_carried_mask_is_added_to_every_candidate() -> None:
    torch.manual_seed(0)
    network = Network(replace(tiny_random(), mask_prior=True, mask_carried=True)).eval()
    features = network.encode_image(torch.randn(1, 3, 64, 64))
    fused = network.attend(features.stride16, None)
    logits = torch.randn(1, 1, 16, 16) * 20
    point = torch.zeros(1, 1, 2), torch.full((1, 1), -1)

    def masks(carried: bool) -> torch.Tensor:
        prompts = PromptTensors(*point, mask_logits=logits, carried=carried)
        return network.decode(fused, features.stride4, features.stride8, prompts, multimask=True).masks

    assert torch.allclose(
        masks(True) - ANSWER_SHARE * masks(False), logits.clamp(-10, 10).expand(-1, 3, -1, -1), atol=1e-5
    )


def test_a_mask_can_only_be_carried_where_one_is_handed_on() -> None:
    with pytest.raises(ValueError, match="set both"):
        replace(tiny_random(), mask_carried=True)
