"""MedSAM-2's bank: a case for each rule of the paper and of the released 2-D script, worked out by hand."""

import copy
from collections import Counter
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from trocar.memory import POLICIES, Recent, SelfSorting
from trocar.memory.scripted import Answer, ScriptedTrack
from trocar.memory.seam import MemoryEntry, PolicySpec, ReadPlan, Record, Visit

A, B, C = (1.0, 0.0, 0.0), (0.8, 0.6, 0.0), (0.0, 0.0, 1.0)  # cosines: ab 0.8, ac 0, bc 0
NEW = (0.0, 0.8, 0.6)  # cosines with a, b, c: 0, 0.48, 0.6
VARIANTS = ("paper", "released-2d")


def vector(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1)


def track_of(vectors: list[tuple[float, ...]], **knobs: Any) -> ScriptedTrack:
    """A track whose image embedding and spatial memory at each time are the given vector."""
    return ScriptedTrack(
        SelfSorting(**knobs), feature=lambda time: vector(vectors[time]), spatial=lambda time: vector(vectors[time])
    )


def sure(iou: float = 0.9, score: float = 5.0) -> Answer:
    return Answer(iou=(iou, 0.0, 0.0), score=score)


def times(track: ScriptedTrack, plan: ReadPlan) -> list[int]:
    return [time for time, _ in track.slots(plan)]


def bank(track: ScriptedTrack, time: int) -> list[int]:
    """What is read of the bank on a frame, where all members are."""
    return times(track, track.read(time)[0])


def test_it_is_registered() -> None:
    assert POLICIES["self_sorting"] is SelfSorting


