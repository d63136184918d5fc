"""The recognition benchmark: each task with each seed is trained, scored on its test part and kept in a file."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trocar.formats.whole_file import whole_file, write_run_record
from trocar.metrics.recognition import clip_scores
from trocar.model.video_encoder import VideoEncoder, VideoEncoderConfig, make_video_encoder, open_video_encoder
from trocar.model.video_encoder_names import find_video_encoder
from trocar.recognition.features import FeatureCache
from trocar.recognition.fine_tune import clip_probabilities, fine_tune
from trocar.recognition.heads import HeadConfig, make_head
from trocar.recognition.probe import Labelled, probabilities, train_head
from trocar.recognition.recipe import RecognitionRecipe
from trocar.recognition.recognizer import Question, Recognizer, weights_digest
from trocar.recognition.tables import summary
from trocar.recognition.tasks import Task, open_task
from trocar.settings import to_toml

CELLS, RECOGNIZERS, FEATURES = "cells", "recognizers", "features"
Report = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Places:
    """Where a run's files lie.

    Args:
        out: for figures, recognizers and, in `features/`, tokens of frozen encoders.
        data: the folder of all data sets; left out, the one that TROCAR_DATA names.
        device: that computes.
    """

    out: Path
    data: Path | None = None
    device: str = "cpu"


def run_recognition(recipe: RecognitionRecipe, places: Places, report: Report = lambda *said: None) -> dict[str, Any]:
    """Train and score, and return what is also in results.json.

    What is done is in `cells/`, one file a task and seed; a run that is started again goes on after the last of them.

    Raises:
        FileNotFoundError, ValueError: an encoder, a set or a recipe that cannot be used.
    """
    places.out.mkdir(parents=True, exist_ok=True)
    with whole_file(places.out / "recipe.toml") as temporary:
        temporary.write_text(to_toml(recipe), encoding="utf-8")
    cells = []
    for seed in recipe.seeds:
        encoder = _encoder(recipe, seed).to(places.device)
        digest = weights_digest(encoder)
        shape = (encoder.config.frames, encoder.config.side)
        for name in recipe.task_names():
            path = places.out / CELLS / f"{name.replace('/', '-')}-{seed}.json"
            asked = recipe.digest([name, str(seed), digest])
            found = _finished(path, asked)
            if found is None:
                task = open_task(name, shape, recipe.rendered, places.data)
                kept = {"digest": asked, "encoder": digest}
                found = kept | _cell(recipe, places, task, encoder, seed, report)
                write_run_record(path, found)
                if recipe.method == "full":  # which has changed the encoder
                    encoder = _encoder(recipe, seed).to(places.device)
            cells.append(found)
    results = {
        "recipe": json.loads(json.dumps(asdict(recipe))),
        "machine": {"system": platform.platform(), "torch": torch.__version__, "threads": torch.get_num_threads()},
        "summary": summary(cells),
        "cells": cells,
    }
    write_run_record(places.out / "results.json", results)
    return results


def read_results(path: Path) -> dict[str, Any]:
    """What a run wrote, from its folder or its results.json.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is something else.
    """
    file = path / "results.json" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"{file} is missing: run `trocar bench recognition` into this folder first")
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        results["cells"][0]["predictions"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(
            f"{file} holds no results of recognition: give a folder of `trocar bench recognition`"
        ) from error
    return results


def _encoder(recipe: RecognitionRecipe, seed: int) -> VideoEncoder:
    if recipe.encoder:
        path = Path(recipe.encoder)
        return open_video_encoder(path if path.exists() else find_video_encoder(recipe.encoder))
    return fresh_encoder(recipe.fresh, seed)


def fresh_encoder(config: VideoEncoderConfig, seed: int) -> VideoEncoder:
    """An encoder to train from scratch, its weights drawn by a seed as pretraining draws its first ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_video_encoder(config).eval()


def _finished(path: Path, digest: str) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if found["digest"] != digest:
        raise ValueError(f"{path} is of another recipe or encoder: give another output folder, or remove it")
    return found


def _cell(
    recipe: RecognitionRecipe, places: Places, task: Task, encoder: VideoEncoder, seed: int, report: Report
) -> dict[str, Any]:
    """Train and score one task with one seed; the recognizer is written too."""
    trained = _full if recipe.method == "full" else _probe
    recognizer, chosen, found = trained(recipe, places, task, encoder, seed, report)
    labels, predicted = task.labels["test"], found.argmax(1)
    counted = {part: len(listed) for part, listed in task.labels.items()}
    path = places.out / RECOGNIZERS / f"{task.name.replace('/', '-')}-{seed}.safetensors"
    recognizer.save(path, {"task": task.name, "seed": str(seed), "method": recipe.method, "clips": task.source})
    return {
        "task": task.name,
        "domain": task.domain,
        "seed": seed,
        "clips": counted,
        "classes": list(task.classes),
        "split": task.source,
        "chosen": dict(chosen),
        "scores": asdict(clip_scores(predicted, labels)),
        "recognizer": path.relative_to(places.out).as_posix(),
        "labels": labels.tolist(),
        "predictions": predicted.tolist(),
    }


Outcome = tuple[Recognizer, Mapping[str, Any], NDArray[np.float64]]


def _probe(
    recipe: RecognitionRecipe, places: Places, task: Task, encoder: VideoEncoder, seed: int, report: Report
) -> Outcome:
    head_config = _head_config(recipe, encoder, task.classes)
    mean = recipe.method == "linear"

    def labelled(part: str, views: int) -> Labelled:
        cache = FeatureCache(places.out / FEATURES, encoder, recipe.stride, views, mean)
        return Labelled(cache.tokens(task, part, report=report), task.labels[part])

    training, validation = labelled("train", recipe.train_views), labelled("validation", recipe.test_views)
    trained = train_head(head_config, training, validation, recipe.probe, seed, places.device)
    found = probabilities(trained.head, labelled("test", recipe.test_views).tokens)
    recognizer = _recognizer(recipe, task, encoder, trained.head, head_config)
    return recognizer, {**trained.chosen, "tried": list(trained.tried)}, found


def _full(
    recipe: RecognitionRecipe, places: Places, task: Task, encoder: VideoEncoder, seed: int, report: Report
) -> Outcome:
    head_config = _head_config(recipe, encoder, task.classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = make_head(head_config).to(places.device)
    recognizer = _recognizer(recipe, task, encoder, head, head_config)
    recognizer.requires_grad_(True)
    folder = places.out / "unfinished" / f"{task.name.replace('/', '-')}-{seed}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        chosen = fine_tune(recognizer, task, recipe.full, seed, folder, report)
    return recognizer, chosen, clip_probabilities(recognizer, task, "test", recipe.test_views)


def _head_config(recipe: RecognitionRecipe, encoder: VideoEncoder, classes: Sequence[str]) -> HeadConfig:
    kind: Literal["linear", "attentive"] = "linear" if recipe.method == "linear" else "attentive"
    return HeadConfig(kind, encoder.config.width, len(classes), recipe.heads)


def _recognizer(
    recipe: RecognitionRecipe, task: Task, encoder: VideoEncoder, head: nn.Module, config: HeadConfig
) -> Recognizer:
    return Recognizer(encoder, head, config, Question(task.name, task.domain, task.classes, recipe.stride))
