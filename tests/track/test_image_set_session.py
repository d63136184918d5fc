"""One template and its prompt, all other images from memory: sizes, exact templates, and independence of the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.frames import Frame
from trocar.geometry import Geometry
from trocar.memory.self_sorting import SelfSorting
from trocar.model import Network, tiny_random
from trocar.prompts import Box, MaskPrompt
from trocar.track.session import Session

COUNT = 9
Mask = NDArray[np.bool_]


class Pictures:
    """Some of nine pictures of three sizes, in the order given."""

    ordered = False
    rate_hz = None
    name = "pictures"

    def __init__(self, order: Sequence[int]) -> None:
        self._images = [picture(number) for number in order]
        self.geometries = tuple(Geometry((image.shape[0], image.shape[1])) for image in self._images)
        self.geometry = self.geometries[0]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Frame:
        return Frame(index, self._images[index])


def picture(number: int) -> NDArray[np.uint8]:
    rows, columns = ((40, 60), (64, 48), (50, 50))[number % 3]
    return np.random.default_rng(number).integers(0, 255, (rows, columns, 3), dtype=np.uint8)


def drawn_mask(number: int) -> Mask:
    mask = np.zeros(picture(number).shape[:2], np.bool_)
    mask[8 + number : 30, 10:33] = True
    return mask


@pytest.fixture(scope="module")
def network() -> Network:
    """Random weights with all that nano has; the seed is one with which masks are not empty."""
    torch.manual_seed(3)
    return Network(replace(tiny_random(), dense_prompts=True, mask_prior=True))


def segmented(network: Network, order: Sequence[int], templates: Sequence[int]) -> dict[int, tuple[Mask, float]]:
    """Picture -> mask and score; the last template has a box besides, as an object of its own."""
    session = Session(network, Pictures(order))
    for number in templates:
        session.add(MaskPrompt(drawn_mask(number)), frame=order.index(number))
    session.add(Box(5, 5, 30, 30), frame=order.index(templates[-1]), object_id=2)
    found = {order[one.frame]: (one.masks[1], one.scores[1]) for one in session.propagate()}
    session.close()
    return found


def test_every_image_is_visited_and_masks_have_its_own_size(network: Network) -> None:
    found = segmented(network, range(COUNT), [4])
    assert sorted(found) == list(range(COUNT))
    assert all(mask.shape == picture(number).shape[:2] for number, (mask, _) in found.items())
    assert any(mask.any() for number, (mask, _) in found.items() if number != 4)


@pytest.mark.parametrize("templates", [[4], [1, 4], [7, 2, 5]])
def test_without_a_bank_a_mask_depends_on_no_other_image_and_no_order(network: Network, templates: list[int]) -> None:
    whole = segmented(network, range(COUNT), templates)
    others = [number for number in range(COUNT) if number not in templates]
    ahead = sorted(templates)
    for order in ([*ahead, *reversed(others)], [others[2], *ahead, others[0]], [*others[::2], *ahead]):
        part = segmented(network, order, templates)
        for number, (mask, score) in part.items():
            np.testing.assert_array_equal(mask, whole[number][0])
            assert score == whole[number][1]


def test_templates_keep_their_masks_to_the_pixel(network: Network) -> None:
    found = segmented(network, range(COUNT), [2, 6])
    for number in (2, 6):
        np.testing.assert_array_equal(found[number][0], drawn_mask(number))


def test_a_correction_makes_another_template_and_sticks(network: Network) -> None:
    session = Session(network, Pictures(range(COUNT)))
    session.add(MaskPrompt(drawn_mask(0)), frame=0)
    before = {one.frame: one.masks[1] for one in session.propagate()}
    session.add(MaskPrompt(drawn_mask(5)), frame=5)
    after = {one.frame: one.masks[1] for one in session.propagate()}
    np.testing.assert_array_equal(after[5], drawn_mask(5))
    two = segmented(network, range(COUNT), [0, 5])
    assert all((after[number] == two[number][0]).all() for number in range(COUNT))
    assert any((after[number] != before[number]).any() for number in range(COUNT) if number != 5)


def test_prompts_are_held_against_their_own_image(network: Network) -> None:
    session = Session(network, Pictures(range(COUNT)))
    session.add(Box(1, 1, 40, 60), frame=1)  # 64 rows
    with pytest.raises(ValueError, match="outside the frame"):
        session.add(Box(1, 1, 40, 60), frame=0)  # 40 rows
    with pytest.raises(ValueError, match="the mask on frame 2"):
        session.add(MaskPrompt(drawn_mask(0)), frame=2)
    with pytest.raises(ValueError, match="frames 0 to 8"):
        session.add(Box(1, 1, 9, 9), frame=COUNT)


def test_a_set_is_read_from_its_templates_alone_by_default(network: Network) -> None:
    order = range(COUNT)
    session = Session(network, Pictures(order), SelfSorting(bank=0))
    session.add(MaskPrompt(drawn_mask(4)), frame=4)
    said = {one.frame: one.masks[1] for one in session.propagate()}
    by_default = segmented(network, order, [4])
    assert all((said[number] == by_default[number][0]).all() for number in order)
