"""Frames encoded ahead in a thread: the same masks, errors where they belong, and a thread that ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.frames import ArraySource, Frame
from trocar.masks import FrameMasks
from trocar.model import ImageFeatures, Network, tiny_random
from trocar.model.shares import take_share, threads_together
from trocar.prompts import Box, Point
from trocar.track.ahead import Ahead
from trocar.track.economy import Economy
from trocar.track.entries import StepSettings
from trocar.track.features import Features
from trocar.track.order import Pass
from trocar.track.session import Session, SessionOptions

FRAMES, BROKEN = 11, 7
THREAD = "trocar-ahead"


class WatchedSource(ArraySource):
    """Notes which frame is read in which thread; a frame may be `broken`."""

    broken: int | None = None

    def __init__(self) -> None:
        super().__init__(np.random.default_rng(0).integers(0, 255, (FRAMES, 60, 80, 3), dtype=np.uint8))
        self.read: list[tuple[int, str]] = []

    def __getitem__(self, index: int) -> Frame:
        self.read.append((index, threading.current_thread().name))
        if index == self.broken:
            raise ValueError(f"frame {index} is damaged")
        return super().__getitem__(index)

    @property
    def frames_read(self) -> list[int]:
        return [frame for frame, _ in self.read]


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    return Network(replace(tiny_random(), dense_prompts=True, mask_prior=True))


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(THREAD)]


def session(network: Network, ahead: bool, folder: Path | None = None, economy: Economy | None = None) -> Session:
    options = SessionOptions(StepSettings(economy=economy or Economy()), None, 4, folder, ahead=ahead)
    made = Session(network, WatchedSource(), options=options)
    made.add(Box(10, 10, 40, 40), frame=2, object_id=1)
    made.add(Box(30, 20, 70, 50), frame=6, object_id=2)
    return made


def flat(frames: Iterator[FrameMasks]) -> list[tuple[int, int, float, NDArray[np.bool_]]]:
    return [(one.frame, name, one.scores[name], mask) for one in frames for name, mask in one.masks.items()]


def alike(one: Session, other: Session, **asked: object) -> None:
    """Both give the same to the bit, and there is something to compare."""
    ours, theirs = (flat(made.propagate(**asked)) for made in (one, other))  # type: ignore[arg-type]
    assert len(ours) == len(theirs) > 0
    assert any(mask.any() for *_, mask in ours)
    for mine, yours in zip(ours, theirs, strict=True):
        assert mine[:3] == yours[:3]
        assert np.array_equal(mine[3], yours[3])


@pytest.mark.parametrize("economy", [Economy(), Economy(encode_every=3, trust=0.9)], ids=["all", "every-third"])
def test_masks_are_the_same_in_every_direction_and_after_corrections(network: Network, economy: Economy) -> None:
    ahead, plain = session(network, True, economy=economy), session(network, False, economy=economy)
    alike(ahead, plain, direction="both")
    alike(ahead, plain, direction="backward", stop=1)
    for one in (ahead, plain):
        one.add(Point(20, 20), frame=8, object_id=1)
    alike(ahead, plain, start=8)
    threads = {name.split("_")[0] for _, name in ahead.source.read}  # type: ignore[attr-defined]
    assert threads == {THREAD, threading.main_thread().name}
    ahead.close()
    plain.close()


def test_a_resumed_run_goes_on_as_if_nothing_had_happened(network: Network, tmp_path: Path) -> None:
    first, whole = session(network, True, tmp_path), session(network, False)
    begun = first.propagate()
    early = flat(next(begun) for _ in range(6))
    del begun
    second = session(network, True, tmp_path)
    late = flat(second.propagate(resume=True))
    found = {entry[:2]: entry[3] for entry in (*early, *late)}
    for frame, name, _, mask in flat(whole.propagate()):
        assert np.array_equal(found[frame, name], mask)
    whole.close()


def test_each_frame_is_read_once_and_at_most_one_too_many(network: Network) -> None:
    made = session(network, True)
    made.source.read.clear()  # type: ignore[attr-defined]
    for masks in made.propagate():
        read = made.source.frames_read  # type: ignore[attr-defined]
        assert max(read, default=0) <= masks.frame + 1
    # On frame 2 there is but a prompt, and it is answered already.
    assert made.source.frames_read == list(range(3, FRAMES))  # type: ignore[attr-defined]
    made.close()


def test_a_frame_that_may_be_left_out_is_encoded_early_if_the_last_such_frame_was_needed(network: Network) -> None:
    encoded: list[int] = []

    class Noted(Features):
        def __call__(self, frame: int) -> ImageFeatures:
            encoded.append(frame)
            return super().__call__(frame)

    stretch = Pass("forward", 0, FRAMES - 1)
    with Ahead(Noted(network, WatchedSource(), 64, views=True), stretch, lambda frame: frame % 2 == 0) as early:
        for frame in range(9):
            if frame % 2:
                early.view(frame)
            if frame % 2 == 0 or frame == 3:
                early(frame)
    assert encoded == [0, 2, 4, 3, 5, 6, 8]  # 3 was asked for late, 5 was ready and was not asked for, 7 was left out


def test_what_is_found_between_frames_is_the_same_while_the_next_frame_is_under_way(network: Network) -> None:
    results = []
    for ahead in (True, False):
        made = session(network, ahead)
        frames = made.propagate()
        shown = flat(next(frames) for _ in range(5))
        shown += flat(iter([made.add(Point(30, 30), frame=9, object_id=2)]))
        shown += flat(frames)
        results.append(shown)
        made.close()
    assert [entry[:3] for entry in results[0]] == [entry[:3] for entry in results[1]]
    assert all(np.array_equal(one[3], other[3]) for one, other in zip(*results, strict=True))


def test_an_error_comes_with_its_frame_and_ends_the_thread(network: Network) -> None:
    made = session(network, True)
    made.source.broken = BROKEN  # type: ignore[attr-defined]
    frames = made.propagate()
    assert [next(frames).frame for _ in range(2, BROKEN)] == list(range(2, BROKEN))
    with pytest.raises(ValueError, match=f"frame {BROKEN} is damaged"):
        next(frames)
    made.source.broken = None  # type: ignore[attr-defined]
    assert [masks.frame for masks in made.propagate()] == list(range(2, FRAMES))
    made.close()


def test_an_interruption_ends_the_thread(network: Network) -> None:
    made = session(network, True)
    frames = made.propagate()
    next(frames)
    next(frames)
    policy = made.tracks[1].policy

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    policy.choose = interrupted  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyboardInterrupt):
        next(frames)
    made.close()


def test_tracking_and_encoding_share_the_threads_and_whoever_is_alone_has_them_all() -> None:
    def other() -> int:
        take_share()
        return torch.get_num_threads()

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(5)
        network = Network(tiny_random())
        made = Session(network, WatchedSource(), options=SessionOptions(ahead=True))
        with Ahead(Features(network, WatchedSource(), 64), Pass("forward", 0, FRAMES - 1), lambda _: None) as early:
            ahead = early._worker.submit
            assert (ahead(other).result(), torch.get_num_threads(), threads_together()) == (5, 5, 5)
            early(0)
            assert (ahead(other).result(), torch.get_num_threads(), threads_together()) == (2, 3, 5)
            early.rest()
            assert (ahead(other).result(), torch.get_num_threads(), threads_together()) == (5, 5, 5)
            early(1)
        assert torch.get_num_threads() == 5
        made.add(Box(10, 10, 40, 40))
        for _ in made.propagate(stop=4):
            assert torch.get_num_threads() == threads_together() == 5
        made.close()
    finally:
        torch.set_num_threads(before)


def test_while_a_frame_is_waited_for_its_encoding_has_all_threads() -> None:
    seen: dict[int, list[int]] = {}

    class Slow(Features):
        def view(self, frame: int) -> torch.Tensor:
            for _ in range(200):
                take_share()
                seen.setdefault(frame, []).append(torch.get_num_threads())
                time.sleep(0.001)
            return torch.zeros(1)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(4)
        slow = Slow(Network(tiny_random()), WatchedSource(), 64)
        with Ahead(slow, Pass("forward", 0, 3), lambda _: False) as early:
            early.view(0)
            time.sleep(0.05)  # the frame is tracked,
            early.view(1)  # and the next one asked for before it is ready
    finally:
        torch.set_num_threads(before)
    assert seen[0] == [4] * 200
    assert 2 in seen[1]
    assert seen[1][-1] == 4
