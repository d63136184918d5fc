"""The benchmark on a tiny encoder: caches, resuming, files, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_recognition import CONFIG, Clips, tiny_encoder, tiny_recognizer

from trocar.datasets.fixture import save_video
from trocar.datasets.procedure_scenes import ProcedureClip, procedure_clip
from trocar.datasets.recognition_clip import RecognitionClip
from trocar.datasets.recognition_sets import recognition_set
from trocar.recognition import tasks
from trocar.recognition.features import FeatureCache
from trocar.recognition.fine_tune import FullTraining, fine_tune, parameter_groups
from trocar.recognition.probe import ProbeTraining
from trocar.recognition.recipe import RecognitionRecipe
from trocar.recognition.recognizer import open_recognizer, weights_digest
from trocar.recognition.run import Places, fresh_encoder, read_results, run_recognition
from trocar.recognition.tables import difference
from trocar.recognition.tasks import FIRST_SEED, RenderedClips, clip_task, open_task, task_names
from trocar.recognition.views import as_clips, frame_indices

TASK = "rendered/endoscopy/finding"
RECIPE = RecognitionRecipe(
    (TASK,),
    method="linear",
    seeds=(0, 1),
    stride=1,
    train_views=1,
    rendered=RenderedClips(16, 8, 12),
    fresh=CONFIG,
    probe=ProbeTraining(epochs=2, batch=8, learning_rates=(1e-3,), weight_decays=(0.01,)),
    full=FullTraining(epochs=2, batch=4, save_seconds=0.0),
)


def test_the_cache_holds_what_the_encoder_says_and_asks_it_once(tmp_path: Path) -> None:
    clips, encoder = Clips({"train": 6, "validation": 2, "test": 2}), tiny_encoder()
    task = clips.task()
    found = FeatureCache(tmp_path, encoder, 1, 1, mean=False).tokens(task, "train", batch=4)
    assert found.shape == (6, 1, CONFIG.tokens, CONFIG.width)
    with pytest.raises(ValueError, match="read-only"):
        found[0] = 0
    pixels = task.pixels("train", 5, lambda length: frame_indices(length, 4, 1))
    with torch.inference_mode():
        tokens = encoder(as_clips(pixels))
    np.testing.assert_allclose(found[5, 0], tokens[0].half().numpy(), atol=2e-2)
    clips.asked.clear()
    again = FeatureCache(tmp_path, encoder, 1, 1, mean=False).tokens(task, "train")
    assert clips.asked == [("train", 0)], "the fingerprint looks at the first clip, and nothing is encoded"
    np.testing.assert_array_equal(again, found)
    means = FeatureCache(tmp_path, encoder, 1, 1, mean=True).tokens(task, "train")
    np.testing.assert_allclose(means[:, 0, 0], found[:, 0].astype(np.float32).mean(1), atol=2e-2)
    FeatureCache(tmp_path, tiny_encoder(1), 1, 1, mean=False).tokens(task, "train")
    assert len(list(tmp_path.glob("*.done.npy"))) == 3, "other weights, other file"


def test_a_stopped_cache_goes_on_with_what_is_missing(tmp_path: Path) -> None:
    clips, encoder = Clips({"train": 9, "validation": 2, "test": 2}), tiny_encoder()

    def stopping(what: str, done: int, total: int) -> None:
        if done >= 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FeatureCache(tmp_path, encoder, 1, 1, mean=True).tokens(clips.task(), "train", batch=3, report=stopping)
    clips.asked.clear()
    found = FeatureCache(tmp_path, encoder, 1, 1, mean=True).tokens(clips.task(), "train", batch=3)
    assert clips.asked == [("train", 0), *(("train", index) for index in (6, 7, 8))]
    whole = FeatureCache(tmp_path / "other", encoder, 1, 1, mean=True).tokens(clips.task(), "train", batch=3)
    np.testing.assert_array_equal(found, whole)


def test_fine_tuning_that_was_stopped_ends_with_the_same_weights(tmp_path: Path) -> None:
    settings = FullTraining(epochs=3, batch=4, save_seconds=0.0)
    counts = {"train": 10, "validation": 4, "test": 2}

    def trained(folder: Path, report: Callable[[str, int, int], object]) -> tuple[str, dict[str, float]]:
        recognizer = tiny_recognizer(seed=5)
        chosen = fine_tune(recognizer, Clips(counts).task(), settings, 1, folder, report)
        return weights_digest(recognizer), dict(chosen)

    def stopping(what: str, done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    whole = trained(tmp_path / "whole", lambda *said: None)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", stopping)
    assert (tmp_path / "stopped/last.pt").is_file()
    steps: list[int] = []
    assert trained(tmp_path / "stopped", lambda what, done, total: steps.append(done)) == whole
    assert steps == [5, 6, 7, 8]
    assert whole[0] != weights_digest(tiny_recognizer(seed=5))
    assert not (tmp_path / "stopped/last.pt").exists(), "nothing is left to take up"


def test_layer_decay_by_hand() -> None:
    """Two blocks: the head and the last norm have the whole rate, each layer below half of the one above it."""
    recognizer = tiny_recognizer()
    groups = parameter_groups(recognizer, FullTraining(layer_decay=0.5, weight_decay=0.1))
    scales = {id(one): (group["scale"], group["weight_decay"]) for group in groups for one in group["params"]}  # type: ignore[attr-defined]
    found = {name: scales[id(one)] for name, one in recognizer.named_parameters()}
    assert found["head.out.weight"] == (1.0, 0.1)
    assert found["encoder.body.layernorm.weight"] == (1.0, 0.0)
    assert {scale for name, (scale, _) in found.items() if ".layer.1." in name} == {0.5}
    assert {scale for name, (scale, _) in found.items() if ".layer.0." in name} == {0.25}
    assert {scale for name, (scale, _) in found.items() if "embeddings" in name} == {0.125}


def test_a_run_is_scored_kept_and_not_done_twice(tmp_path: Path) -> None:
    results = run_recognition(RECIPE, Places(tmp_path))
    assert [(cell["task"], cell["seed"]) for cell in results["cells"]] == [(TASK, 0), (TASK, 1)]
    task = open_task(TASK, (CONFIG.frames, CONFIG.side), RECIPE.rendered)
    for cell in results["cells"]:
        assert cell["labels"] == task.labels["test"].tolist()
        right = np.mean(np.array(cell["labels"]) == np.array(cell["predictions"]))
        assert cell["scores"]["top1"] == right
        recognizer = open_recognizer(tmp_path / cell["recognizer"])
        pixels = np.stack([task.pixels("test", n, lambda length: frame_indices(length, 4, 1))[0] for n in range(12)])
        with torch.inference_mode():
            assert recognizer(as_clips(pixels)).argmax(1).tolist() == cell["predictions"]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert read_results(tmp_path) == json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    run_recognition(RECIPE, Places(tmp_path))
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").iterdir()}
    assert difference(results, results, draws=20)["macro"] == {"difference": 0, "low": 0, "high": 0}
    other = RecognitionRecipe(**{**vars(RECIPE), "stride": 2})
    with pytest.raises(ValueError, match="of another recipe or encoder: give another output folder"):
        run_recognition(other, Places(tmp_path))


def test_a_whole_recognizer_is_trained_too(tmp_path: Path) -> None:
    recipe = RecognitionRecipe(**{**vars(RECIPE), "method": "full", "seeds": (0,)})
    (cell,) = run_recognition(recipe, Places(tmp_path))["cells"]
    assert cell["chosen"]["epoch"] in (1, 2)
    assert open_recognizer(tmp_path / cell["recognizer"]).question.task == TASK


def test_clips_of_a_video_on_disk(tmp_path: Path) -> None:
    levels = np.repeat(np.arange(8, dtype=np.uint8) * 30, 5)
    save_video(tmp_path / "a.mp4", np.broadcast_to(levels[:, None, None, None], (40, 64, 96, 3)).copy(), 25)
    clips = [RecognitionClip(tmp_path / "a.mp4", 10, stop, 1, "a", "a") for stop in (20, None, 41)]
    task = clip_task(recognition_set("cholec80"), {"train": clips, "validation": clips, "test": clips}, 32)
    seen = task.pixels("train", 0, lambda length: frame_indices(length, 2, 9))
    assert seen.shape == (1, 2, 32, 32, 3)
    assert [int(frame.mean().round(-1)) for frame in seen[0]] == [60, 90], "frames 10 and 19"
    assert int(task.pixels("train", 1, lambda length: np.array([[length - 1]])).mean().round(-1)) == 210
    with pytest.raises(ValueError, match="has 40 frames and a clip of it ends at 41"):
        task.pixels("train", 2, lambda length: np.array([[0]]))


def test_rendered_clips_are_none_that_pretraining_draws() -> None:
    """Pretraining draws seeds below 2 ** 31."""
    assert FIRST_SEED > 2**31
    task = open_task(TASK, (CONFIG.frames, CONFIG.side), RenderedClips(4, 4, 4))
    keys = [key for part in task.keys.values() for key in part]
    assert len(set(keys)) == 12
    large = procedure_clip(FIRST_SEED + 1, "endoscopy", frames=CONFIG.frames, side=64)
    assert task.labels["train"][1] == large.labels["finding"]


def test_rendered_clips_are_rendered_once_while_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[int] = []

    def render(seed: int, domain: str, frames: int, side: int) -> ProcedureClip:
        rendered.append(seed)
        return procedure_clip(seed, domain, frames=frames, side=side)

    monkeypatch.setattr(tasks, "procedure_clip", render)
    monkeypatch.setattr(tasks, "_RENDERED", tasks._Rendered())
    monkeypatch.setattr(tasks, "KEPT_BYTES", 2 * 2 * 32 * 32 * 3)  # two clips
    task = open_task(TASK, (2, 32), RenderedClips(3, 1, 1))
    rendered.clear()  # of the labels
    for index in (0, 1, 0, 2, 0, 1):
        seen = task.pixels("train", index, lambda length: np.arange(length)[None])
        expected = procedure_clip(FIRST_SEED + index, "endoscopy", frames=2, side=32).images
        np.testing.assert_array_equal(seen[0], expected)
    assert [seed - FIRST_SEED for seed in rendered] == [0, 1, 2, 1], "the third clip drove out the one not asked for"


def test_a_fresh_encoder_follows_from_its_seed_alone() -> None:
    torch.manual_seed(1)
    first = weights_digest(fresh_encoder(CONFIG, 0))
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.rand(1) == drawn, "nobody else's draws are touched"
    assert weights_digest(fresh_encoder(CONFIG, 0)) == first != weights_digest(fresh_encoder(CONFIG, 1))
    weight = fresh_encoder(CONFIG, 0).blocks[0].get_submodule("output.dense").weight
    bound = (6 / sum(weight.shape)) ** 0.5
    assert 0.95 * bound < float(weight.detach().abs().max()) <= bound, "Xavier's uniform draws"


def test_names_of_tasks() -> None:
    assert task_names("cholec80") == ["cholec80"]
    assert len(task_names("rendered")) == 8
    assert task_names("rendered/robotic") == ["rendered/robotic/gesture", "rendered/robotic/instrument"]
    with pytest.raises(ValueError, match="there is no recognition task 'rendered/dental'"):
        RecognitionRecipe(("rendered/dental",))


def test_files_that_are_something_else(tmp_path: Path) -> None:
    encoder = tmp_path / "results.json"
    encoder.write_text("{}", encoding="utf-8")
    with pytest.raises(
        ValueError, match="holds no results of recognition: give a folder of `trocar bench recognition`"
    ):
        read_results(tmp_path)
    with pytest.raises(FileNotFoundError, match="into this folder first"):
        read_results(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError):
        open_recognizer(tmp_path / "nothing.safetensors")
