"""Synthetic scenes keep the promises that training and benchmarks build on."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.datasets.canvas import clip_of
from trocar.datasets.cell_scenes import cell_clip
from trocar.datasets.instruments import Picture, placed
from trocar.datasets.scenes import SCENES, SHARES, scene
from trocar.datasets.surgical_scenes import surgical_clip
from trocar.datasets.volume_scenes import volume, volume_clip


@pytest.mark.parametrize("kind", SCENES)
class TestEveryKind:
    @pytest.mark.parametrize("seed", [0, 5])
    def test_is_a_well_formed_clip(self, kind: str, seed: int) -> None:
        clip = scene(seed, kind, frames=3, size=128)
        assert clip.images.shape == (3, 128, 128, 3)
        assert clip.labels.shape == (3, 128, 128)
        assert clip.images.dtype == clip.labels.dtype == np.uint8
        assert clip.name == f"{kind}-{seed}"
        assert clip.images.std() > 2, "the picture is not blank"
        assert set(np.unique(clip.labels)) - {0} == set(clip.classes), "ids that occur are the ids that have a class"
        assert list(clip.classes) == list(range(1, len(clip.classes) + 1))
        assert all(clip.classes.values())

    def test_every_object_is_seen_in_some_frame(self, kind: str) -> None:
        clip = scene(3, kind, frames=4, size=256)
        for object_id in clip.classes:
            assert (clip.labels == object_id).sum((1, 2)).max() >= 44

    def test_same_seed_same_bytes_and_other_seed_other_bytes(self, kind: str) -> None:
        first, again, other = (scene(seed, kind, frames=2, size=96) for seed in (4, 4, 6))
        assert np.array_equal(first.images, again.images)
        assert np.array_equal(first.labels, again.labels)
        assert first.classes == again.classes
        assert not np.array_equal(first.images, other.images)
        assert not np.array_equal(first.labels, other.labels)

    def test_one_frame_and_odd_sizes(self, kind: str) -> None:
        assert scene(1, kind, frames=1, size=75).labels.shape == (1, 75, 75)


def test_a_drawn_kind_is_the_clip_of_that_kind() -> None:
    clip = scene(12, frames=2, size=64)
    kind = clip.name.split("-")[0]
    assert np.array_equal(clip.images, scene(12, kind, frames=2, size=64).images)


def test_every_kind_has_a_share() -> None:
    assert len(SHARES) == len(SCENES)
    assert sum(SHARES) == pytest.approx(1)


def test_kinds_are_all_drawn() -> None:
    drawn = {scene(seed, frames=1, size=32).name.split("-")[0] for seed in range(200)}
    assert drawn == set(SCENES)


def test_objects_leave_and_return_and_are_hidden_in_part() -> None:
    returned = occluded = 0
    for seed in range(30):
        clip = scene(seed, "abdomen", frames=10, size=96)
        for object_id in clip.classes:
            area = (clip.labels == object_id).sum((1, 2))
            present = np.flatnonzero(area)
            returned += len(present) < present[-1] - present[0] + 1
            occluded += area[area > 0].min() < 0.5 * area.max()
    assert returned >= 5
    assert occluded >= 10


def test_two_instruments_of_one_kind_share_a_clip_now_and_then() -> None:
    names = [list(scene(seed, "abdomen", frames=2, size=64).classes.values()) for seed in range(30)]
    tools = {"forceps", "grasper", "scissors", "needle driver", "hook", "probe", "suction tube"}
    assert any(len(found) > len(set(found)) for found in ([n for n in clip if n in tools] for clip in names))


def test_image_sets_say_that_their_frames_are_unrelated() -> None:
    ordered = {kind: scene(2, kind, frames=2, size=64).ordered for kind in SCENES}
    assert {kind for kind, value in ordered.items() if not value} == {"smear", "vessel"}


def test_video_frames_follow_one_another() -> None:
    """Neighbouring frames share most of their labels; the frames of an unrelated clip do not."""
    clip, stranger = (scene(seed, "larynx", frames=4, size=96) for seed in (1, 9))
    agree = (clip.labels[1:] == clip.labels[:-1]).mean()
    assert agree > 0.6
    assert agree > (clip.labels == stranger.labels).mean() + 0.1


def test_group_entries_draw_their_own_kinds() -> None:
    assert surgical_clip(3, 1, 64).name.split("-")[0] in ("larynx", "abdomen", "generic")
    assert cell_clip(3, 1, 64).name.split("-")[0] in ("timelapse", "smear", "vessel")


class TestPaste:
    def test_labels_are_the_pixels_more_than_half_covered(self) -> None:
        picture = Picture(np.full((8, 8, 3), 10, np.uint8), np.full((8, 8), 3, np.uint8))
        sprite = np.full((2, 3, 4), 200, np.uint8)
        sprite[..., 3] = [[255, 128, 127], [255, 255, 0]]
        picture.paste(sprite, placed((0, 0), np.array([2.0, 4.0]), 0.0), 7)
        expected = np.full((8, 8), 3)
        expected[4, 2:4] = expected[5, 2:4] = 7
        assert np.array_equal(picture.labels, expected)
        assert picture.image[4, 2].tolist() == [200, 200, 200]
        assert picture.image[0, 0].tolist() == [10, 10, 10]

    def test_outside_the_frame_changes_nothing(self) -> None:
        picture = Picture(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint8))
        picture.paste(np.full((2, 3, 4), 255, np.uint8), placed((0, 0), np.array([30.0, -9.0]), 0.3), 7)
        assert not picture.image.any()
        assert not picture.labels.any()

    def test_placed_puts_the_anchor_where_it_is_told(self) -> None:
        moved = placed((3, 5), np.array([40.0, 20.0]), 1.1, 2.0) @ np.array([3, 5, 1])
        assert moved == pytest.approx([40, 20])


def test_specks_are_dropped_and_ids_renumbered() -> None:
    labels = np.zeros((1, 60, 60), np.uint8)  # 1/1500 of 3600 pixels is 2
    labels[0, 0, :2], labels[0, 1, :3] = 1, 2
    clip = clip_of("x", np.zeros((1, 60, 60, 3), np.uint8), labels, {1: "speck", 2: "seen"})
    assert clip.classes == {1: "seen"}
    assert (clip.labels == 1).sum() == 3
    assert (clip.labels > 0).sum() == 3


class TestVolume:
    def test_ct_is_in_hounsfield_units_with_air_outside(self) -> None:
        made = volume(2, slices=8, size=96, modality="ct")
        assert made.array.shape == made.labels.shape == (8, 96, 96)
        assert np.percentile(made.array, 0.5) < -850
        assert made.array.max() > 150
        assert all(step > 0 for step in made.spacing_mm)

    def test_organs_change_smoothly_from_slice_to_slice(self) -> None:
        labels = volume(3, slices=24, size=96, modality="mr").labels
        changed = (labels[1:] != labels[:-1]).mean((1, 2))
        assert changed.max() < 0.25
        assert changed.sum() > 0

    def test_clip_is_grey(self) -> None:
        images = volume_clip(1, 2, 64, "mr").images
        assert np.array_equal(images[..., 0], images[..., 2])

    def test_unknown_modality_is_refused(self) -> None:
        with pytest.raises(ValueError, match="choose ct or mr"):
            volume(0, modality="pet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": 0, "kind": "moon"}, "choose one of larynx"),
        ({"seed": -1}, "seed >= 0"),
        ({"seed": 0, "frames": 0}, "frames >= 1"),
        ({"seed": 0, "size": 8}, "size >= 32"),
    ],
)
def test_bad_input_is_refused_in_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        scene(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
