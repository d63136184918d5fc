"""DAM4SAM's rules, one by one, against traces worked out by hand."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import pytest

from trocar.memory import Distractor, Recent
from trocar.memory.scripted import Answer, ScriptedTrack

NEUTRAL: dict[str, Any] = {"drm": 1, "stride": 1, "slots": "distance", "skip_empty": False}
MASK = (4, 4, 10, 10)  # 6 x 6
CALM = Answer((MASK, MASK, MASK))
# Another candidate that covers something else: with it the box grows to 6 x 11, of which the mask's is 36 / 66 = 0.55.
LOOKALIKE = Answer((MASK, (4, 12, 10, 15), MASK))
GONE = Answer((None, None, None), (0.9, 0.8, 0.7), -5.0)


def seen(
    policy: Distractor, times: Iterable[int], special: Mapping[int, Answer], direction: Literal[1, -1] = 1
) -> ScriptedTrack:
    """A prompt on the first of the times and calm frames on the others but the special ones."""
    first, *others = times
    track = ScriptedTrack(policy, direction=direction)
    track.prompt(first)
    track.run(others, dict.fromkeys(others, CALM) | dict(special))
    return track


def promoted_by(answer: Answer, at: int = 30, **knobs: Any) -> bool:
    """Whether a frame with this answer is promoted after calm frames."""
    policy = Distractor(**knobs)
    seen(policy, range(at + 1), {at: answer})
    return at in policy.promoted


@pytest.mark.parametrize("mode", ["corrected", "faithful"])
def test_golden_10_a_distractor_at_30(mode: Literal["corrected", "faithful"]) -> None:
    policy = Distractor(mode)
    track = seen(policy, range(31), {30: LOOKALIKE})
    assert list(policy.promoted) == [30]
    # t = 31: 30 is the frame before, so RAM alone may have it. DRM holds the prompt; RAM has room for six.
    expected = [(0, 6), (5, 5), (10, 4), (15, 3), (20, 2), (25, 1), (30, 0)]
    assert track.slots(track.read(31)[0]) == expected
    track.visit(31, LOOKALIKE)
    # t = 32: 30 is in DRM and leaves RAM five places: 31, then 25, 20, 15, 10, as 30 is not read twice.
    expected = [(0, 6), (30, 6), (10, 4), (15, 3), (20, 2), (25, 1), (31, 0)]
    assert track.slots(track.read(32)[0]) == expected
    track.run(range(32, 36), dict.fromkeys(range(32, 36), LOOKALIKE))
    assert list(policy.promoted) == [30]  # 35 - 30 is not more than 5
    track.visit(36, LOOKALIKE)
    assert list(policy.promoted) == [30, 36]


def test_ram_is_the_newest_frame_and_multiples_of_the_stride() -> None:
    track = seen(Distractor(), range(24), {})
    # t = 24: 23, then 20, 15, 10, 5; frame 0 is the prompt's.
    assert track.slots(track.read(24)[0]) == [(0, 6), (5, 4), (10, 3), (15, 2), (20, 1), (23, 0)]
    assert track.slots(seen(Distractor(), range(3), {}).read(3)[0]) == [(0, 6), (2, 0)]


def test_empty_frames_are_passed_over_however_far_back() -> None:
    gone = {20: GONE} | dict.fromkeys(range(32, 300), GONE)
    track = seen(Distractor(), range(300), gone)
    # The newest with a mask is 31; then 30, 25, 15, 10, 5, as 20 is empty.
    plan = track.read(300)[0]
    assert track.slots(plan) == [(0, 6), (5, 5), (10, 4), (15, 3), (25, 2), (30, 1), (31, 0)]
    assert track.pointers(plan) == [(0, 300)]
    # A newest frame that is itself a multiple is read once.
    track = seen(Distractor(), range(34), dict.fromkeys(range(31, 34), GONE))
    assert track.slots(track.read(34)[0])[-2:] == [(25, 1), (30, 0)]


def test_pointers_are_those_of_drm_and_of_recent_frames_with_a_mask() -> None:
    track = seen(Distractor(), range(40), {10: LOOKALIKE, 36: LOOKALIKE, 38: GONE})
    plan = track.read(40)[0]
    recent = [(40 - distance, distance) for distance in range(1, 16) if distance not in (2, 4)]
    assert track.pointers(plan) == [(0, 40), (36, 4), (10, 30), *recent]


def test_drm_holds_the_initial_frame_and_the_three_newest_promoted() -> None:
    times = (11, 21, 31, 41, 51)
    policy = Distractor()
    track = seen(policy, range(60), dict.fromkeys(times, LOOKALIKE))
    # RAM: 7 - 4 = 3.
    assert track.slots(track.read(60)[0]) == [(0, 6), (51, 6), (41, 6), (31, 6), (50, 2), (55, 1), (59, 0)]
    # While the newest is the frame before, the three before it are read.
    track = seen(Distractor(), range(52), dict.fromkeys(times, LOOKALIKE))
    assert [time for time, slot in track.slots(track.read(52)[0]) if slot == 6] == [0, 41, 31, 21]
    track = seen(Distractor(drm=2), range(60), dict.fromkeys(times, LOOKALIKE))
    assert [time for time, slot in track.slots(track.read(60)[0]) if slot == 6] == [0, 51]
    assert [time for time, slot in track.slots(track.read(60)[0]) if slot != 6] == [40, 45, 50, 55, 59]


def test_an_unsure_frame_is_not_promoted() -> None:
    assert promoted_by(LOOKALIKE)
    assert not promoted_by(Answer(LOOKALIKE.boxes, (0.8, 0.5, 0.4)))  # 0.8 itself is not enough
    assert promoted_by(Answer(LOOKALIKE.boxes, (0.8, 0.5, 0.4)), min_iou=0.75)


def test_the_area_must_be_as_usual() -> None:
    def sized(width: int, height: int) -> Answer:
        return Answer(((4, 4, 4 + width, 4 + height), (4, 12, 10, 15), MASK))

    # Usual is the median of the last ten areas, this one included: 36. 43 / 36 = 1.194 and 44 / 36 = 1.22.
    assert promoted_by(sized(6, 7))  # 42
    assert not promoted_by(sized(11, 4))  # 44
    assert promoted_by(sized(6, 5))  # 30 / 36 = 0.83
    assert not promoted_by(sized(7, 4))  # 28 / 36 = 0.78
    assert promoted_by(sized(7, 4), area_low=0.7)
    assert promoted_by(sized(11, 4), area_high=1.3)


def test_the_usual_area_is_the_median_of_the_last_ten_that_are_not_empty() -> None:
    small = Answer(((4, 4, 8, 8), (4, 12, 10, 15), None))  # 16 pixels
    # Frames 20 to 23 are small and then it is gone for long: of the last ten areas at frame 60 (seen: 60, 23 to 20 and
    # 19 to 15) five are 16 and five 36, so the median is 26 and 16 / 26 = 0.62.
    gone = dict.fromkeys(range(24, 60), GONE)
    policy = Distractor()
    seen(policy, range(61), dict.fromkeys(range(20, 24), small) | gone | {60: small})
    assert not policy.promoted
    # One more, and the median is 16.
    policy = Distractor()
    seen(policy, range(61), dict.fromkeys(range(20, 25), small) | dict.fromkeys(range(25, 60), GONE) | {60: small})
    assert list(policy.promoted) == [60]
    # With a history that is shorter than the absence only the frame itself is left.
    policy = Distractor(area_history=20)
    seen(policy, range(61), dict.fromkeys(range(20, 24), small) | gone | {60: small})
    assert list(policy.promoted) == [60]


def test_the_first_tracked_frame_is_never_promoted() -> None:
    policy = Distractor()
    track = seen(policy, range(2), {1: LOOKALIKE})
    assert not policy.promoted
    track.visit(2, LOOKALIKE)
    assert list(policy.promoted) == [2]


def test_only_a_candidate_that_reaches_far_out_is_a_distractor() -> None:
    assert not promoted_by(CALM)
    # One row more makes 6 x 7: 36 / 42 = 0.857. Three rows: 36 / 54 = 0.667.
    assert not promoted_by(Answer((MASK, (4, 4, 10, 11), MASK)))
    assert promoted_by(Answer((MASK, MASK, (4, 4, 10, 13))))
    assert promoted_by(Answer((MASK, (4, 4, 10, 11), MASK)), box_iou=0.9)
    assert not promoted_by(LOOKALIKE, drm=1)


def test_an_empty_mask_is_not_promoted() -> None:
    assert not promoted_by(Answer((None, (4, 12, 10, 15), MASK)))
    assert not promoted_by(Answer(LOOKALIKE.boxes, score=-1.0))


def test_the_gap_is_a_knob() -> None:
    policy = Distractor(gap=10, drm=6)
    seen(policy, range(40), dict.fromkeys(range(5, 40), LOOKALIKE))
    assert list(policy.promoted) == [5, 16, 27, 38]


def test_geometry_of_the_source_and_of_low_resolution_agree_on_stretched_frames() -> None:
    for box in ((4, 12, 10, 15), (4, 4, 10, 11), (11, 4, 13, 10), (0, 0, 3, 3)):
        answer = Answer((MASK, box, MASK))
        decisions = set()
        for geometry in ("source", "low-res"):
            policy = Distractor(geometry=geometry)  # type: ignore[arg-type]
            track = ScriptedTrack(policy, size=(64, 320))
            track.prompt(0)
            track.run(range(1, 31), dict.fromkeys(range(1, 30), CALM) | {30: answer})
            decisions.add(30 in policy.promoted)
        assert len(decisions) == 1


def test_faithful_measures_at_the_size_of_the_source() -> None:
    sizes = {}
    for mode in ("corrected", "faithful"):
        policy = Distractor(mode)  # type: ignore[arg-type]
        track = ScriptedTrack(policy, size=(32, 160))
        track.prompt(0)
        track.run(range(1, 3), dict.fromkeys((1, 2), CALM))
        sizes[mode] = policy.areas[-1]
    # Enlarged 2 x 10 times, bilinearly. In the corners a pixel is set where the product of its two weights exceeds 1/2;
    # of the outermost row (weight 0.75) that leaves out the columns of weight 0.55 and 0.65: two pixels a corner.
    assert sizes == {"corrected": 36, "faithful": 36 * 2 * 10 - 4 * 2}


def test_backwards_mirrors_forwards() -> None:
    policy = Distractor()
    track = seen(policy, range(60, 29, -1), {30: LOOKALIKE}, direction=-1)
    assert list(policy.promoted) == [30]
    track.visit(29, CALM)
    expected = [(60, 6), (30, 6), (50, 4), (45, 3), (40, 2), (35, 1), (29, 0)]
    assert track.slots(track.read(28)[0]) == expected


def test_every_prompt_is_protected_and_takes_no_place() -> None:
    policy = Distractor()
    track = seen(policy, range(100, 140), dict.fromkeys((111, 117, 123), LOOKALIKE))
    track.prompt(130)
    track.prompt(200)
    slots = track.slots(track.read(140)[0])
    assert [time for time, slot in slots if slot == 6] == [100, 130, 200, 123, 117, 111]
    # RAM keeps the three places that it has beside three promoted frames; 130 is the prompt's now.
    assert [time for time, slot in slots if slot != 6] == [125, 135, 139]
    assert {100, 130, 200} <= {track.times[name] for name in policy.live()}


def test_under_a_limit_the_initial_frame_stays() -> None:
    track = seen(Distractor(max_prompted=2), range(10), {})
    for time in (10, 20, 30):
        track.prompt(time)
    assert [time for time, slot in track.slots(track.read(31)[0]) if slot == 6] == [30, 20, 0]


def test_a_new_answer_to_a_prompt_replaces_what_was_kept_of_its_time() -> None:
    policy = Distractor()
    track = seen(policy, range(31), {30: LOOKALIKE})
    track.prompt(30)
    assert not policy.promoted
    assert 30 not in policy.tracked | policy.strided


@pytest.mark.parametrize("direction", [1, -1])
def test_neutral_knobs_make_it_recent(direction: Literal[1, -1]) -> None:
    distractor, recent = (ScriptedTrack(policy, direction=direction) for policy in (Distractor(**NEUTRAL), Recent()))
    answers = [CALM, LOOKALIKE, GONE, Answer((None, MASK, MASK)), LOOKALIKE]
    for time in [time for time in range(80) if time % 17 != 3][::direction]:
        prompt = time in (0, 21, 40, 79)
        for track in (distractor, recent):
            if prompt:
                track.prompt(time)
        assert distractor.read(time) == recent.read(time)
        if not prompt:
            assert distractor.visit(time, answers[time % 5]) == recent.visit(time, answers[time % 5])
    assert distractor.policy.live() == recent.policy.live()


def test_memory_is_bounded() -> None:
    policy = Distractor()
    track = ScriptedTrack(policy)
    track.prompt(0)
    track.prompt(700)
    answers = [CALM, LOOKALIKE, GONE, Answer(), CALM, LOOKALIKE]
    for time in range(1, 5000):
        if time != 700:
            track.visit(time, answers[(time // 40) % 6])
        # Two prompts, 6 * 5 + 1 recent, 6 + 4 multiples of the stride, 4 promoted.
        assert len(policy.live()) <= 2 + 31 + 10 + 4
    assert len(policy.areas) == 300
    assert (len(policy.tracked), len(policy.strided), len(policy.promoted)) == (31, 10, 4)


@pytest.mark.parametrize(
    "knobs",
    [
        {"mode": "odd"},
        {"window": 7},
        {"stride": 0},
        {"drm": 0},
        {"max_prompted": 1},
        {"geometry": "?"},
        {"slots": "?"},
        {"gap": -1},
    ],
)
def test_impossible_knobs_are_refused(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(knobs))):
        Distractor(**knobs)
