"""The experiment's script runs from beginning to end, very small, and does nothing twice; its clips are the corpus'."""

from __future__ import annotations

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from trocar.pretrain.clip_frames import frames_at
from trocar.pretrain.corpus import read_corpus
from trocar.pretrain.footage import FilmedClips
from trocar.pretrain.recipe import FrameSampling
from trocar.pretrain.rendered_corpus import RenderedCorpus, render_corpus
from trocar.pretrain.sample import read_sample
from trocar.pretrain.scan import Scan, scan
from trocar.settings import read_settings

ROOT = Path(__file__).parents[2]
CURATION = """
[rendered]
videos = 8
frames = 16
fps = 8
[scan]
clip_s = 1.0
min_clip_s = 0.5
[scan.exclusion]
min_warm = 0.0
min_duration_s = 1.0
[embedding]
encoder = "nano"
frames = 1
[cluster]
levels = [4, 2]
rounds = 1
[sampling]
share = 0.5
alike = 1.0
"""


def toy(text: str) -> str:
    """The reported recipe with its numbers made small; nothing else of it changes."""
    small = {
        "curation": '"toy.toml"',
        "tasks": '["rendered/robotic/gesture", "rendered/cataract/instrument"]',
        **{"corpus_seed": "5", "seeds": "[3]", "steps": "2", "batch": "4", "epochs": "1"},
        **{"width": "24", "depth": "1", "heads": "2", "side": "32", "frames": "4"},
        **{"train": "4", "validation": "2", "test": "3"},
        **{"warmup_steps": "1", "log_steps": "1", "watch_steps": "2"},
    }
    lines = []
    for line in text.splitlines():
        name, separator, _ = line.partition(" = ")
        lines.append(f"{name} = {small[name]}" if separator and name in small else line)
    return "\n".join(lines)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("surgrec_experiment", ROOT / "scripts/surgrec_experiment.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[found.name] = module
    found.loader.exec_module(module)
    return module


def test_everything_is_run_and_shown_once(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = tmp_path / "recipe.toml", tmp_path / "out"
    text = (ROOT / "recipes/surgrec-experiment.toml").read_text(encoding="utf-8")
    recipe.write_text(toy(text), encoding="utf-8")
    (tmp_path / "toy.toml").write_text(CURATION, encoding="utf-8")

    def call(*arguments: str) -> str:
        said = ["surgrec_experiment.py", *arguments, "--out", str(out), "--recipe", str(recipe)]
        monkeypatch.setattr(sys, "argv", said)
        script.main()
        return capsys.readouterr().out

    monkeypatch.setattr(script, "difference", partial(script.difference, draws=20))  # intervals are tested elsewhere
    call("corpus")
    call("run", "--part", "0", "--of", "2")
    call("run", "--part", "1", "--of", "2")
    shown = call("table", "--write", str(out / "results.json"))
    found = json.loads((out / "results.json").read_text(encoding="utf-8"))
    arms = [f"{family} {start} {method}" for method in ("probe", "full") for family in ("mae", "jepa")
            for start in ("balanced", "raw", "scratch")]  # fmt: skip
    assert list(found["arms"]) == arms
    assert len(found["differences"]) == 12
    for pair, gain in found["differences"].items():
        (family, one), (other, method) = pair.split(" - ")[0].split(), pair.split(" - ")[1].split()
        means = [found["arms"][f"{family} {start} {method}"]["macro"]["mean"] for start in (one, other)]
        assert gain["macro"]["difference"] == pytest.approx(means[0] - means[1])
        assert f"| {pair} |" in shown
    drawn = found["corpora"]["3"]
    assert drawn["balanced"]["clips"] == drawn["raw"]["clips"] == round(0.5 * drawn["raw"]["of"]) > 1
    assert list(found["pretraining"]) == ["mae-balanced-3", "mae-raw-3", "jepa-balanced-3", "jepa-raw-3"]
    assert all(one["largest_leak"] == 0 for one in found["pretraining"].values())
    for name in ("balanced", "raw"):
        assert len(read_sample(read_corpus(out / "samples" / f"{name}-3"), {})) == drawn[name]["clips"]
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*.*") if file.is_file()}
    call("corpus")
    assert call("run") == ""
    weights = [file for file in times if file.suffix in (".safetensors", ".json")]
    assert len(weights) > 4 * 2
    assert [file for file in weights if file.stat().st_mtime_ns != times[file]] == []


def test_held_clips_are_those_of_the_corpus(script: ModuleType, tmp_path: Path) -> None:
    render_corpus(tmp_path / "videos", RenderedCorpus(videos=2, frames=16, fps=8, seed=4))
    settings = read_settings(Scan, _written(tmp_path / "scan.toml"))
    corpus = scan([tmp_path / "videos"], tmp_path / "corpus", settings)
    filmed = FilmedClips(corpus, corpus.usable(), 4, FrameSampling(by="stride", stride=2))
    held = script.HeldClips(filmed, 32)
    assert len(held) == len(filmed) == 4
    for index in range(4):
        given = held.pictures(index, np.random.default_rng(index))
        clip = filmed.clips[index]
        moments = filmed.moments(clip, np.random.default_rng(index))
        read = frames_at(corpus.file_of(clip), moments)
        for one, frame in zip(given, read, strict=True):
            expected = cv2.resize(frame, (32, 32), interpolation=cv2.INTER_AREA)
            assert np.array_equal(one, expected), f"clip {index} at {moments}"


def _written(path: Path) -> Path:
    path.write_text("clip_s = 1.0\nmin_clip_s = 0.5\n[exclusion]\nmin_warm = 0.0\nmin_duration_s = 1.0\n", "utf-8")
    return path
