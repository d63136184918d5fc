"""Samples show what the footage shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.datasets.clip import Clip
from trocar.datasets.scenes import scene
from trocar.model import tiny_random
from trocar.model.config import tiny_sam
from trocar.track.features import NetworkInput, PaddedInput
from trocar.train.augment import Augment, GeometryRange
from trocar.train.changes import Change
from trocar.train.clips import IMAGE, Draws, SampleShape, choose_objects, draw_sample, make_sample, step_shape
from trocar.train.footage import LabelledFrame
from trocar.train.plan import PlanSettings
from trocar.train.recipe import Recipe, Stage
from trocar.train.render import TRAIN_SEEDS, SceneShape, read_scene, render_scenes, scene_file

STILL = Augment(geometry=GeometryRange(zoom=(1.0, 1.0), rotation_deg=0, stretch=0, drift=0, upside_down=0))
NONE = Augment("none")
FOUR = PlanSettings(frames=4)


def clip_of_two_squares(frames: int = 6, side: int = 64) -> Clip:
    """A bright square that moves right and a dark one that goes away after the first half."""
    images = np.full((frames, side, side, 3), 120, np.uint8)
    labels = np.zeros((frames, side, side), np.uint8)
    for frame in range(frames):
        labels[frame, 10:30, 5 + 3 * frame : 25 + 3 * frame] = 1
        if frame < frames // 2:
            labels[frame, 40:60, 30:50] = 2
    images[labels == 1], images[labels == 2] = 250, 10
    return Clip("squares", images, labels, {1: "bright", 2: "dark"}, ignore=labels == 9)


@pytest.mark.parametrize("like", ["nano", "sam2", "medsam-2", "none"])
@pytest.mark.parametrize("seed", range(4))
def test_masks_lie_where_the_images_show_them(like: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape = SampleShape(64, FOUR, 2, augment=Augment(like))  # type: ignore[arg-type]
    sample = next(one for _ in range(20) if (one := make_sample(clip_of_two_squares(), rng, shape)) is not None)
    assert sample.images.shape == (4, 3, 64, 64)
    assert sample.masks.shape[1:] == (4, 64, 64)
    assert sample.valid.shape == (4, 64, 64)
    assert sample.masks[:, 0].flatten(1).any(1).all(), "every object shows in the first frame"
    assert len(sample.names) == len(sample.masks)
    grey = sample.images.mean(1)
    if set(sample.names) == {"bright", "dark"}:
        bright, dark = (sample.masks[sample.names.index(name), 0] for name in ("bright", "dark"))
        difference = grey[0][bright].mean() - grey[0][dark].mean()
        assert difference.abs() > 0.1
        assert difference > 0 or like == "medsam-2"  # which may turn a picture into its negative


def test_the_plan_says_which_frames_are_shown() -> None:
    clip = clip_of_two_squares(12)
    for seed in range(10):
        shape = SampleShape(64, PlanSettings("sam2", frames=4, initial=2), 2, augment=NONE)
        sample = make_sample(clip, np.random.default_rng(seed), shape)
        assert sample is not None
        assert len(sample.plan.frames) == 4
        assert set(np.diff(sample.plan.frames)) in ({1}, {-1})
        bright = sample.masks[sample.names.index("bright")]
        for place, frame in enumerate(sample.plan.frames):
            assert torch.equal(bright[place], torch.from_numpy(clip.labels[frame] == 1))


def test_a_sample_for_one_class_shows_objects_of_it() -> None:
    rng, clip = np.random.default_rng(0), clip_of_two_squares()
    shape = SampleShape(64, IMAGE, 3, augment=NONE)
    samples = [make_sample(clip, rng, shape, wanted="dark") for _ in range(30)]
    assert {name for one in samples if one for name in one.names} == {"dark"}
    assert None in samples, "it is gone in half of the frames"


def test_classes_may_be_left_out() -> None:
    shape = SampleShape(64, IMAGE, 3, without=("bright",), augment=NONE)
    samples = [make_sample(clip_of_two_squares(), np.random.default_rng(seed), shape) for seed in range(20)]
    assert {name for one in samples if one for name in one.names} == {"dark"}


def test_objects_of_a_clip_are_different_and_those_of_an_image_fill_its_rows() -> None:
    labels = clip_of_two_squares().labels.astype(np.uint16)
    rng = np.random.default_rng(0)
    assert sorted(choose_objects(labels, rng, SampleShape(64, FOUR, 5))) == [1, 2]
    assert len(choose_objects(labels[:1], rng, SampleShape(64, IMAGE, 5))) == 5
    assert choose_objects(labels, rng, SampleShape(64, FOUR, 5), frozenset({2})) == [2]
    assert choose_objects(np.zeros_like(labels), rng, SampleShape(64, FOUR, 5)) == []


def test_one_part_of_an_object_is_connected() -> None:
    labels = np.zeros((1, 64, 64), np.uint8)
    labels[0, 5:25, 5:25] = labels[0, 40:60, 5:25] = 3
    clip = Clip("parts", np.zeros((1, 64, 64, 3), np.uint8), labels, {3: "object"})
    sample = make_sample(clip, np.random.default_rng(0), SampleShape(64, IMAGE, 4, part_share=1.0, augment=NONE))
    assert sample is not None
    assert {int(mask.sum()) for mask in sample.masks} == {400}
    assert sample.names == ("", "", "", "")


def test_without_any_change_a_mask_is_the_label() -> None:
    for augment in (STILL, NONE):
        sample = make_sample(
            clip_of_two_squares(), np.random.default_rng(0), SampleShape(64, IMAGE, 2, augment=augment)
        )
        assert sample is not None
        sizes = {int(mask.sum()) for mask in sample.masks}
        assert sizes <= {400}


@pytest.mark.parametrize("size", [(48, 96), (96, 48), (64, 64)])
@pytest.mark.parametrize("kind", [NetworkInput, PaddedInput])
def test_a_sample_without_change_is_what_the_network_sees_when_it_is_used(
    kind: type[NetworkInput], size: tuple[int, int]
) -> None:
    """SAM's input keeps the picture's proportions and pads it; in training as well."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    image = np.stack((rows * 2, columns * 2, rows + columns), axis=-1).astype(np.uint8)
    labels = np.ones((1, *size), np.uint8)
    shape = SampleShape(96, IMAGE, 1, augment=NONE, input=kind)
    sample = make_sample(Clip("ramp", image[None], labels, {1: "all"}), np.random.default_rng(0), shape)
    assert sample is not None
    down, right = kind(96).extent(size)
    shown = torch.zeros(96, 96, dtype=torch.bool)
    shown[:down, :right] = True
    assert torch.equal(sample.masks[0, 0], shown)
    error = (sample.images[0] - kind(96).pixels(image)).abs()
    assert error[:, 1 : down - 1, 1 : right - 1].max() < 0.05, "whole grey levels; edges are blended otherwise"
    assert (error * ~shown).max() < 0.02


