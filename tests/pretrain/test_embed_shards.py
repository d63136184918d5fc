"""Embeddings: shards that any number of processes write, and that refuse what does not belong to them."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from made_corpus import small_corpus

from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights
from trocar.model.video_encoder import VideoEncoderConfig, make_video_encoder, save_video_encoder
from trocar.pretrain.corpus import Corpus, read_corpus
from trocar.pretrain.embed import (
    EMBED_FIRST,
    FOLDER,
    Embedding,
    embed,
    is_done,
    open_embedder,
    place_among_processes,
    read_embeddings,
    shards_of,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained network."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    save_weights(Network(tiny_random()), path, {})
    return path


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Six videos of two clips."""
    return small_corpus(tmp_path_factory.mktemp("made"))


@pytest.fixture
def corpus(scanned: Corpus, tmp_path: Path) -> Corpus:
    """The same in a folder of its own, without embeddings."""
    shutil.copytree(scanned.folder, tmp_path / "corpus")
    return read_corpus(tmp_path / "corpus")


def settings(weights: Path) -> Embedding:
    return Embedding(str(weights), frames=2, shard=5, batch=2, device="cpu")


def digests(corpus: Corpus) -> dict[str, str]:
    """What every shard's bytes hash to."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted((corpus.folder / FOLDER).iterdir())
    }


def test_vectors_have_length_one_and_are_those_of_the_clips_frames(corpus: Corpus, weights: Path) -> None:
    assert embed(corpus, settings(weights), (0, 1)) == 3  # 12 clips in shards of 5, 5 and 2
    found = read_embeddings(corpus)
    assert found.clips == tuple(clip.clip for clip in corpus.usable())
    assert found.vectors.shape == (12, 64)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    other = replace(settings(weights), shard=100, batch=7)
    shutil.rmtree(corpus.folder / FOLDER)
    embed(corpus, other, (0, 1))
    assert np.allclose(read_embeddings(corpus).vectors, found.vectors, atol=1e-5)


def test_processes_share_the_shards_and_write_what_one_would(corpus: Corpus, weights: Path) -> None:
    embed(corpus, settings(weights), (0, 1))
    alone = digests(corpus)
    shutil.rmtree(corpus.folder / FOLDER)
    assert [embed(corpus, settings(weights), (rank, 2)) for rank in (1, 0)] == [1, 2]
    assert digests(corpus) == alone


def test_what_is_there_is_passed_over_and_what_is_missing_is_made_again(corpus: Corpus, weights: Path) -> None:
    embed(corpus, settings(weights), (0, 1))
    before = digests(corpus)
    lost = corpus.folder / FOLDER / "shard-00001-of-00003.parquet"
    lost.unlink()
    (lost.parent / f".part-0badcafe-{lost.name}").write_bytes(b"half a shard")  # what a killed process leaves
    with pytest.raises(FileNotFoundError, match=r"2 shards of 3: run `trocar curate embed"):
        read_embeddings(corpus)
    assert embed(corpus, settings(weights), (0, 1)) == 1
    assert embed(corpus, settings(weights), (0, 1)) == 0
    assert digests(corpus) == before


def test_other_weights_settings_or_manifests_are_refused(corpus: Corpus, weights: Path, tmp_path: Path) -> None:
    embed(corpus, settings(weights), (0, 1))
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    save_weights(Network(tiny_random()), other, {})
    with pytest.raises(ValueError, match="was made with weights"):
        embed(corpus, settings(other), (0, 1))
    with pytest.raises(ValueError, match="was made with frames '2', not '4'"):
        embed(corpus, replace(settings(weights), frames=4), (0, 1))
    with pytest.raises(ValueError, match="another number of shards"):
        embed(corpus, replace(settings(weights), shard=2), (0, 1))
    fewer = replace(corpus, clips=(replace(corpus.clips[0], excluded="list: x"), *corpus.clips[1:]))
    with pytest.raises(ValueError, match="made from another manifest"):
        read_embeddings(fewer)
    shard = corpus.folder / FOLDER / "shard-00000-of-00003.parquet"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged or no Parquet file"):
        is_done(shards_of(corpus, settings(weights), "x")[0])


def test_a_clip_that_cannot_be_read_is_left_out(corpus: Corpus, weights: Path) -> None:
    video = corpus.videos[0]
    copy = corpus.folder / "videos" / f"{video.video}.mp4"
    copy.parent.mkdir(parents=True)
    copy.write_bytes(b"a broken copy")
    embed(corpus, settings(weights), (0, 1))
    found = read_embeddings(corpus)
    assert set(found.clips) == {clip.clip for clip in corpus.clips if clip.video != video.video}


def test_a_folder_of_transformers_and_a_video_encoder_embed_as_well(corpus: Corpus, tmp_path: Path) -> None:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    torch.manual_seed(0)
    sizes = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
    DINOv3ViTModel(DINOv3ViTConfig(**sizes, image_size=32, patch_size=8, num_register_tokens=4)).save_pretrained(
        tmp_path / "dinov3"
    )
    embed(corpus, settings(tmp_path / "dinov3"), (0, 1))
    assert read_embeddings(corpus).vectors.shape == (12, 48)
    shutil.rmtree(corpus.folder / FOLDER)
    video = make_video_encoder(VideoEncoderConfig("videomae", 48, 2, 4, 32, 4, 8, 2))
    save_video_encoder(video, tmp_path / "mae.safetensors", {})
    with pytest.raises(ValueError, match=r"takes clips of 4 frames: set embedding\.frames"):
        embed(corpus, settings(tmp_path / "mae.safetensors"), (0, 1))
    embed(corpus, replace(settings(tmp_path / "mae.safetensors"), frames=4), (0, 1))
    assert read_embeddings(corpus).vectors.shape == (12, 48)


def test_no_embeddings_no_clips_and_no_encoder_are_said(corpus: Corpus, weights: Path) -> None:
    with pytest.raises(FileNotFoundError, match="trocar curate embed"):
        read_embeddings(corpus)
    assert "trocar curate embed" in EMBED_FIRST
    with pytest.raises(ValueError, match="no usable clips of clinical"):
        embed(corpus, replace(settings(weights), pools=("clinical",)), (0, 1))
    with pytest.raises(FileNotFoundError, match="neither a model"):
        open_embedder(Embedding("dinov3"))


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8)),
        ({"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "10"}, (2, 4)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (1, 2)),
    ],
)
def test_the_place_among_processes(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert place_among_processes(environment) == expected


def test_a_place_outside_the_processes_is_refused() -> None:
    with pytest.raises(ValueError, match="RANK=8 is no place among WORLD_SIZE=8"):
        place_among_processes({"RANK": "8", "WORLD_SIZE": "8"})


def _command(corpus: Corpus, weights: Path) -> list[str]:
    where = ["--embedding.encoder", str(weights), "--embedding.frames", "2", "--embedding.shard", "1"]
    return [sys.executable, "-m", "trocar", "curate", "embed", str(corpus.folder), *where, "--embedding.device", "cpu"]


@pytest.mark.slow
def test_killed_while_it_writes_no_shard_is_lost_or_doubled(corpus: Corpus, weights: Path) -> None:
    # A process too, since the last bits depend on the number of threads, which earlier tests of this one may have set.
    subprocess.run(_command(corpus, weights), check=True)
    expected = digests(corpus)
    shutil.rmtree(corpus.folder / FOLDER)
    for _ in range(3):
        process = subprocess.Popen(_command(corpus, weights), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        have = len(list((corpus.folder / FOLDER).glob("shard-*")))
        while process.poll() is None and len(list((corpus.folder / FOLDER).glob("shard-*"))) < have + 2:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    ranks = [
        subprocess.Popen(_command(corpus, weights), env={**os.environ, "RANK": str(rank), "WORLD_SIZE": "2"})
        for rank in range(2)
    ]
    assert [process.wait() for process in ranks] == [0, 0]
    assert digests(corpus) == expected


@pytest.mark.slow
def test_ray_writes_the_same_shards(corpus: Corpus, weights: Path) -> None:
    pytest.importorskip("ray")
    from trocar.pretrain.embed_ray import embed_on_ray

    embed(corpus, settings(weights), (0, 1))
    plain = digests(corpus)
    shutil.rmtree(corpus.folder / FOLDER)
    assert embed_on_ray(corpus, settings(weights), embedders=1) == 3
    assert digests(corpus) == plain
    (corpus.folder / FOLDER / "shard-00002-of-00003.parquet").unlink()
    assert embed_on_ray(corpus, settings(weights), embedders=1) == 1
    assert digests(corpus) == plain
