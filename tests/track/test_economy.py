"""Work that is left out: neutral values change nothing, every knob spares work by count, and runs stay exact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from coloured_squares import by_colour
from numpy.typing import NDArray
from torch import Tensor

from trocar.bench.work import count_work
from trocar.frames import ArraySource
from trocar.masks import FrameMasks
from trocar.memory import Recent
from trocar.memory.seam import Candidates, Choice, MemoryPolicy, Visit
from trocar.memory.tree import Tree
from trocar.model import ImageFeatures, Network, tiny_random
from trocar.prompts import Box, MaskPrompt
from trocar.track.economy import ECONOMIES, Economy, said_economy
from trocar.track.entries import StepSettings
from trocar.track.session import Session, SessionOptions

FRAMES, SIDE, STEP = 13, 64, 2  # pixels that the camera moves from frame to frame
CUT = 9  # the first frame of another scene, in pictures with a cut
Masks = dict[tuple[int, int], NDArray[np.bool_]]


class CountingNetwork(Network):
    """Notes how many images were encoded and rows decoded."""

    encoded = decoded = 0

    def encode_image(self, images: Tensor) -> ImageFeatures:
        self.encoded += len(images)
        return super().encode_image(images)

    def decode(self, fused: Tensor, *rest: object, **more: object):  # type: ignore[no-untyped-def]
        self.decoded += len(fused)
        return super().decode(fused, *rest, **more)  # type: ignore[arg-type]


@dataclass(eq=False)
class Scripted(Recent):
    """SAM 2's memory, told when the object is there, which notes the frames on which it was asked."""

    away: tuple[int, ...] = ()
    asked: list[int] = field(default_factory=list, init=False)

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        self.asked.append(visit.frame)
        return [replace(one, present=visit.frame not in self.away) for one in super().choose(visit, candidates)]