class Overlapping:
    """One frame on which the small object 2 lies on the large object 1."""

    name, ordered, names = "overlapping", True, {1: "large", 2: "small"}

    def __len__(self) -> int:
        return 1

    def frame(self, index: int) -> LabelledFrame:
        large = np.zeros((32, 32), bool)
        large[4:28, 4:28] = True
        labels = large.astype(np.uint16)
        labels[10:20, 10:20] = 2
        return LabelledFrame(np.zeros((32, 32, 3), np.uint8), labels, None, {1: large})


def test_an_object_under_another_keeps_its_whole_mask() -> None:
    sample = make_sample(Overlapping(), np.random.default_rng(0), SampleShape(32, IMAGE, 2, augment=NONE))
    assert sample is not None
    sizes = dict(zip(sample.names, (int(mask.sum()) for mask in sample.masks), strict=True))
    assert sizes == {"large": 24 * 24, "small": 100}


class SeveralSizes(Overlapping):
    """The same picture large and small."""

    def __len__(self) -> int:
        return 4

    def frame(self, index: int) -> LabelledFrame:
        side = 32 * (1 + index % 2)
        labels = np.zeros((side, side), np.uint16)
        labels[side // 4 : side // 2, side // 4 : side // 2] = 1
        return LabelledFrame(np.repeat(labels[..., None] * 200, 3, 2).astype(np.uint8), labels)


@pytest.mark.parametrize("augment", [STILL, NONE])
def test_frames_of_several_sizes_lie_on_one_another(augment: Augment) -> None:
    shape = SampleShape(64, PlanSettings("sam2", frames=4), 1, augment=augment)
    sample = make_sample(SeveralSizes(), np.random.default_rng(0), shape)
    assert sample is not None
    assert (sample.masks[0] == sample.masks[0, :1]).all()


def test_the_look_is_one_for_all_frames_of_a_clip() -> None:
    images = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8), 4, axis=0)
    labels = np.ones((4, 64, 64), np.uint8)
    clip, plan = Clip("still", images, labels, {1: "all"}), PlanSettings("sam2", frames=4)
    changes = (Change("rotate", 1.0, -25, 25), Change("gamma", 1.0, 0.5, 0.7), Change("brightness", 1.0, 0.5, 0.9))

    def frames(augment: Augment) -> torch.Tensor:
        sample = make_sample(clip, np.random.default_rng(1), SampleShape(64, plan, 1, augment=augment))
        assert sample is not None
        return sample.images

    alike = frames(Augment(changes=changes))
    assert (alike == alike[:1]).all()
    differing = frames(Augment(changes=changes, each_frame=True))
    assert not torch.allclose(differing[0], differing[1])


