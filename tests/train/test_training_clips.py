"""Samples show what the clip shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trocar.datasets.clip import Clip
from trocar.train.augment import GeometryRange
from trocar.train.clips import SampleShape, choose_frames, choose_objects, draw_sample, make_sample, mixed, open_source
from trocar.train.render import TRAIN_SEEDS, read_scene, render_scenes, scene_file

STILL = GeometryRange(zoom=(1.0, 1.0), rotation_deg=0, stretch=0, drift=0, upside_down=0)


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


@pytest.mark.parametrize("seed", range(8))
def test_masks_lie_where_the_images_show_them(seed: int) -> None:
    sample = make_sample(clip_of_two_squares(), np.random.default_rng(seed), SampleShape(64, 4, 2))
    assert sample is not None
    assert sample.images.shape == (4, 3, 64, 64)
    assert sample.masks.shape[1:] == (4, 64, 64)
    assert sample.valid.shape == (4, 64, 64)
    assert sample.masks[:, 0].flatten(1).any(1).all(), "every object shows in the first frame"
    grey = sample.images.mean(1)
    bright = max(range(len(sample.masks)), key=lambda k: grey[0][sample.masks[k, 0]].mean())
    mask = sample.masks[bright]
    if mask.any() and len(sample.masks) == 2:
        assert grey[mask].mean() > grey[~mask].mean()


def test_frames_run_at_one_stride_and_turn_at_the_ends_or_are_cut() -> None:
    clip, rng = clip_of_two_squares(6), np.random.default_rng(0)
    kinds = {"still": 0, "run": 0, "cut": 0}
    for _ in range(1000):
        frames, still = choose_frames(clip, 7, rng)
        assert len(frames) == 7
        assert min(frames) >= 0
        assert max(frames) < 6
        steps = np.diff(frames)
        assert not still or not steps.any()
        kinds["still" if still else "run" if set(np.abs(steps).tolist()) == {1} else "cut"] += 1
    assert kinds["still"] == pytest.approx(200, abs=50)
    assert kinds["cut"] == pytest.approx(0.8 * 400, abs=60)


def test_clips_leap_by_up_to_five_frames() -> None:
    clip, rng = clip_of_two_squares(60), np.random.default_rng(0)
    steps = [np.abs(np.diff(choose_frames(clip, 3, rng)[0])) for _ in range(500)]
    assert {1, 2, 3, 4, 5} <= {int(pair[0]) for pair in steps if pair[0] == pair[1]}


def test_an_image_set_gives_one_image_again_and_again() -> None:
    clip = clip_of_two_squares()
    unordered = Clip(clip.name, clip.images, clip.labels, clip.classes, ordered=False)
    frames, still = choose_frames(unordered, 3, np.random.default_rng(0))
    assert still
    assert len(set(frames)) == 1


def test_objects_of_a_clip_are_different_and_those_of_an_image_fill_its_rows() -> None:
    labels = clip_of_two_squares().labels
    rng = np.random.default_rng(0)
    in_clip = choose_objects(labels, rng, SampleShape(64, 6, 5))
    assert len(in_clip) == 2
    assert not (in_clip[0] & in_clip[1]).any()
    assert len(choose_objects(labels[:1], rng, SampleShape(64, 1, 5))) == 5
    assert len(choose_objects(np.zeros_like(labels), rng, SampleShape(64, 6, 5))) == 0


def test_one_part_of_an_object_is_connected() -> None:
    labels = np.zeros((1, 64, 64), np.uint8)
    labels[0, 5:25, 5:25] = labels[0, 40:60, 5:25] = 3
    masks = choose_objects(labels, np.random.default_rng(0), SampleShape(64, 1, 4, part_share=1.0))
    assert {int(mask.sum()) for mask in masks} == {400}


def test_without_any_change_a_mask_is_the_label() -> None:
    clip = clip_of_two_squares()
    sample = make_sample(clip, np.random.default_rng(0), SampleShape(64, 1, 2, geometry=STILL))
    assert sample is not None
    sizes = {int(mask.sum()) for mask in sample.masks}
    assert sizes <= {400}


def test_clips_without_objects_are_named() -> None:
    empty = Clip("empty", np.zeros((1, 32, 32, 3), np.uint8), np.zeros((1, 32, 32), np.uint8), {})
    with pytest.raises(ValueError, match="hardly any objects"):
        draw_sample(lambda rng: empty, np.random.default_rng(0), SampleShape(32))


def test_sources_are_drawn_in_their_shares() -> None:
    one, two = clip_of_two_squares(1), clip_of_two_squares(2)
    draw = mixed({"one": lambda rng: one, "two": lambda rng: two}, {"one": 0.2, "two": 0.6})
    rng = np.random.default_rng(0)
    assert np.mean([draw(rng) is one for _ in range(2000)]) == pytest.approx(0.25, abs=0.03)


def test_an_unknown_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no source of clips is called 'scense'"):
        open_source("scense", None, tmp_path)
    with pytest.raises(FileNotFoundError, match="no rendered scenes"):
        open_source("scenes", None, tmp_path)


def test_rendered_scenes_read_back_and_are_kept(tmp_path: Path) -> None:
    render_scenes(tmp_path, 2)
    first = scene_file(tmp_path, TRAIN_SEEDS)
    clip = read_scene(first)
    assert clip.images.shape == (6, 256, 256, 3)
    assert set(clip.classes) == set(np.unique(clip.labels)) - {0}
    before = first.stat().st_mtime_ns
    render_scenes(tmp_path, 2)
    assert first.stat().st_mtime_ns == before
    draw = open_source("scenes", None, tmp_path)
    assert draw(np.random.default_rng(0)).images.dtype == np.uint8
    first.write_bytes(first.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is not a rendered scene"):
        read_scene(first)