def camera(cut: bool = False) -> ArraySource:
    """A camera that moves over tissue to the right, in pictures of the network's own size."""
    rng = np.random.default_rng(4)
    scenes = [
        cv2.resize(rng.integers(0, 255, (SIDE // 8, SIDE // 4, 3), dtype=np.uint8), (2 * SIDE, SIDE)) for _ in range(2)
    ]
    shown = [scenes[cut and frame >= CUT][:, STEP * frame : STEP * frame + SIDE] for frame in range(FRAMES)]
    return ArraySource(np.stack(shown))


@pytest.fixture(scope="module", params=[False, True], ids=["published", "nano"])
def network(request: pytest.FixtureRequest) -> CountingNetwork:
    """Random weights, without and with what nano has; the seed is one with which masks are not empty."""
    torch.manual_seed(3)
    own = {"dense_prompts": True, "mask_prior": True, "mask_carried": True} if request.param else {}
    return CountingNetwork(replace(tiny_random(), **own))


Maker = Callable[..., Session]


@pytest.fixture
def make(network: CountingNetwork) -> Iterator[Maker]:
    sessions: list[Session] = []

    def made(
        economy: Economy, memory: MemoryPolicy | None = None, folder: Path | None = None, **more: object
    ) -> Session:
        cut, ahead = bool(more.pop("cut", False)), bool(more.pop("ahead", False))
        settings = StepSettings(economy=economy, **more)  # type: ignore[arg-type]
        options = SessionOptions(settings, snapshot_every=4, snapshot_folder=folder, ahead=ahead)
        sessions.append(Session(network, camera(cut), memory or Scripted(), options))
        sessions[-1].add(Box(10, 10, 40, 40))
        sessions[-1].add(Box(20, 30, 60, 50), frame=3, object_id=2)
        return sessions[-1]

    yield made
    for session in sessions:
        session.close()


def every(found: Iterator[FrameMasks]) -> Masks:
    return {(one.frame, name): mask for one in found for name, mask in one.masks.items()}


def equal(some: Masks, others: Masks) -> bool:
    return some.keys() == others.keys() and all(np.array_equal(mask, others[key]) for key, mask in some.items())


@pytest.mark.parametrize(
    "neutral",
    ["off", "off:pool=2,whole=99", "off:encode_every=2,trust=1", "off:absent_after=99,absent_every=3"],
)
def test_neutral_values_change_nothing_to_the_last_bit(make: Maker, neutral: str) -> None:
    plain, other = (make(economy, cut=True) for economy in (Economy(), said_economy(neutral)))
    assert equal(every(plain.propagate("both")), every(other.propagate("both")))
    logits = [[entry.logits for entry in session.tracks[1].entries.values()] for session in (plain, other)]
    assert all(torch.equal(one, two) for one, two in zip(*logits, strict=True))


def test_frames_between_are_neither_encoded_nor_decoded(make: Maker, network: CountingNetwork) -> None:
    session = make(Economy(encode_every=3))
    network.encoded = network.decoded = 0
    found = every(session.propagate())
    # 3, 6, 9 and 12 are on the grid; on 3 the second object is prompted, and the frame is still known from that.
    assert (network.encoded, network.decoded) == (3, 1 + 2 * 3)
    assert len(found) == 2 * FRAMES - 3
    assert session.tracks[1].policy.asked == [3, 6, 9, 12]


def test_a_carried_mask_goes_where_the_picture_goes(make: Maker) -> None:
    session = make(Economy(encode_every=4))
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[20:44, 20:44] = True
    session.add(MaskPrompt(mask), frame=8)
    found = every(session.propagate())
    for later in (9, 10, 11):
        moved = np.roll(mask, -STEP * (later - 8), axis=1)
        shown = found[later, 1]
        assert (shown & moved).sum() / (shown | moved).sum() > 0.85


def test_behind_a_cut_nothing_is_carried(make: Maker) -> None:
    session = make(Economy(encode_every=CUT + 1, trust=0.4), cut=True)
    list(session.propagate())
    asked = session.tracks[1].policy.asked
    assert CUT in asked
    assert not {1, 2} & set(asked)


def test_pooling_and_fewer_looks_are_less_work(make: Maker) -> None:
    def operations(economy: Economy, memory: MemoryPolicy | None = None) -> int:
        session = make(economy, memory)
        return count_work(lambda: list(session.propagate(stop=7)))[0].operations

    full = operations(Economy())
    choices = Economy(pool=2), Economy(pool=2, whole=0), Economy(pool=4, whole=0, pool_prompted=True)
    pooled = [operations(choice) for choice in choices]
    assert full > pooled[0] > pooled[1] > pooled[2]
    assert operations(Economy(encode_every=2)) < 0.75 * full
    away = tuple(range(1, FRAMES))
    resting = Economy(absent_after=1, absent_every=4)
    assert operations(resting, Scripted(away=away)) < 0.75 * operations(Economy(), Scripted(away=away))


def test_an_absent_object_is_looked_for_now_and_then_and_found_again(make: Maker) -> None:
    session = make(Economy(absent_after=2, absent_every=4), Scripted(away=(2, 3, 4, 5, 6)))
    found = {masks.frame: masks.masks[1] for masks in session.propagate()}
    # Absent on 2 and 3, it rests from 4 on but for every fourth frame; it returns on 7, and is found on 8.
    assert session.tracks[1].policy.asked == [1, 2, 3, 4, 8, 9, 10, 11, 12]
    assert not any(found[frame].any() for frame in range(2, 8))
    present = {entry.time: entry.present for entry in session.tracks[1].entries.values()}
    assert [frame for frame in present if present[frame]] == [0, 1, 8, 9, 10, 11, 12]


def test_absent_objects_rest_by_their_own_grid(make: Maker) -> None:
    """Not on frames that both grids share: it would be found as late as the lesser common multiple."""
    session = make(Economy(encode_every=2, absent_after=1, absent_every=3), Scripted(away=(2, 3, 4, 5, 6, 7, 8)))
    list(session.propagate())
    assert session.tracks[1].policy.asked == [2, 3, 6, 9, 10, 12]


@pytest.mark.parametrize("economy", [ECONOMIES["fast"], Economy(encode_every=3, absent_every=5, pool=2)])
@pytest.mark.parametrize("policy", [Scripted(away=(4, 5, 6)), Tree(lag=3)], ids=["recent", "tree"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    make: Maker, tmp_path: Path, economy: Economy, policy: MemoryPolicy
) -> None:
    whole, cut, resumed = (make(economy, policy, folder) for folder in (None, tmp_path, tmp_path))
    truth = every(whole.propagate("both"))
    begun = cut.propagate("both")
    done = every(next(begun) for _ in range(7))
    assert equal(done | every(resumed.propagate("both", resume=True)), truth)


def test_corrections_and_undo_are_exact(make: Maker) -> None:
    session = make(Economy(encode_every=3, pool=2))
    first = every(session.propagate())
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[5:30, 30:55] = True
    session.add(MaskPrompt(mask), frame=7)
    edited = every(session.propagate(start=7))
    assert np.array_equal(edited[7, 1], mask)
    assert (edited[8, 1] & mask).sum() > 0.7 * mask.sum()  # carried from the correction, though 8 is not on the grid
    again = every(session.propagate(start=session.undo()))
    assert equal(again, {key: one for key, one in first.items() if key[0] >= 7})


@torch.inference_mode()
def test_a_click_on_a_carried_frame_refines_what_was_shown(make: Maker, network: CountingNetwork) -> None:
    """The mask that is corrected is the carried one, in the cells in which masks are said again."""
    session = make(Economy(encode_every=5))
    shown = every(session.propagate())[7, 1]
    _, memory = session._tracked(session.tracks[1], 7)
    assert memory is not None
    logits, _ = session._tracked(session.tracks[1], 7)
    assert logits is not None
    large = session._input.to_frame(logits[None].float(), (SIDE, SIDE))[0] > 0
    fine = network.config.mask_carried  # what is shown then has more detail
    assert (large.numpy() == shown).mean() > 0.9 if fine else np.array_equal(large.numpy(), shown)


def test_objects_leave_one_another_alone(make: Maker) -> None:
    """What one is does not depend on who else is there, nor on which frames others have to be looked for."""
    economy = Economy(encode_every=3, trust=0.4, pool=2)
    both, alone = make(economy, cut=True), make(economy, cut=True)
    alone.remove(2)
    found = every(both.propagate("both"))
    assert equal(every(alone.propagate("both")), {key: mask for key, mask in found.items() if key[1] == 1})


def test_reading_ahead_gives_the_same(make: Maker) -> None:
    one, other = (make(ECONOMIES["fast"], cut=True, ahead=ahead) for ahead in (False, True))
    assert equal(every(one.propagate("both")), every(other.propagate("both")))


def test_overlap_is_resolved_on_carried_frames_too(make: Maker) -> None:
    session = make(Economy(encode_every=4), non_overlap=True)
    for masks in session.propagate():
        assert not np.logical_and.reduce(list(masks.masks.values())).any() or len(masks.masks) < 2


def test_features_that_cannot_show_a_frame_are_refused(network: CountingNetwork) -> None:
    session = Session(
        network,
        camera(),
        Recent(),
        SessionOptions(StepSettings(economy=Economy(encode_every=2))),
        features=lambda frame: network.encode_image(torch.zeros(1, 3, SIDE, SIDE)),
    )
    session.add(Box(10, 10, 40, 40))
    with pytest.raises(ValueError, match="view"):
        list(session.propagate())
    session.close()


@pytest.mark.parametrize("finds", [True, False])
def test_frames_that_each_have_to_be_looked_at_are_not_left_out(network: CountingNetwork, finds: bool) -> None:
    source = camera()
    if not finds:
        source.ordered = False  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="classes" if finds else "do not follow"):
        Session(
            network,
            source,
            options=SessionOptions(StepSettings(economy=Economy(absent_every=2))),
            prompter=by_colour(source) if finds else None,
        )


def test_an_economy_is_written_with_its_knobs() -> None:
    assert said_economy("off") == Economy()
    assert said_economy("fast:pool=1,trust=0.5") == replace(ECONOMIES["fast"], pool=1, trust=0.5)
    for spec, cause in (
        ("quick", "choose off or fast"),
        ("off:pol=2", "did you mean 'pool'"),
        ("off:pool", "not a new key=value"),
        ("off:pool=2,pool=3", "not a new key=value"),
        ("off:pool=two", "pool is a whole number"),
        ("off:pool=0", "pool is 0"),
        ("off:trust=2", "between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=cause):
            said_economy(spec)
