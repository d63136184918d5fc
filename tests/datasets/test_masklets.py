"""Masklets of sequences drawn by hand: each frame says what is where, and each test which id that must have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trocar.datasets.association import AssociationSettings
from trocar.datasets.corrections import Corrected
from trocar.datasets.masklets import DEFAULTS, Ids, MaskletBuilder, MaskletSettings
from trocar.datasets.scenes import scene
from trocar.frames import Frame
from trocar.masks import FrameMasks
from trocar.masks.rle import to_rle
from trocar.metrics.association import AssociationScorer

Mask = NDArray[np.bool_]
SIDE = 64
GRASPER, HOOK, LIVER = 1, 2, 3
NAMES = {GRASPER: "Grasper", HOOK: "L-hook Electrocautery", LIVER: "liver"}
PAINT = {GRASPER: (200, 200, 60), HOOK: (60, 80, 220), LIVER: (150, 40, 40)}
NO_GAP = MaskletSettings(association=AssociationSettings(gap=0))


def box(top: int, left: int, rows: int, columns: int) -> Mask:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    mask[max(top, 0) : max(top + rows, 0), max(left, 0) : max(left + columns, 0)] = True
    return mask


def picture(masks: Mapping[int, Mask]) -> NDArray[np.uint8]:
    """Each class in its colour on tissue that does not move."""
    image = np.random.default_rng(0).integers(90, 110, (SIDE, SIDE, 3)).astype(np.uint8)
    for number, mask in masks.items():
        image[mask] = PAINT[number]
    return image


def run(
    frames: Sequence[Mapping[int, Mask]], how: MaskletSettings = DEFAULTS, ids: Ids = "classes"
) -> tuple[list[FrameMasks], MaskletBuilder]:
    builder = MaskletBuilder(NAMES, ids, how)
    return [builder.add(Frame(i, picture(masks)), masks) for i, masks in enumerate(frames)], builder


def reasons(builder: MaskletBuilder) -> set[tuple[int, int, str]]:
    """(frame, masklet, reason) of each flag."""
    return {(flag.frame, flag.masklet, flag.reason) for flag in builder.flags()}


def test_an_instrument_cut_in_two_by_another_one_stays_one_thing() -> None:
    """A grasper lies across; a hook passes over it from left to right."""
    frames = []
    for x in range(4, 56, 4):
        hook = box(0, x, SIDE, 6)
        frames.append({GRASPER: box(28, 0, 8, SIDE) & ~hook, HOOK: hook})
    found, builder = run(frames)
    assert sorted(one.class_name for one in builder.records.values()) == ["electric hook", "grasper"]
    number = next(i for i, one in builder.records.items() if one.class_name == "grasper")
    for masks, truth in zip(found, frames, strict=True):
        assert len(masks.masks) == 2
        assert (masks.masks[number] == truth[GRASPER]).all()


def test_parts_of_an_instrument_are_one_thing_and_left_and_right_are_two() -> None:
    parts = {1: box(10, 0, 8, 20), 2: box(10, 20, 8, 6), 3: box(30, 0, 8, 20), 4: box(38, 0, 8, 20)}
    names = {1: "instrument-shaft", 2: "instrument-wrist", 3: "left grasper", 4: "right grasper"}
    builder = MaskletBuilder(names, "classes")
    found = builder.add(Frame(0, picture({})), parts).masks
    assert builder.classes == {1: "grasper", 2: "grasper", 3: "surgical instrument"}
    assert (found[3] == parts[1] | parts[2]).all()
    assert set(builder.records[3].origins) == {1, 2}


def test_pieces_far_apart_that_nothing_hides_are_two_things() -> None:
    found, _ = run([{GRASPER: box(10, 0, 6, 20) | box(44, 44, 6, 20)}])
    assert len(found[0].masks) == 2


def test_a_piece_that_breaks_off_for_a_frame_keeps_the_id_and_is_flagged() -> None:
    """Nothing hides the gap, and it is too wide to be bridged within the frame: only the frame before tells."""
    whole = box(28, 4, 8, 48)
    how = replace(DEFAULTS, pieces=replace(DEFAULTS.pieces, bridge=0.0, touching=0.0))
    found, builder = run([{GRASPER: whole}, {GRASPER: whole & ~box(0, 28, SIDE, 6)}, {GRASPER: whole}], how)
    assert [list(one.masks) for one in found] == [[1], [1], [1]]
    assert np.count_nonzero(found[1].masks[1]) == 8 * 42
    assert (1, 1, "split") in reasons(builder)


def test_two_things_in_one_blob_are_kept_apart_and_flagged() -> None:
    """Two squares of one class meet for two frames and part again."""
    steps = (0, 3, 6, 6, 3, 0)
    truths = [{"a": box(24, 12 + x, 14, 14), "b": box(24, 38 - x, 14, 14)} for x in steps]
    found, builder = run([{GRASPER: truth["a"] | truth["b"]} for truth in truths])
    assert all(list(one.masks) == [1, 2] for one in found)
    for masks, truth in zip(found, truths, strict=True):
        for i, name in ((1, "a"), (2, "b")):
            shared, all_of_it = masks.masks[i] & truth[name], masks.masks[i] | truth[name]
            assert shared.sum() > 0.9 * all_of_it.sum()
    assert {(2, 1, "merged"), (2, 2, "merged")} <= reasons(builder)
    assert not [one for one in reasons(builder) if one[0] == 3], "a flag that goes on is one flag"
    assert next(flag.last for flag in builder.flags() if flag.reason == "merged") == 3


@pytest.mark.parametrize(("away", "same"), [(4, True), (6, False)])
def test_a_thing_that_returns_within_the_gap_gets_its_id_again(away: int, same: bool) -> None:
    how = MaskletSettings(association=AssociationSettings(gap=5))
    there = {GRASPER: box(20, 20, 14, 20)}
    found, builder = run([there] * 3 + [{}] * away + [there] * 3, how)
    assert list(found[-1].masks) == [1 if same else 2]
    assert ((3 + away, 1, "gap") in reasons(builder)) is same
    assert builder.records[1].seen.spans == ([[0, 2], [3 + away, 5 + away]] if same else [[0, 2]])


def test_a_class_that_is_wrong_for_a_frame_changes_nothing_but_is_flagged() -> None:
    there = box(20, 20, 14, 20)
    found, builder = run([{GRASPER: there}] * 3 + [{HOOK: there}] + [{GRASPER: there}] * 2)
    assert [list(one.masks) for one in found] == [[1]] * 6
    assert builder.records[1].class_name == "grasper"
    assert (3, 1, "class flip") in reasons(builder)
    assert {i: runs.spans for i, runs in builder.records[1].origins.items()} == {
        GRASPER: [[0, 2], [4, 5]],
        HOOK: [[3, 3]],
    }


def test_all_of_an_organ_is_one_thing_however_long_it_is_away() -> None:
    parts = box(0, 0, 20, 20) | box(40, 40, 20, 20)
    found, _ = run([{LIVER: parts}, {}, {}, {LIVER: box(40, 0, 20, 20)}], NO_GAP)
    assert list(found[0].masks) == list(found[3].masks) == [1]
    assert (found[0].masks[1] == parts).all()


def test_a_thing_in_the_place_of_an_organ_is_doubted_but_not_renamed() -> None:
    there = box(10, 10, 30, 30)
    found, builder = run([{LIVER: there}] * 2 + [{GRASPER: there}] + [{LIVER: there}])
    assert [list(one.masks) for one in found] == [[1], [1], [2], [1]]
    assert (2, 2, "class flip") in reasons(builder)


def test_what_shows_once_or_jumps_in_size_is_flagged() -> None:
    small, large = box(20, 20, 8, 8), box(14, 14, 24, 24)
    _, builder = run([{GRASPER: small}, {GRASPER: small, HOOK: box(50, 50, 8, 8)}, {GRASPER: large}])
    assert (1, 2, "one frame") in reasons(builder)
    assert (2, 1, "area jump") in reasons(builder)


def test_specks_join_what_is_near_and_are_left_out_elsewhere() -> None:
    how = replace(DEFAULTS, pieces=replace(DEFAULTS.pieces, least_area=4 / SIDE**2, touching=0.0, bridge=0.05))
    body, near, far = box(20, 20, 14, 20), box(26, 42, 1, 1), box(60, 60, 1, 1)
    found, _ = run([{GRASPER: body | near | far}], how)
    assert (found[0].masks[1] == (body | near)).all()


def test_fast_things_are_followed_by_place_and_colour() -> None:
    """Each frame the square lies beside where it was; without motion nothing says it is the same."""
    frames = [{GRASPER: box(26, x, 12, 12)} for x in range(0, 50, 12)]
    assert {i for one in run(frames)[0] for i in one.masks} == {1}
    still = MaskletSettings(association=AssociationSettings(motion=False, gap=0))
    assert len({i for one in run(frames, still)[0] for i in one.masks}) == len(frames)


def test_trusted_ids_are_kept() -> None:
    far = [{GRASPER: box(0, 0, 9, 9)}, {GRASPER: box(50, 50, 9, 9), HOOK: box(0, 0, 9, 9)}]
    found, builder = run(far, ids="masklets")
    assert [list(one.masks) for one in found] == [[1], [1, 2]]
    assert builder.records[2].class_name == "electric hook"


@pytest.mark.parametrize(("how", "hook_stays"), [("objects", True), ("whole", False)])
def test_a_correction_paints_over_its_neighbours_or_replaces_the_frame(how: str, hook_stays: bool) -> None:
    """The grasper's corrected mask is a hook's column wider, on frame 1 of 3; the hook is masklet 1, it the other."""
    there = {GRASPER: box(20, 4, 14, 20), HOOK: box(20, 24, 14, 20)}
    builder = MaskletBuilder(NAMES, "classes", MaskletSettings(corrected=how))  # type: ignore[arg-type]
    wider = box(20, 4, 14, 21)
    frames = [
        builder.add(Frame(i, picture(there)), there, {2: Corrected(to_rle(wider))} if i == 1 else {}).masks
        for i in range(3)
    ]
    assert builder.classes == {1: "electric hook", 2: "grasper"}
    assert (frames[1][2] == wider).all()
    assert (1 in frames[1]) is hook_stays
    if hook_stays:
        assert (frames[1][1] == box(20, 25, 14, 19)).all()
    assert [list(one) for one in (frames[0], frames[2])] == [[1, 2]] * 2
    assert builder.records[2].corrected == [1]


def test_a_correction_that_names_a_class_decides_it() -> None:
    there = {GRASPER: box(20, 4, 14, 20)}
    builder = MaskletBuilder(NAMES, "classes")
    for i in range(4):
        named = {1: Corrected(to_rle(there[GRASPER]), "Clipper")} if i == 1 else {}
        builder.add(Frame(i, picture(there)), there, named)
    assert builder.classes == {1: "clip applier"}


def scene_run(seed: int, order: Sequence[int], ids: Ids) -> tuple[list[Mapping[int, Mask]], AssociationScorer]:
    """A rendered clip as instances whose ids are renamed by `order`, a permutation of 1 to 60."""
    clip = scene(seed, "abdomen", 5, 96)
    scorer, found = AssociationScorer(), []
    builder = MaskletBuilder({order[i - 1]: name for i, name in clip.classes.items()}, ids)
    for index, (image, label) in enumerate(zip(clip.images, clip.labels, strict=True)):
        truth = {i: label == i for i in clip.classes if (label == i).any()}
        found.append(builder.add(Frame(index, image), {order[i - 1]: mask for i, mask in truth.items()}).masks)
        scorer.add(found[-1], truth)
    return found, scorer


@settings(max_examples=8, deadline=None)
@given(st.integers(700_000_000, 700_001_000), st.permutations(range(1, 61)))
def test_ids_do_not_depend_on_the_ids_of_the_input(seed: int, order: list[int]) -> None:
    one, other = scene_run(seed, range(1, 61), "instances")[0], scene_run(seed, order, "instances")[0]
    for a, b in zip(one, other, strict=True):
        assert a.keys() == b.keys()
        assert all((a[i] == b[i]).all() for i in a)


@settings(max_examples=8, deadline=None)
@given(st.integers(700_000_000, 700_001_000), st.permutations(range(1, 61)))
def test_masks_whose_ids_last_give_no_switches(seed: int, order: list[int]) -> None:
    score = scene_run(seed, order, "masklets")[1].score()
    assert score.switches == 0
    assert score.kept == score.found == score.true


def test_a_mask_without_a_name_or_of_another_size_is_refused() -> None:
    builder = MaskletBuilder(NAMES, "classes")
    with pytest.raises(ValueError, match="id 9"):
        builder.add(Frame(0, picture({})), {9: box(0, 0, 4, 4)})
    with pytest.raises(ValueError, match="its mask 1"):
        builder.add(Frame(0, picture({})), {GRASPER: box(0, 0, 4, 4)[:32]})
    with pytest.raises(ValueError, match="'things'"):
        MaskletBuilder(NAMES, "things")  # type: ignore[arg-type]
