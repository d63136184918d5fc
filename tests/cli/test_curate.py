"""`trocar curate`: a rendered corpus from videos to a report, as a user would do it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.cli import main
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.pretrain.corpus import read_corpus
from trocar.pretrain.curation import Curation
from trocar.pretrain.sample import read_sample
from trocar.settings import read_settings

RECIPE = """
[rendered]
videos = 24
frames = 16
fps = 4
side = 48
[scan]
clip_s = 2.0
min_clip_s = 1.0
[scan.exclusion]
min_side = 0
min_fps = 0.0
min_warm = 0.0
[embedding]
frames = 1
[cluster]
levels = [12, 4]
rounds = 1
[sampling]
share = 0.25
alike = 1.0
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every stage has run."""
    folder = tmp_path_factory.mktemp("curated")
    torch.manual_seed(0)
    save_weights(Network(tiny_random()), folder / "tiny.safetensors", {})
    (folder / "recipe.toml").write_text(RECIPE + "[transcoding]\nshort_side = 32\n")
    recipe = ["--recipe", str(folder / "recipe.toml"), "--embedding.encoder", str(folder / "tiny.safetensors")]
    assert main(["curate", "render", str(folder / "videos"), *recipe]) == 0
    assert main(["curate", "all", str(folder / "videos"), "--out", str(folder / "corpus"), *recipe]) == 0
    return folder


def test_all_stages_leave_a_sample_and_a_page(done: Path) -> None:
    corpus = read_corpus(done / "corpus")
    clips = read_sample(corpus, {})
    assert len(corpus.clips) == 48
    assert len(clips) == 12
    figures = json.loads((done / "corpus/report/balance.json").read_text())
    assert figures["clips"] == 48
    assert sum(row["after"] for row in figures["top"]) == figures["chosen"] == 12
    assert sum(row["clips"] for row in figures["domains"]) == 48
    assert {row["name"]: row["chosen"] for row in figures["domains"] if row["chosen"]} == _counted(clips)
    page = (done / "corpus/report/index.html").read_text()
    for row in figures["top"]:
        picture = np.asarray(Image.open(done / f"corpus/report/cluster-{row['cluster']:04d}.png"))
        assert picture.shape == (200, 800, 3)
        assert f"cluster-{row['cluster']:04d}.png" in page


def _counted(clips: list[object]) -> dict[str, int]:
    domains = [clip.domain for clip in clips]  # type: ignore[attr-defined]
    return {domain: domains.count(domain) for domain in set(domains)}


def test_the_resolved_recipe_is_kept_beside_the_results(done: Path) -> None:
    kept = read_settings(Curation, done / "corpus/curation.toml")
    assert kept.cluster.levels == (12, 4)
    assert kept.embedding.encoder.endswith("tiny.safetensors")


def test_stages_print_json_and_transcode_copies(done: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ["--recipe", str(done / "recipe.toml")]
    assert main(["curate", "transcode", str(done / "corpus"), *recipe, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"copies": 24, "failed": 0}
    assert main(["curate", "cluster", str(done / "corpus"), *recipe, "--cluster.levels", "6,3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"clips": 48, "level 1": 6, "level 2": 3}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scan", "none", "--out", "x"], "none is not a folder: give the folders that hold the videos"),
        (["embed", "none"], "run `trocar curate scan ROOTS --out DIR` first"),
        (["sample", "none"], "run `trocar curate scan ROOTS --out DIR` first"),
    ],
)
def test_missing_stages_are_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["curate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_shipped_recipe_reads() -> None:
    for path in (Path(__file__).parents[2] / "recipes").glob("curate*.toml"):
        assert isinstance(read_settings(Curation, path), Curation)