def test_clips_without_objects_are_named() -> None:
    empty = Clip("empty", np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), np.uint8), {})
    with pytest.raises(ValueError, match="hardly any objects"):
        draw_sample(lambda rng: empty, np.random.default_rng(0), SampleShape(32))


def test_steps_on_images_and_on_clips_draw_from_their_own() -> None:
    one, many = clip_of_two_squares(1), clip_of_two_squares(6)
    draw = Draws(lambda rng: one, lambda rng: many)
    rng = np.random.default_rng(0)
    assert len(draw_sample(draw, rng, SampleShape(64, IMAGE, 1, augment=NONE)).images) == 1
    plan = PlanSettings("sam2", frames=5)
    assert len(draw_sample(draw, rng, SampleShape(64, plan, 1, augment=NONE)).plan.frames) == 5


def test_the_shape_of_a_step_is_what_recipe_and_network_say() -> None:
    rng = np.random.default_rng(0)
    recipe = Recipe(plan=PlanSettings("sam2", frames=8), augment=NONE)
    stage = Stage(side=96, rows=3, clip_side=64, objects=2)
    image = step_shape(recipe, stage, False, tiny_sam(), rng)
    assert (image.side, image.plan.frames, image.objects, image.input) == (96, 1, 3, PaddedInput)
    clip = step_shape(recipe, stage, True, tiny_random(), rng)
    assert (clip.side, clip.plan.frames, clip.objects, clip.augment) == (64, 8, 2, NONE)


def test_rendered_scenes_read_back_and_are_kept(tmp_path: Path) -> None:
    render_scenes(tmp_path, 2)
    first = scene_file(tmp_path, TRAIN_SEEDS)
    clip = read_scene(first)
    assert clip.images.shape == (6, 256, 256, 3)
    drawn = scene(TRAIN_SEEDS, frames=6, size=256)
    assert clip.classes == drawn.classes
    assert (clip.labels == drawn.labels).all()
    before = first.stat().st_mtime_ns
    render_scenes(tmp_path, 2)
    assert first.stat().st_mtime_ns == before
    small = SceneShape(3, 64)
    render_scenes(small.folder(tmp_path), 1, 1, small)
    assert read_scene(scene_file(tmp_path / "scenes-3x64", TRAIN_SEEDS)).images.shape == (3, 64, 64, 3)
    assert SceneShape().folder(tmp_path) == tmp_path / "scenes"
    first.write_bytes(first.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is not a rendered scene"):
        read_scene(first)
