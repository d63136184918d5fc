"""From videos to an encoder on the command line: rendered, curated, balanced, and pretrained on what was chosen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trocar.cli import main
from trocar.model.video_encoder import open_video_encoder

ROOT = Path(__file__).parents[2]
VIDEOS = ["--rendered.videos", "16", "--rendered.frames", "16"]
CURATED = ["--cluster.levels", "6,3", "--cluster.rounds", "1", "--sampling.share", "0.5", "--embedding.shard", "16"]


@pytest.mark.slow
def test_what_was_curated_is_pretrained_on_and_test_videos_are_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    videos, corpus, out = (str(tmp_path / name) for name in ("videos", "corpus", "out"))
    settings = ["--recipe", str(ROOT / "recipes/curate-rendered.toml")]
    assert main(["curate", "render", videos, *settings, *VIDEOS]) == 0
    assert main(["curate", "all", videos, "--out", corpus, *settings, *CURATED]) == 0

    text = (ROOT / "recipes/surgrec-mae-smoke.toml").read_text(encoding="utf-8")
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text.replace('clips = "rendered"', f'clips = "{corpus}"\nsampled = true'), encoding="utf-8")
    small = ["--steps", "2", "--batch", "2", "--encoder.depth", "1", "--encoder.side", "32", "--encoder.frames", "4"]
    assert main(["pretrain", str(recipe), "--out", out, *small]) == 0
    assert open_video_encoder(tmp_path / "out/encoder.safetensors").config.frames == 4
    lines = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 2

    names = [path.relative_to(videos).with_suffix("").as_posix() for path in Path(videos).rglob("*.mp4")]
    test = tmp_path / "test.toml"
    test.write_text(f"rendered-0 = {json.dumps(names)}", encoding="utf-8")
    capsys.readouterr()
    assert main(["pretrain", str(recipe), "--out", out, "--test-videos", str(test), *small]) == 2
    assert "in a benchmark's test split" in capsys.readouterr().err
