"""When a prompter is believed, by hand: squares on a map of 20 x 20 cells."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trocar.track.prompter import Credibility
from trocar.track.watch import Seen, Verdict, Watch

RULES = Credibility(frames=3, area=0.01)


def at(row: int, column: int, edge: int = 6) -> Tensor:
    mask = torch.zeros(20, 20, dtype=torch.bool)
    mask[row : row + edge, column : column + edge] = True
    return mask


def seen(mask: Tensor, frame: int = 0, name: str = "grasper", presence: float = 0.9, quality: float = 0.8) -> Seen:
    return Seen(name, frame, torch.where(mask, 4.0, -4.0), presence, quality)


def first(watch: Watch, *sightings: Seen) -> Verdict:
    """A frame without any object."""
    return watch.judge(sightings, {}, {})


def test_an_object_starts_on_the_third_frame_in_a_row() -> None:
    watch = Watch(RULES)
    assert not first(watch, seen(at(2, 2), 0)).starts
    assert not first(watch, seen(at(3, 2), 1)).starts
    (start,) = first(watch, seen(at(4, 2), 2)).starts
    assert (start.name, [one.frame for one in start.seen]) == ("grasper", [0, 1, 2])
    assert not watch.candidates


@pytest.mark.parametrize(
    "second",
    [
        None,
        seen(at(2, 2), presence=0.49),
        seen(at(2, 2), quality=0.49),
        seen(at(2, 2), name="scissors"),
        seen(at(12, 12)),
        seen(at(2, 2, edge=1)),  # 1 of 400 cells
    ],
    ids=["nothing", "not surely there", "a bad mask", "another class", "elsewhere", "too small"],
)
def test_what_breaks_the_row(second: Seen | None) -> None:
    watch = Watch(RULES)
    first(watch, seen(at(2, 2)))
    first(watch, *([] if second is None else [second]))
    assert not first(watch, seen(at(2, 2))).starts
    assert not first(watch, seen(at(2, 2))).starts
    assert first(watch, seen(at(2, 2))).starts


def test_of_two_classes_on_one_place_the_surer_one_starts() -> None:
    watch = Watch(RULES)
    for _ in range(2):
        first(watch, seen(at(2, 2), name="scissors", presence=0.6), seen(at(2, 2)))
    assert [one.name for one in first(watch, seen(at(2, 2), name="scissors", presence=0.6), seen(at(2, 2))).starts] == [
        "grasper"
    ]


def test_two_places_of_one_class_start_two_objects() -> None:
    watch = Watch(RULES)
    for frame in range(3):
        verdict = first(watch, seen(at(2, 2 + frame)), seen(at(12, 10 - frame)))
    assert len(verdict.starts) == 2
    assert [[int(one.logits.argmax()) for one in start.seen] for start in verdict.starts] == [
        [42, 43, 44],
        [250, 249, 248],
    ]


def test_nothing_starts_where_an_object_is_tracked_whatever_the_classes_say() -> None:
    watch = Watch(RULES)
    for _ in range(5):
        # Six of twelve columns of the sighting lie on the object: the smaller one is covered as a whole.
        verdict = watch.judge([seen(at(2, 2, 12), name="scissors")], {7: at(4, 4)}, {7: "grasper"})
        assert not verdict.starts
        assert verdict.seen == {7: "scissors"}
    assert not watch.judge([seen(at(2, 2))], {1: at(2, 2)}, {}).seen  # the user's own objects are not counted


def test_an_object_lost_in_its_place_is_taken_up_at_once() -> None:
    watch = Watch(RULES)
    watch.begin(7, at(2, 2))
    names = {7: "grasper"}
    watch.judge([seen(at(2, 2))], {7: at(2, 2)}, names)
    empty = at(0, 0, 0)
    assert not watch.judge([seen(at(2, 2), name="scissors")], {7: empty}, names).again  # another class does not do
    watch.begin(7, at(2, 2))
    assert list(watch.judge([seen(at(3, 3))], {7: empty}, names).again) == [7]


def test_a_class_that_returns_is_the_object_that_was_gone_meanwhile() -> None:
    watch = Watch(RULES)
    watch.begin(7, at(2, 2))
    names = {7: "grasper", 8: "grasper", 9: "scissors"}
    empty, other = at(0, 0, 0), at(13, 2)
    masks = {7: empty, 8: other, 9: empty}
    elsewhere = [watch.judge([seen(at(2, 12), frame), seen(other, frame)], masks, names) for frame in range(4)]
    # 7 was there on the frame before the first of these; 9 is of another class, 8 is seen in its own place.
    assert [list(one.again) for one in elsewhere] == [[], [], [7], [7]]
    assert not any(one.starts for one in elsewhere)
    assert [one.frame for one in elsewhere[2].again[7]] == [0, 1, 2]


def test_an_object_that_was_seen_elsewhere_meanwhile_is_not_the_one() -> None:
    watch = Watch(RULES)
    watch.begin(7, at(2, 2))
    names, here = {7: "grasper"}, at(2, 2)
    for frame in range(2):
        watch.judge([seen(here, frame), seen(at(12, 12), frame)], {7: here}, names)
    verdict = watch.judge([seen(at(12, 12), 2)], {7: at(0, 0, 0)}, names)
    assert len(verdict.starts) == 1
    assert not verdict.again


def test_a_found_object_that_lies_on_another_is_gone() -> None:
    names = {7: "grasper", 8: "grasper", 9: "scissors"}
    watch = Watch(RULES)
    watch.begin(7, at(2, 2))
    watch.begin(8, at(12, 12))
    # 8 jumps onto 7, whose class it has; 9 is of another one.
    verdict = watch.judge([], {7: at(2, 3), 8: at(2, 2), 9: at(2, 2)}, names)
    assert verdict.gone == (8,)
    # It is no better where 7 has the larger number.
    watch = Watch(RULES)
    watch.begin(8, at(2, 2))
    watch.begin(7, at(12, 12))
    assert watch.judge([], {7: at(2, 3), 8: at(2, 2)}, names).gone == (7,)


def test_what_the_user_prompted_is_never_gone() -> None:
    names = {7: "grasper"}
    watch = Watch(Credibility(doubt=1))
    watch.begin(7, at(2, 2))
    assert watch.judge([], {1: at(2, 2), 7: at(2, 2)}, names).gone == (7,)  # 1 is the user's
    watch.begin(7, at(2, 2))
    assert watch.judge([], {1: at(2, 2), 7: at(2, 2)}, names, fixed=[7]).gone == ()


@pytest.mark.parametrize(("doubt", "gone"), [(3, [False, False, True, True]), (0, [False] * 4)])
def test_an_object_whose_class_is_not_seen_there_any_more_is_gone(doubt: int, gone: list[bool]) -> None:
    watch = Watch(Credibility(frames=2, doubt=doubt))
    watch.begin(7, at(2, 2))
    verdicts = [watch.judge([], {7: at(2, 2)}, {7: "grasper"}) for _ in gone]
    assert [one.gone == (7,) for one in verdicts] == gone
    assert watch.judge([seen(at(2, 2))], {7: at(2, 2)}, {7: "grasper"}).gone == ()


def test_the_state_goes_to_disk_and_back(tmp_path: object) -> None:
    watch = Watch(RULES)
    first(watch, seen(at(2, 2), 0))
    watch.begin(7, at(12, 12))
    file = f"{tmp_path}/state.pt"
    torch.save(watch.state(), file)
    again = Watch.restored(RULES, torch.load(file, weights_only=True))
    for one in (watch, again):
        one.judge([seen(at(2, 2), 1)], {7: at(12, 12)}, {7: "grasper"})
        assert len(one.judge([seen(at(2, 2), 2)], {7: at(12, 12)}, {7: "grasper"}).starts) == 1
        assert one.unseen == {7: 2}


@pytest.mark.parametrize("wrong", [{"frames": 0}, {"presence": 1.5}, {"doubt": -1}])
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}="):
        Credibility(**wrong)  # type: ignore[arg-type]
