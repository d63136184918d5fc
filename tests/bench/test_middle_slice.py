"""Where objects of a volume begin, and that both ways of carrying them do what sessions do slice by slice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_cases import made_case

from trocar.bench.challenge import BoxPrompter
from trocar.bench.middle_slice import Beginning, box_around, first_masks, middles, slice_by_slice, track_both_ways
from trocar.memory import NoMemory
from trocar.model import Network, tiny_random
from trocar.prompts import Box, MaskPrompt, tight_box
from trocar.track.session import Session


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(replace(tiny_random(), dense_prompts=True, mask_prior=True)).eval()


def volume() -> np.ndarray:
    """Six slices: object 1 on slices 1, 2 and 4, moving to the right, object 2 on slice 5 alone."""
    labels = np.zeros((6, 24, 32), np.uint16)
    for place in (1, 2, 4):
        labels[place, 4:10, 4 + 3 * place : 10 + 3 * place] = 1
    labels[5, 14:20, 4:12] = 2
    return labels


def test_the_released_middle_is_that_of_the_range_and_its_box_that_of_the_whole_object() -> None:
    found = middles(volume(), "released", {2: Box(1, 1, 5, 5)})
    # Slices 1 to 4 are four, so the middle is 1 + 2, on which the object does not show.
    assert found[1] == Beginning(3, Box(7, 4, 21, 9), 1, 4)
    assert found[2] == Beginning(5, Box(1, 1, 5, 5), 5, 5)  # as it is stored


def test_the_clean_middle_shows_the_object_with_its_own_box() -> None:
    found = middles(volume(), "clean", {})
    assert found[1] == Beginning(2, Box(10, 4, 15, 9), 0, 5)
    assert found[2] == Beginning(5, Box(4, 14, 11, 19), 0, 5)


def test_tracking_both_ways_is_a_session_forward_and_another_one_backward(network: Network) -> None:
    labels = volume()
    source = made_case(labels).open()
    beginnings = {1: Beginning(2, Box(0, 0, 1, 1), 1, 4), 2: Beginning(5, Box(0, 0, 1, 1), 0, 5)}
    first = {number: labels[one.frame] == number for number, one in beginnings.items()}
    found = track_both_ways(Session(network, source), beginnings, first)
    for number, one in beginnings.items():
        for direction in ("forward", "backward"):
            session = Session(network, source)
            session.add(MaskPrompt(first[number]), frame=one.frame, object_id=number)
            for masks in session.propagate(direction):  # type: ignore[arg-type]
                inside = one.first <= masks.frame <= one.last
                assert (found[number][masks.frame] == (masks.masks[number] & inside)).all()
    forward = track_both_ways(Session(network, source), beginnings, first, backward=False)
    assert not forward[1][:2].any()
    assert (forward[1][2:] == found[1][2:]).all()
    assert track_both_ways(Session(network, source), {}, {}) == {}


def test_slice_by_slice_boxes_come_from_the_mask_before(network: Network) -> None:
    source = made_case(volume()).open()
    beginnings = middles(volume(), "clean", {})
    prompter = BoxPrompter(network, source)
    first = first_masks(prompter, beginnings)
    found = slice_by_slice(prompter, beginnings, first)
    for number, one in beginnings.items():
        assert (found[number][one.frame] == first[number]).all()
        for order in (range(one.frame + 1, 6), range(one.frame - 1, -1, -1)):
            mask = first[number]
            for frame in order:
                if mask.any():
                    session = Session(network, source, NoMemory())
                    mask = session.add(tight_box(mask), frame=frame).masks[1]
                assert (found[number][frame] == mask).all()


def test_an_empty_mask_ends_an_object_and_so_does_its_range(network: Network) -> None:
    labels = volume()
    prompter = BoxPrompter(network, made_case(labels).open())
    beginnings = {1: Beginning(2, Box(0, 0, 1, 1), 1, 3), 2: Beginning(2, Box(0, 0, 1, 1), 0, 5)}
    asked: list[Beginning] = []

    def next_box(mask: np.ndarray, beginning: Beginning) -> Box | None:
        asked.append(beginning)
        return box_around(mask, beginning)

    first = {1: labels[2] == 1, 2: np.zeros((24, 32), bool)}
    found = slice_by_slice(prompter, beginnings, first, next_box)
    assert not found[2].any()
    assert not found[1][[0, 4, 5]].any()
    assert asked.count(beginnings[2]) == 2  # once in each direction


def test_boxes_are_answered_one_by_one_at_the_size_that_is_asked_for(network: Network) -> None:
    source = made_case(volume()).open()
    boxes = {1: Box(10, 4, 15, 9), 2: Box(4, 14, 11, 19)}
    small = BoxPrompter(network, source, 32).masks(2, boxes)
    own = BoxPrompter(network, source).masks(2, boxes)
    for number, box in boxes.items():
        assert (BoxPrompter(network, source, 32).masks(2, {number: box})[number] == small[number]).all()
        assert (Session(network, source, NoMemory()).add(box, frame=2).masks[1] == own[number]).all()
    assert any((small[number] != own[number]).any() for number in boxes)
