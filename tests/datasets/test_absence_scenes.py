"""Scenes of remembering: who is in the picture when, what is the same and what has changed, and exact truth."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.datasets.absence_scenes import (
    SEEN,
    TARGET,
    Picture,
    RememberingScene,
    Stay,
    absence_scene,
    distractor_scene,
)
from trocar.datasets.view_scenes import HOLD, IMAGES, TRAVEL, _both_ways, unordered_scene, volume_scene, zoom_scene


def shown(scene: RememberingScene, label: int = TARGET) -> list[int]:
    """Pixels with this label, frame by frame."""
    return [int((scene.truth(frame) == label).sum()) for frame in range(len(scene))]


class TestSource:
    def test_a_frame_is_painted_when_it_is_asked_for_and_once_for_image_and_truth(self) -> None:
        painted: list[int] = []

        def paint(frame: int) -> Picture:
            painted.append(frame)
            return Picture(np.full((4, 4, 3), frame, np.uint8), np.full((4, 4), frame % 2, np.uint8))

        scene = RememberingScene("s", paint, length=1000, size=4)
        assert painted == []
        assert scene[7].image.max() == 7
        assert scene.truth(7).max() == 1
        assert painted == [7]
        assert (len(scene), scene.geometry.size, list(scene.returned)) == (1000, (4, 4), [])

    @pytest.mark.parametrize("frame", [-1, 34])
    def test_frames_outside_are_refused(self, frame: int) -> None:
        with pytest.raises(IndexError, match="frames 0 to 33"):
            absence_scene(0, 10, size=64)[frame]


def test_a_thing_comes_in_and_goes_out_in_three_steps() -> None:
    stay = Stay(10, 20, np.zeros(2), 0.0)
    out = [stay.out(frame) for frame in range(10, 21)]
    # 0.7 of the way out on the first and last frame, then 0.7 * 2/3 and 0.7 * 1/3
    assert out == pytest.approx([0.7, 0.7 * 2 / 3, 0.7 / 3, 0, 0, 0, 0, 0, 0.7 / 3, 0.7 * 2 / 3, 0.7])
    assert Stay(0, 20, np.zeros(2), 0.0, enters=False).out(0) == 0
    assert Stay(0, 20, np.zeros(2), 0.0, leaves=False).out(20) == 0


@pytest.mark.parametrize("seed", range(6))
class TestAbsence:
    def test_the_target_is_seen_then_gone_then_back(self, seed: int) -> None:
        scene = absence_scene(seed, 10, size=96)
        area = shown(scene)
        assert len(scene) == SEEN + 10 + SEEN
        assert [frame for frame, pixels in enumerate(area) if pixels] == [
            *range(SEEN),
            *range(SEEN + 10, 2 * SEEN + 10),
        ]
        assert list(scene.returned) == list(range(SEEN + 10, 2 * SEEN + 10))
        assert area[0] >= 100, "the prompted target is no speck"

    def test_it_returns_elsewhere_and_in_another_light(self, seed: int) -> None:
        scene = absence_scene(seed, 10, size=96)
        before, after = scene.truth(5) == TARGET, scene.truth(len(scene) - 1) == TARGET
        assert (before & after).sum() < 0.5 * before.sum()
        light = [float(scene[frame].image.mean()) for frame in (0, len(scene) - 1)]
        assert abs(np.log(light[1] / light[0])) > 0.05

    def test_frames_do_not_depend_on_the_order_in_which_they_are_asked_for(self, seed: int) -> None:
        first, again = absence_scene(seed, 10, size=64), absence_scene(seed, 10, size=64)
        wanted = {frame: first[frame].image for frame in (0, 5, 25)}
        for frame in (25, 5, 0):
            assert np.array_equal(again[frame].image, wanted[frame])

    def test_a_longer_absence_begins_with_the_same_frames(self, seed: int) -> None:
        short, long = absence_scene(seed, 10, size=64), absence_scene(seed, 1000, size=64)
        assert len(long) == 1024
        for frame in (0, SEEN - 1):
            assert np.array_equal(short[frame].image, long[frame].image)
            assert np.array_equal(short.truth(frame), long.truth(frame))
        assert (short.truth(len(short) - 1) == TARGET).any()
        assert (long.truth(len(long) - 1) == TARGET).any()


def test_the_camera_goes_on_moving_while_the_target_is_away() -> None:
    scene = absence_scene(1, 50, size=64)
    steps = [np.abs(scene[a].image.astype(int) - scene[a + 10].image).mean() for a in range(SEEN, SEEN + 40, 10)]
    assert min(steps) > 2


@pytest.mark.parametrize("seed", range(4))
def test_look_alikes_come_beside_the_target_in_its_absence_and_wait_for_its_return(seed: int) -> None:
    scene = distractor_scene(seed, 30, size=96)
    target, one, other = (np.array(shown(scene, label)) > 0 for label in (1, 2, 3))
    assert scene.look_alikes
    assert set(np.unique(np.concatenate([scene.truth(frame) for frame in range(len(scene))]))) == {0, 1, 2, 3}
    assert (target & one).sum() >= 6, "beside the target"
    assert (~target & one).any(), "stays on when the target has left"
    assert (~target & other).sum() >= 10, "comes in its absence"
    assert (target & other)[SEEN + 30 :].sum() >= 6, "is there when it returns"
    assert not target[SEEN : SEEN + 30].any()


@pytest.mark.parametrize("seed", range(3))
def test_a_zoom_makes_the_target_a_few_pixels_and_brings_it_back(seed: int) -> None:
    scene = zoom_scene(seed)
    area = shown(scene)
    assert len(scene) == 3 * HOLD + 2 * TRAVEL
    assert 1000 < area[0] < 256 * 256 / 3
    assert 5 <= min(area) <= 100
    assert area[-1] == pytest.approx(area[0], rel=0.1)
    # 13.75 times nearer: the area follows the square, 189 times, as far as pixels allow
    assert area[0] / np.median(area[HOLD + TRAVEL : 2 * HOLD + TRAVEL]) == pytest.approx((5.5 / 0.4) ** 2, rel=0.4)
    assert scene.returned == range(2 * HOLD + TRAVEL, len(scene))


@pytest.mark.parametrize("seed", range(4))
def test_an_image_set_is_shuffled_behind_its_template(seed: int) -> None:
    scene = unordered_scene(seed, size=96)
    area = shown(scene)
    assert len(scene) == IMAGES
    assert area[0] == max(area)
    assert area[1:] != sorted(area[1:], reverse=True)
    assert len(scene.returned) == 0


class TestVolume:
    def test_an_axis_is_walked_from_the_middle_of_the_organ_both_ways(self) -> None:
        organ = np.zeros((40, 10, 12), np.bool_)
        organ[10:22, 4:7, 5:6] = True
        # rows 4 to 6, a margin of 2 // 4 + 1 = 1: slices 3 to 7; the organ's middle one is 5
        assert _both_ways(organ, 1) == ([5, 6, 7], [4, 3])
        # one column, 5, a margin of 1
        assert _both_ways(organ, 2) == ([5, 6], [4])
        # slices 10 to 21, a margin of 11 // 4 + 1 = 3: 7 to 24, of 12 with the organ the seventh, 16, is the middle
        assert _both_ways(organ, 0) == (list(range(16, 25)), list(range(15, 6, -1)))

    @pytest.mark.parametrize("seed", range(2))
    def test_six_directions_each_begin_in_the_organ(self, seed: int) -> None:
        scene = volume_scene(seed, size=96)
        area = shown(scene)
        assert area[0] >= 100
        assert 60 <= len(scene) <= 96
        assert scene.returned.stop == len(scene)
        assert area[scene.returned.start] > 0
        image = scene[0].image
        assert np.array_equal(image[..., 0], image[..., 2])
