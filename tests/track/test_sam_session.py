"""Prompting images with a network that has no memory, through the session that tracks with those that have one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.frames import ArraySource, Frame
from trocar.geometry import Geometry
from trocar.load import load
from trocar.memory import NoMemory, Recent
from trocar.model import Network
from trocar.model.checkpoint import save_weights
from trocar.model.config import tiny_sam
from trocar.model.sam1 import make_network
from trocar.prompts import Box, MaskPrompt, PlacedPrompt, Point
from trocar.track.entries import StepSettings
from trocar.track.initial import initial_masks
from trocar.track.session import Session, SessionOptions
from trocar.track.volume import VolumeOptions, VolumeRun

FRAMES, ROWS, COLUMNS = 5, 40, 64


@pytest.fixture(scope="module")
def network() -> Network:
    """The seed is one with which masks are neither empty nor full."""
    torch.manual_seed(5)
    return make_network(tiny_sam())


@pytest.fixture(scope="module")
def source() -> ArraySource:
    return ArraySource(np.random.default_rng(0).integers(0, 255, (FRAMES, ROWS, COLUMNS, 3), dtype=np.uint8))


@pytest.fixture
def session(network: Network, source: ArraySource) -> Iterator[Session]:
    made = Session(network, source)
    yield made
    made.close()


def test_prompts_on_frames_are_answered(session: Session) -> None:
    """One prompt a frame: each answer is that of its frame alone, the others' masks are empty."""
    answers = {frame: session.add(Box(10, 5, 50, 30), frame=frame) for frame in (0, 3)}
    assert 0 < answers[0].masks[1].sum() < ROWS * COLUMNS
    masks = {one.frame: one for one in session.propagate()}
    assert sorted(masks) == list(range(FRAMES))
    for frame, one in masks.items():
        if frame in answers:
            assert np.array_equal(one.masks[1], answers[frame].masks[1])
            assert one.prompted == {1}
        else:
            assert not one.masks[1].any()
            assert one.scores[1] == 0


def test_an_answer_does_not_depend_on_what_else_was_asked(
    session: Session, network: Network, source: ArraySource
) -> None:
    session.add(Box(3, 4, 30, 20), frame=1, object_id=2)
    session.add(Point(9, 9), frame=2, object_id=1)
    late = session.add(Point(30, 20), Point(5, 5, positive=False), frame=1, object_id=1)
    alone = Session(network, source)
    first = alone.add(Point(30, 20), Point(5, 5, positive=False), frame=1, object_id=1)
    alone.close()
    assert np.array_equal(late.masks[1], first.masks[1])


def test_clicks_refine_and_undo_takes_them_back(session: Session) -> None:
    first = session.add(Box(10, 5, 50, 30), frame=2)
    second = session.add(Point(12, 28, positive=False), frame=2)
    assert not np.array_equal(first.masks[1], second.masks[1])
    session.undo()
    assert np.array_equal(next(one for one in session.propagate() if one.frame == 2).masks[1], first.masks[1])


def test_a_mask_prompt_is_the_answer_to_the_pixel(session: Session) -> None:
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[7:20, 5:31] = True
    assert np.array_equal(session.add(MaskPrompt(mask), frame=1).masks[1], mask)


def test_masks_given_on_wide_frames_come_back_where_they_were(network: Network, source: ArraySource) -> None:
    """With overlap resolved masks go through the network's square input: padding does not move them."""
    session = Session(network, source, options=SessionOptions(StepSettings(non_overlap=True)))
    mask = np.zeros((ROWS, COLUMNS), np.bool_)
    mask[8:32, 16:48] = True
    back = session.add(MaskPrompt(mask), frame=0).masks[1]
    session.close()
    assert (back ^ mask).sum() <= 2 * (24 + 32)  # a pixel along the edge


def test_tracking_needs_a_memory(network: Network, source: ArraySource) -> None:
    session = Session(network, source, Recent())
    with pytest.raises(ValueError, match=r"'tiny-sam' has no memory to track with: .*policy 'none'.*SAM 2") as error:
        session.add(Box(10, 5, 50, 30))
    assert "\n" not in str(error.value)
    assert not session.tracks
    session.close()


class Pictures:
    """Two pictures of unlike sizes, without an order."""

    ordered = False
    rate_hz = None
    name = "pictures"
    geometries = (Geometry((40, 64)), Geometry((70, 30)))
    geometry = geometries[0]

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Frame:
        size = self.geometries[index].size
        return Frame(index, np.random.default_rng(index).integers(0, 255, (*size, 3), dtype=np.uint8))


def test_pictures_of_many_sizes(network: Network) -> None:
    session = Session(network, Pictures())
    for frame, size in enumerate(((40, 64), (70, 30))):
        assert session.add(Box(5, 5, 25, 35), frame=frame).masks[1].shape == size
    session.close()


def test_every_slice_of_a_volume_by_itself(network: Network, source: ArraySource) -> None:
    """A volume run without memory says on each slice what a session says there."""
    box = Box(10, 5, 50, 30)
    run = VolumeRun(network, source, NoMemory(), VolumeOptions())
    for frame in range(FRAMES):
        run.add(box, frame=frame)
    run.track()
    session = Session(network, source)
    for masks in run.masks():
        assert np.array_equal(masks.masks[1], session.add(box, frame=masks.frame).masks[1])
    session.close()
    run.close()


def test_first_masks_for_another_network(network: Network, source: ArraySource) -> None:
    """The protocols' beginning: SAM's mask from a box becomes a mask prompt."""
    box = Box(10, 5, 50, 30)
    (placed,) = initial_masks(network, source, [PlacedPrompt(box, 2, 1)])
    session = Session(network, source)
    assert isinstance(placed.prompt, MaskPrompt)
    assert np.array_equal(placed.prompt.mask, session.add(box, frame=2).masks[1])
    session.close()


def test_a_file_of_ours_loads_by_path(network: Network, source: ArraySource, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "mine.safetensors", {}, torch.float32)
    sessions = [Session(one, source) for one in (network, load(str(tmp_path / "mine.safetensors"), "cpu"))]
    masks: list[NDArray[np.bool_]] = [one.add(Box(10, 5, 50, 30)).masks[1] for one in sessions]
    assert np.array_equal(*masks)
    for one in sessions:
        one.close()