@pytest.mark.parametrize("mode", ["corrected", "faithful"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_first_image_reads_nothing(mode: str, variant: str) -> None:
    assert track_of([A], mode=mode, variant=variant).read(0) == [ReadPlan()]


# The released 2-D script


def release(vectors: list[tuple[float, ...]], **knobs: Any) -> ScriptedTrack:
    return track_of(vectors, mode="faithful", variant="released-2d", sampling="all", **knobs)


def test_release_newcomer_takes_the_place_of_the_one_it_makes_dispensable() -> None:
    # i = a is least like the newcomer (0), j = b is most like a (0.8); 0 < 0.8 and 0.5 > 0.55 - 0.1: b leaves.
    track = release([A, B, C, NEW, A], bank=3)
    track.prompt(0)
    track.run([1, 2, 3], {1: sure(0.55), 2: sure(0.99), 3: sure(0.5)})
    assert bank(track, 4) == [0, 2, 3]
    assert track.policy.live() == {0, 2, 3}


def test_release_newcomer_with_too_little_confidence_is_dropped() -> None:
    # As above, but 0.44 is not more than 0.55 - 0.1.
    track = release([A, B, C, NEW, A], bank=3)
    track.prompt(0)
    track.run([1, 2, 3], {1: sure(0.55), 3: sure(0.44)})
    assert bank(track, 4) == [0, 1, 2]
    wider = release([A, B, C, NEW, A], bank=3, margin=0.2)  # 0.44 > 0.55 - 0.2
    wider.prompt(0)
    wider.run([1, 2, 3], {1: sure(0.55), 3: sure(0.44)})
    assert bank(wider, 4) == [0, 2, 3]


def test_release_fills_the_bank_untested() -> None:
    track = release([A, A, A, A], bank=3)
    track.prompt(0)
    track.run([1, 2], {1: sure(0.0), 2: sure(0.9, score=-5.0)})
    assert bank(track, 3) == [0, 1, 2]


def test_release_prompt_may_leave_the_bank_but_stays_stored() -> None:
    # Times 0 and 2 are tracked, 1 is prompted (IoU 1). The newcomer's cosines with 0 and 1 are 0.6 and 0.96: i = 0,
    # j = 1; 0.6 < 0.8 and 0.95 > 1 - 0.1.
    track = release([A, B, (0.6, 0.8, 0.0), A], bank=2)
    track.visit(0, sure())
    track.prompt(1)
    track.visit(2, sure(0.95))
    assert bank(track, 3) == [0, 2]
    assert 1 in track.entries


def test_release_draws_one_member_by_softmax() -> None:
    # Cosines with a: 1 and 0; e to 1, so a is drawn with probability e / (e + 1) = 0.731.
    track = track_of([A, C] + [A] * 2000, mode="faithful", variant="released-2d", bank=2)
    track.prompt(0)
    track.visit(1)
    plans = [track.read(time)[0] for time in range(2, 2002)]
    assert {len(plan.spatial) for plan in plans} == {1}
    share = sum(times(track, plan) == [0] for plan in plans) / len(plans)
    assert share == pytest.approx(0.731, abs=0.05)  # five standard deviations


def test_release_temperature_sharpens_the_choice() -> None:
    track = track_of([A, C, A], mode="faithful", variant="released-2d", bank=2, temperature=0.01, draws=50)
    track.prompt(0)
    track.visit(1)
    assert times(track, track.read(2)[0]) == [0] * 50  # odds of e^100 to 1


def test_release_counts_every_object_as_present_and_decodes_one_mask() -> None:
    faithful = SelfSorting(mode="faithful", variant="released-2d")
    assert faithful.spec == PolicySpec(feature="conditioned", keep_feature="conditioned", multimask=False)
    for policy, present in ((faithful, True), (SelfSorting(variant="released-2d"), False)):
        track = ScriptedTrack(policy)
        track.prompt(0)
        track.visit(1, sure(score=-3.0))
        made = [entry for entry in track.entries.values() if entry.time == 1]
        assert [entry.present for entry in made] == ([True] if present else [])


# The paper


def test_paper_keeps_the_k_with_the_largest_total_dissimilarity() -> None:
    # a (1, 0, 0), b (0.6, 0.8, 0), n (0, 1, 0): D_a = 0.4 + 1, D_b = 0.4 + 0.2, D_n = 1 + 0.2: b leaves.
    vectors = [A, (0.6, 0.8, 0.0), (0.0, 1.0, 0.0), A]
    track = track_of(vectors, mode="faithful", bank=2, sampling="all")
    track.prompt(0)
    track.run([1, 2])
    assert bank(track, 3) == [0, 2]


def test_paper_prompt_may_leave() -> None:
    # The prompt is the one in the middle now.
    track = track_of([(0.6, 0.8, 0.0), A, (0.0, 1.0, 0.0), A], mode="faithful", bank=2, sampling="all")
    track.prompt(0)
    track.run([1, 2])
    assert bank(track, 3) == [1, 2]


def test_paper_lets_only_confident_entries_join() -> None:
    track = track_of([A] * 5, mode="faithful", sampling="all")
    track.prompt(0)
    track.run([1, 2, 3], {1: sure(0.49), 2: sure(0.5), 3: sure(0.9, score=-5.0)})
    assert bank(track, 4) == [0, 2, 3]


def test_paper_draws_k_with_replacement_in_proportion_to_likeness() -> None:
    # Cosines of the image (0.6, 0.8, 0) with the members (1, 0, 0), (0, 1, 0), (0, 0, 1): 0.6, 0.8, 0.
    track = track_of([A, (0.0, 1.0, 0.0), C, (0.6, 0.8, 0.0)], mode="faithful", bank=4000)
    track.prompt(0)
    track.run([1, 2])
    drawn = Counter(times(track, track.read(3)[0]))
    assert sum(drawn.values()) == 4000
    assert set(drawn) == {0, 1}
    assert drawn[0] == pytest.approx(4000 * 0.6 / 1.4, abs=160)  # five standard deviations


def test_weights_share_the_draws_out_without_chance() -> None:
    # As above; quotas of 7 draws: 3 and 4.
    track = track_of([A, (0.0, 1.0, 0.0), C, (0.6, 0.8, 0.0)], mode="faithful", sampling="weights", draws=7)
    track.prompt(0)
    track.run([1, 2])
    assert bank(track, 3) == [0] * 3 + [1] * 4
    assert track.policy.spec == PolicySpec(keep_feature="raw")


def test_draws_depend_on_the_seed_and_on_nothing_else() -> None:
    def drawn(seed: int) -> list[list[int]]:
        np.random.seed(len(plans))  # the global stream must not matter
        track = ScriptedTrack(SelfSorting(), seed=seed)
        track.prompt(0)
        plans.append([times(track, track.visit(time)[0]) for time in range(1, 30)])
        return plans[-1]

    plans: list[list[list[int]]] = []
    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_two_objects_do_not_disturb_each_other() -> None:
    alone, beside, other = (ScriptedTrack(SelfSorting(), seed=seed) for seed in (1, 1, 2))
    for track in (alone, beside, other):
        track.prompt(0)
    expected = [alone.visit(time) for time in range(1, 30)]
    found = []
    for time in range(1, 30):
        other.visit(time)
        found.append(beside.visit(time))
    assert found == expected


# Corrections


def test_corrected_prompts_are_always_read_and_stand_beside_the_bank() -> None:
    track = ScriptedTrack(SelfSorting(bank=2, draws=3))
    track.prompt(0)
    track.run(range(1, 20))
    track.prompt(20)
    plan = track.run(range(21, 60))[0]
    assert track.slots(plan)[:2] == [(0, None), (20, None)]
    assert len(plan.spatial) == 2 + 3
    assert {0, 20}.isdisjoint(times(track, plan)[2:])


def test_corrected_prompts_ahead_are_read_too() -> None:
    track = ScriptedTrack(SelfSorting())
    for time in (0, 30):
        track.prompt(time)
    assert track.slots(track.visit(5)[0])[:2] == [(0, None), (30, None)]


def test_faithful_prompts_join_on_their_own_frame() -> None:
    policy = SelfSorting(mode="faithful", sampling="all")
    track = ScriptedTrack(policy)
    track.prompt(0)
    zero = torch.zeros(8, 1, 1)
    ahead = MemoryEntry(9, 9, "prompted", zero, zero[:, 0, 0], zero, 1.0, 10.0, True, 1, (0, 0, 1, 1))
    policy.write(Visit(0, 0), [Record(ahead)])  # told when the pass begins
    track.visit(1)
    assert set(policy.members) == {0}
    policy.write(Visit(9, 9), [Record(ahead)])  # and when its frame is visited
    assert set(policy.waiting) == {1, 9}
    assert 9 in policy.live()


def test_corrected_entries_without_the_object_do_not_join() -> None:
    track = track_of([A] * 4, sampling="all")
    track.prompt(0)
    track.run([1, 2], {1: sure(0.9, score=-5.0)})
    assert bank(track, 3) == [0, 2]


def test_a_correction_of_a_tracked_frame_takes_its_place() -> None:
    track = ScriptedTrack(SelfSorting(sampling="all"))
    track.prompt(0)
    track.run([1, 2, 3])
    track.prompt(2)
    assert bank(track, 4) == [0, 2, 1, 3]
    assert len(track.policy.live()) == 4


def test_a_frame_that_is_visited_again_takes_its_old_entrys_place() -> None:
    track = ScriptedTrack(SelfSorting(sampling="all"))
    track.prompt(0)
    track.run([1, 2, 1, 1])
    assert bank(track, 3) == [0, 2, 1]
    track.visit(1, sure(0.1))  # and gives it up where it is not good enough itself
    assert bank(track, 3) == [0, 2]


# Knobs


def test_a_full_bank_may_keep_the_newest() -> None:
    track = ScriptedTrack(SelfSorting(bank=3, keep="newest", sampling="all", min_iou=0.0))
    track.prompt(0)
    track.run(range(1, 10))
    assert bank(track, 10) == [0, 7, 8, 9]


@pytest.mark.parametrize(("diversity", "kept"), [("image", [0, 1, 3]), ("memory", [0, 2, 3]), (None, [0, 1, 3])])
def test_diversity_is_measured_on_images_or_on_memories(diversity: Literal["image", "memory"], kept: list[int]) -> None:
    images = [A, (0.0, 1.0, 0.0), (0.6, 0.8, 0.0), A, A]  # D of times 1, 2, 3: 0.2 + 1, 0.2 + 0.4, 1 + 0.4; 2 leaves
    memories = [A, (0.6, 0.8, 0.0), (0.0, 1.0, 0.0), A, A]  # D: 0.2 + 0.4, 0.2 + 1, 0.4 + 1; 1 leaves
    policy = SelfSorting(bank=2, diversity=diversity, sampling="all")
    track = ScriptedTrack(
        policy, feature=lambda time: vector(images[time]), spatial=lambda time: vector(memories[time])
    )
    track.prompt(0)
    track.run([1, 2, 3])
    assert bank(track, 4) == kept


def test_of_many_prompts_those_most_like_the_image_are_read() -> None:
    track = track_of([A, C, B, (0.0, 1.0, 0.0), (0.6, 0.8, 0.0)], max_prompted=2)
    for time in range(4):
        track.prompt(time)
    assert bank(track, 4) == [2, 3]  # cosines 0.6, 0, 0.96, 0.8


def test_recent_frames_come_in_beside_the_bank() -> None:
    track = ScriptedTrack(SelfSorting(bank=1, draws=1, window=2, max_pointers=4))
    track.prompt(0)
    plan = track.run(range(1, 11))[0]
    slots = track.slots(plan)
    assert slots[0] == (0, 6)
    assert slots[1][1] is None
    assert slots[2:] == [(8, 1), (9, 0)]
    assert track.pointers(plan) == [(0, 10), (9, 1), (8, 2), (7, 3)]


def test_time_decides_nothing() -> None:
    """The same images in the same order at other times: the same places in that order are read."""
    order = list(range(40))
    shuffled = [int(time) for time in np.random.default_rng(3).permutation(40)]
    near, far = (
        ScriptedTrack(
            SelfSorting(bank=4, sampling="weights"),
            feature=lambda time, places=places: vector(tuple(np.random.default_rng(places.index(time)).random(6))),
        )
        for places in (order, shuffled)
    )
    near.prompt(order[0])
    far.prompt(shuffled[0])
    for first, second in zip(order[1:], shuffled[1:], strict=True):
        assert near.visit(first) == far.visit(second)  # entries are named in the order of their making


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("released", [False, True])
def test_neutral_knobs_give_recent(direction: Literal[1, -1], released: bool) -> None:
    rest: dict[str, Any] = {"variant": "released-2d", "feature": "raw", "multimask": True} if released else {}
    policies = (SelfSorting(bank=0, window=6, max_pointers=16, **rest), Recent())
    assert policies[0].spec == policies[1].spec
    tracks = [ScriptedTrack(policy, direction=direction, length=60) for policy in policies]
    prompts = (25, 30, 50) if direction > 0 else (30, 25, 5)
    for track in tracks:
        for time in prompts:
            track.prompt(time)
    answers = {time: Answer(iou=(0.1, time % 7 / 10, 0.35), score=(time % 5) - 1.0) for time in range(60)}
    for time in range(26, 60) if direction > 0 else range(29, -1, -1):
        if time in prompts:
            for track in tracks:
                track.prompt(time)
        elif time % 11:  # some frames are missing
            first, second = (track.visit(time, answers[time]) for track in tracks)
            assert first == second
            newest = [max(track.entries.values(), key=lambda entry: entry.id) for track in tracks]
            assert newest[0].present == newest[1].present
            assert torch.equal(newest[0].logits, newest[1].logits)


@pytest.mark.parametrize(("mode", "variant"), [("corrected", "paper"), ("faithful", "released-2d")])
def test_memory_is_bounded(mode: str, variant: str) -> None:
    policy = SelfSorting(mode=mode, variant=variant, bank=4, window=3, max_pointers=6)  # type: ignore[arg-type]
    track = ScriptedTrack(policy)
    track.prompt(0)
    rng = np.random.default_rng(0)
    for time in range(1, 5001):
        track.visit(time, sure(float(rng.random()), float(rng.normal(1.0))))
        assert len(policy.live()) <= 1 + 4 + 1 + 5  # prompt, bank, the newcomer, pointers
    assert sum(len(value) for value in vars(policy).values() if isinstance(value, dict)) <= 11


def test_a_copy_goes_its_own_way() -> None:
    track = ScriptedTrack(SelfSorting(bank=2))
    track.prompt(0)
    track.run([1, 2, 3])
    before = copy.deepcopy(vars(track.policy))
    ScriptedTrack(copy.deepcopy(track.policy), entries=dict(track.entries), times=dict(track.times)).run([4, 5, 6])
    assert vars(track.policy) == before


@pytest.mark.parametrize(
    "knobs",
    [
        {"mode": "odd"},
        {"variant": "3d"},
        {"keep": "oldest"},
        {"diversity": "mask"},
        {"sampling": "some"},
        {"feature": "none"},
        {"bank": -1},
        {"bank": 0, "mode": "faithful"},
        {"draws": 0},
        {"temperature": 0.0},
        {"window": 7},
        {"max_pointers": -1},
        {"max_prompted": 0},
    ],
    ids=str,
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        SelfSorting(**knobs)
