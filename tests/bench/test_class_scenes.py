"""Class models on scenes: figures equal the metrics', thresholds by hand, intervals that pair seeds and clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.bench.class_scenes import ClipAnswers, ask_clip, calibrate_on, compared, false_presence, figures
from trocar.classprompt import ClassModel, ClassPromptConfig
from trocar.classprompt.embeddings import EmbeddingCache
from trocar.datasets.lookalike_scenes import LOOKALIKES, class_map, lookalike_scene
from trocar.metrics import endovis
from trocar.model import Network, tiny_random
from trocar.track.features import input_of


def maps(seed: int, clips: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.choice(4, (clips, 2, 6, 8), p=[0.7, 0.1, 0.1, 0.1]).astype(np.uint8)


def counts_of(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    counted = [endovis.count(one, true, 3) for one, true in zip(found, truth, strict=True)]
    return np.stack([np.stack([one.shared, one.in_pred, one.in_gt], axis=1) for one in counted])


def answers(there: list[list[int]], shown: list[list[int]]) -> ClipAnswers:
    """Frames of 1 x C pixels: pixel k is of class k + 1 where it shows, and its mask always finds it."""
    classes = len(there[0])
    truth = np.array([[[k + 1 if k in frame else 0 for k in range(classes)]] for frame in shown], np.uint8)
    masks = np.repeat(np.eye(classes, dtype=bool)[None, :, None, :], len(shown), axis=0)
    believed = masks & np.array(there, bool)[..., None, None]
    return ClipAnswers(masks, believed, np.ones((len(shown), classes)), truth)


def test_figures_of_counts_are_those_of_the_metrics() -> None:
    truth, found = maps(0), maps(1)
    truth[1, 0] = 0  # a frame that shows nothing
    own = figures(counts_of(found, truth))
    counts = endovis.count(found.reshape(-1, 6, 8), truth.reshape(-1, 6, 8), 3)
    assert own["Challenge IoU"] == pytest.approx(endovis.challenge_iou(counts).value)
    assert own["IoU"] == pytest.approx(endovis.iou(counts).value)
    assert own["mcIoU"] == pytest.approx(endovis.mean_class_iou(counts).value)


def test_what_the_model_says_is_there_is_painted_and_false_finds_are_counted() -> None:
    made = answers([[1, 1], [0, 1], [0, 0]], [[0], [1], [1]])
    counts = made.decided
    assert counts[:, 1].tolist() == [[1, 1], [0, 1], [0, 0]]
    assert false_presence(counts[None]) == pytest.approx(1 / 3), "one of three absent classes of a frame"
    assert figures(counts[None])["Challenge IoU"] == pytest.approx(2 / 3)
    assert figures(counts[None])["IoU"] == pytest.approx((0.5 + 1 + 0) / 3)


def test_all_classes_given_and_shown_leave_no_false_find() -> None:
    made = answers([[0, 0], [0, 0]], [[0], [1]])
    counts = made.told
    assert figures(counts[None]) == {"Challenge IoU": 1.0, "IoU": 1.0, "mcIoU": 1.0}
    assert false_presence(counts[None]) == 0.0


def test_a_run_differs_from_itself_by_nothing_and_from_a_worse_one_by_what_the_figures_say() -> None:
    truth = maps(0, 6)
    runs = [counts_of(maps(seed, 6), truth) for seed in (1, 2)]
    perfect = [counts_of(truth, truth)] * 2
    same = compared(runs, runs, "mcIoU", draws=50)
    assert (same.mean, same.low, same.high) == (0.0, 0.0, 0.0)
    gain = compared(perfect, runs, "Challenge IoU", draws=50)
    assert gain.mean == pytest.approx(1 - np.mean([figures(one)["Challenge IoU"] for one in runs]))
    assert 0 < gain.low <= gain.mean <= gain.high < 1


def test_a_clip_is_asked_for_every_class(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Network(tiny_random()).eval()
    model = ClassModel(ClassPromptConfig(LOOKALIKES, 64, 16, 64), network).eval()
    cache = EmbeddingCache(tmp_path / "cache", network, 64, input_of(network.config).pixels, "stretched 64")
    clip = lookalike_scene(3, 2, 64)
    found = ask_clip(model, network, clip, cache)
    assert found.masks.shape == (2, 7, 64, 64)
    assert np.array_equal(found.truth, class_map(clip))
    assert found.quality.shape == (2, 7)
    assert not found.believed.any(), "nobody calibrated it"
    calibrate_on(model, network, [clip, lookalike_scene(5, 2, 64)], cache)
    assert len(model.config.presence) == 7
    assert np.array_equal(ask_clip(model, network, clip, cache).masks, found.masks)
