"""The corpus of a run: every case is accounted for, read when drawn, and drawn as often as the settings say."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from trocar.datasets import DATASETS
from trocar.datasets.fixture import made_up, save
from trocar.load import load_dataset
from trocar.train.clips import Drawn, draw_sample, step_shape
from trocar.train.corpus import open_corpus
from trocar.train.corpus_report import use_table, write_use
from trocar.train.footage import CaseFootage, ClipFootage, Gathered, Kept, unpacked
from trocar.train.modalities import MODALITIES
from trocar.train.plan import PlanSettings
from trocar.train.recipe import Recipe, Stage
from trocar.train.render import render_scenes
from trocar.train.sampling import Balanced, Entry, Sampling
from trocar.train.start import network_config

BOTH = (Stage(side=64, rows=2, clip_share=0.5, clip_side=64, objects=2),)


def recipe_of(data: dict[str, float], root: Path, **changes: object) -> Recipe:
    sampling = Sampling(folder=str(root), own_data=str(root / "own-data"))
    made = Recipe(model="tiny-random", data=data, sampling=sampling, stages=BOTH)
    return replace(made, **changes)  # type: ignore[arg-type]


def own_video(root: Path, name: str, frames: int, labelled: bool = True, split: str = "train") -> None:
    images, labels = made_up(frames, (1, 2), seed=len(name))
    for number in range(frames):
        save(root / "own-data" / split / "images" / name / f"{number:03d}.png", images[number])
        save(root / "own-data" / split / "masks" / name / f"{number:03d}.png", labels[number] * labelled)


def test_every_case_is_accounted_for(tmp_path: Path) -> None:
    own_video(tmp_path, "long", 9)
    own_video(tmp_path, "short", 3)
    own_video(tmp_path, "blank", 9, labelled=False)
    own_video(tmp_path, "damaged", 9)
    (tmp_path / "own-data/train/masks/damaged/000.png").write_bytes(b"nothing")
    own_video(tmp_path, "bare", 2)
    for path in (tmp_path / "own-data/train/masks/bare").iterdir():
        path.unlink()
    corpus = open_corpus(recipe_of({"own-data": 1.0}, tmp_path, plan=PlanSettings("sam2")), tmp_path)
    (use,) = corpus.uses
    assert (use.cases, use.images, use.clips, use.frames) == (5, 2, 1, 12)
    said = {one.case: (one.reason, one.still_for) for one in use.skipped}
    assert said["short"] == ("it has 3 frames where a clip takes 8", "images")
    assert said["blank"] == ("no frame shows an object", "")
    assert said["bare"] == ("it has no annotated frame", "")
    assert "damaged/000.png cannot be read" in said["damaged"][0]
    write_use(tmp_path / "data.json", corpus.uses)
    (written,) = json.loads((tmp_path / "data.json").read_text())
    assert [one["case"] for one in written["skipped"]] == ["bare", "blank", "damaged", "short"]
    console = Console(width=200, record=True, file=(tmp_path / "table.txt").open("w"))
    console.print(use_table(corpus.uses))
    assert "1 for images only: it has 3 frames where a clip takes 8 (short)" in console.export_text()


def test_a_corpus_without_anything_is_an_error(tmp_path: Path) -> None:
    own_video(tmp_path, "blank", 9, labelled=False)
    with pytest.raises(ValueError, match=r"own-data has nothing to train on .* 1 of 1 cases: no frame shows an object"):
        open_corpus(recipe_of({"own-data": 1.0}, tmp_path), tmp_path)
    own_video(tmp_path, "short", 3)
    with pytest.raises(ValueError, match=r"trains on clips and its data have none: own-data: .* where a clip takes 8"):
        open_corpus(recipe_of({"own-data": 1.0}, tmp_path, plan=PlanSettings("sam2")), tmp_path)
    with pytest.raises(ValueError, match="'scense': did you mean scenes"):
        open_corpus(recipe_of({"scense": 1.0}, tmp_path), tmp_path)
    with pytest.raises(FileNotFoundError, match="no rendered scenes"):
        open_corpus(recipe_of({"scenes": 1.0}, tmp_path), tmp_path)
    with pytest.raises(FileNotFoundError, match="flare22 is missing"):
        open_corpus(recipe_of({"flare22": 1.0}, tmp_path), tmp_path)


def test_what_breaks_while_training_is_said_once_and_other_cases_are_drawn(tmp_path: Path) -> None:
    own_video(tmp_path, "sound", 4)
    own_video(tmp_path, "broken", 4)
    said: list[str] = []
    recipe = recipe_of({"own-data": 1.0}, tmp_path)
    corpus = open_corpus(recipe, tmp_path, said.append)
    for path in (tmp_path / "own-data/train/images/broken").iterdir():
        path.write_bytes(b"nothing")
    corpus = open_corpus(replace(recipe, sampling=replace(recipe.sampling, survey=False)), tmp_path, said.append)
    rng = np.random.default_rng(0)
    shape = step_shape(recipe, BOTH[0], False, network_config(recipe), rng)
    for _ in range(12):
        draw_sample(corpus.draws, rng, shape)
    assert len(said) == 1
    assert "own-data: broken was drawn and cannot be used" in said[0]


@pytest.mark.parametrize("name", ["vocalfolds", "flare22", "nuclei", "refuge", "cvpr24-video/Endoscopy", "own-data"])
def test_data_sets_of_all_kinds_give_images(name: str, tmp_path: Path) -> None:
    dataset = load_dataset(name.partition("/")[0])
    dataset.write_fixture(tmp_path / dataset.folder)
    stage = replace(BOTH[0], clip_share=0.0)
    recipe = recipe_of({name: 1.0}, tmp_path, stages=(stage,))
    corpus = open_corpus(recipe, tmp_path / "made")
    assert corpus.uses[0].images == corpus.uses[0].cases > 0
    rng = np.random.default_rng(0)
    sample = draw_sample(corpus.draws, rng, step_shape(recipe, stage, False, network_config(recipe), rng))
    assert sample.masks.shape == (2, 1, 64, 64)
    assert (tmp_path / "made" / "unpacked").exists() == (dataset.frames == "volume")


def test_pictures_that_show_nothing_are_named(tmp_path: Path) -> None:
    load_dataset("coco").write_fixture(tmp_path / "coco")
    (use,) = open_corpus(recipe_of({"coco": 1.0}, tmp_path), tmp_path).uses
    assert (use.cases, use.images) == (3, 2)
    assert use.skipped[0].reason == "no frame shows an object"


def test_instances_that_change_from_frame_to_frame_are_no_clips(tmp_path: Path) -> None:
    dataset = load_dataset("grasp")
    dataset.write_fixture(tmp_path / dataset.folder)
    recipe = recipe_of({"grasp": 1.0}, tmp_path, plan=PlanSettings("sam2", frames=2))
    with pytest.raises(ValueError, match="have no order"):
        open_corpus(recipe, tmp_path)


def test_pictures_of_a_set_are_a_clip_where_they_are_gathered(tmp_path: Path) -> None:
    dataset = load_dataset("refuge")
    dataset.write_fixture(tmp_path / dataset.folder)
    recipe = recipe_of({"refuge": 1.0}, tmp_path, plan=PlanSettings("sam2", frames=2))
    recipe = replace(recipe, sampling=replace(recipe.sampling, gathered=True))
    corpus = open_corpus(recipe, tmp_path)
    assert corpus.uses[0].clips == corpus.uses[0].cases > 1
    drawn = corpus.draws.clips(np.random.default_rng(0))
    assert isinstance(drawn, Drawn)
    footage = drawn.open()
    firsts = {drawn.open().frame(0).image.tobytes() for _ in range(20)}
    assert len(firsts) == len(footage), "each comes first now and then"
    with pytest.raises(ValueError, match="frames where a clip takes 8"):
        open_corpus(replace(recipe, plan=PlanSettings("sam2"), stages=(replace(BOTH[0], clip_share=1.0),)), tmp_path)
    assert isinstance(footage, Gathered)
    assert len(footage) == corpus.uses[0].frames


def test_images_may_come_from_pictures_alone(tmp_path: Path) -> None:
    own_video(tmp_path, "video", 9)
    images, labels = made_up(1, (1,), seed=3)
    save(tmp_path / "own-data/train/images/one.png", images[0])
    save(tmp_path / "own-data/train/masks/one.png", labels[0])
    recipe = recipe_of({"own-data": 1.0}, tmp_path, plan=PlanSettings("sam2"))
    corpus = open_corpus(replace(recipe, sampling=replace(recipe.sampling, images="pictures")), tmp_path)
    assert (corpus.uses[0].images, corpus.uses[0].clips) == (1, 1)
    assert {one.case: one.still_for for one in corpus.uses[0].skipped} == {"one": "images", "video": "clips"}


def test_scenes_are_drawn_with_their_share(tmp_path: Path) -> None:
    render_scenes(tmp_path / "scenes", 2)
    own_video(tmp_path, "a", 9)
    corpus = open_corpus(recipe_of({"own-data": 1.0, "scenes": 3.0, "flare22": 0.0}, tmp_path), tmp_path)
    assert [use.source for use in corpus.uses] == ["own-data", "scenes"]
    rng = np.random.default_rng(0)
    names = Counter()
    for _ in range(60):
        drawn = corpus.draws.images(rng)
        assert isinstance(drawn, Drawn)
        names[drawn.open().name == "a"] += 1
    assert 5 <= names[True] <= 27  # a quarter of 60, give or take three deviations and a half


def entry(source: str, name: str, frames: int, classes: tuple[str, ...], modality: str) -> Entry:
    return Entry(source, name, lambda: None, frames, classes, modality, name)  # type: ignore[arg-type, return-value]


POOL = [
    entry("a", "ct1", 10, ("liver", "spleen"), "CT"),
    entry("a", "ct2", 30, ("liver",), "CT"),
    entry("b", "mr1", 20, ("liver",), "MR"),
    entry("c", "scope", 40, ("hook",), "endoscopy"),
    entry("c", "own", 60, ("object",), "endoscopy"),
]


def shares(sampling: Sampling, count: int = 10_000) -> tuple[dict[str, float], dict[str, float]]:
    balanced, rng = Balanced(POOL, sampling, {"a": 1.0, "b": 2.0, "c": 5.0}), np.random.default_rng(0)
    drawn = [balanced.draw(rng) for _ in range(count)]
    names, tasks = Counter(one.name for one, _ in drawn), Counter(task for _, task in drawn)
    return {n: c / count for n, c in names.items()}, {n: c / count for n, c in tasks.items()}


def test_levels_are_drawn_evenly_over_ten_thousand_draws() -> None:
    by_share, tasks = shares(Sampling())
    assert by_share == pytest.approx(
        {"ct1": 1 / 8 / 4, "ct2": 3 / 8 / 4, "mr1": 2 / 8, "scope": 5 / 8 * 0.4, "own": 5 / 8 * 0.6}, abs=0.015
    )
    assert tasks == {"": 1.0}
    by_frames, _ = shares(Sampling(balance=()))
    assert by_frames == pytest.approx(
        {"ct1": 10 / 160, "ct2": 30 / 160, "mr1": 20 / 160, "scope": 0.25, "own": 60 / 160}, abs=0.015
    )
    medsam, tasks = shares(Sampling(balance=("task", "modality"), cases="evenly"))
    # four tasks: liver, spleen, hook, and the things without a name; of the liver CT and MR come alike
    assert tasks == pytest.approx({"liver": 0.25, "spleen": 0.25, "hook": 0.25, "": 0.25}, abs=0.015)
    assert medsam == pytest.approx(
        {"ct1": 0.25 + 0.25 / 4, "ct2": 0.25 / 4, "mr1": 0.25 / 2, "scope": 0.25, "own": 0.25}, abs=0.015
    )
    sources, _ = shares(Sampling(balance=("source",), cases="evenly"))
    assert sources == pytest.approx({"ct1": 1 / 6, "ct2": 1 / 6, "mr1": 1 / 3, "scope": 1 / 6, "own": 1 / 6}, abs=0.015)
    modalities, _ = shares(Sampling(balance=("modality", "group")))
    assert modalities == pytest.approx(
        {"ct1": 1 / 6, "ct2": 1 / 6, "mr1": 1 / 3, "scope": 1 / 6, "own": 1 / 6}, abs=0.015
    )


def test_every_data_set_has_a_modality() -> None:
    assert set(MODALITIES) == {*DATASETS, "scenes"}


def test_frames_are_kept_up_to_a_bound_and_read_once(tmp_path: Path) -> None:
    own_video(tmp_path, "a", 4)
    (case,) = load_dataset("own-data").read(tmp_path / "own-data", "train")
    reads: list[int] = []

    def truth(frame: int) -> object:
        reads.append(frame)
        return case.truth(frame)

    watched = replace(case, truth=truth)  # type: ignore[arg-type]
    footage = CaseFootage(watched, Kept(1), "a")
    for _ in range(3):
        footage.frame(0)
    assert reads == [0]
    nothing = CaseFootage(watched, Kept(0), "a")
    nothing.frame(1), nothing.frame(1)
    assert reads == [0, 1, 1]
    assert footage.names == {1: "object", 2: "object"}
    assert footage.ordered


def test_an_unpacked_volume_is_the_volume(tmp_path: Path) -> None:
    dataset = load_dataset("flare22")
    dataset.write_fixture(tmp_path / "flare22")
    case = dataset.read(tmp_path / "flare22", "train")[0]
    twice = [unpacked(case, tmp_path / "made") for _ in range(2)]
    plain = CaseFootage(case, Kept(1), "x")
    assert isinstance(twice[0], ClipFootage)
    for footage in twice:
        assert len(footage) == case.frames
        for index in range(case.frames):
            assert (footage.frame(index).image == plain.frame(index).image).all()
            assert (footage.frame(index).labels == plain.frame(index).labels).all()
        assert footage.names[1] == "liver"
    assert not list((tmp_path / "made").glob("*.part"))
