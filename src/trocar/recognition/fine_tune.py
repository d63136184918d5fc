"""Training of a whole recognizer, encoder and head, with the epoch chosen on the validation part alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trocar.metrics.recognition import merge_views, top1
from trocar.recognition.probe import rate_share
from trocar.recognition.recognizer import Recognizer
from trocar.recognition.tasks import Task
from trocar.recognition.views import as_clips, frame_indices
from trocar.train.checkpoint import LAST, Checkpoint, read_checkpoint, write_checkpoint
from trocar.train.optimise import load_optimiser, set_rate

Report = Callable[[str, int, int], object]


@dataclass(frozen=True)
class FullTraining:
    """AdamW with layer decay, warm-up and cosine (VideoMAE's fine-tuning; its drop path and augmentation are left out).

    Args:
        epochs: passes over the training clips.
        batch: clips of a step.
        learning_rate: of the head; block i of L of the encoder has layer_decay ** (L - i) of it.
        layer_decay: see there.
        weight_decay: of matrices.
        warmup: share of the steps over which the rate grows.
        clip_norm: largest norm of a step's gradient.
        save_seconds: a checkpoint is written when so much time has passed since the last one.
    """

    epochs: int = 30
    batch: int = 16
    learning_rate: float = 5e-4
    layer_decay: float = 0.75
    weight_decay: float = 0.05
    warmup: float = 0.1
    clip_norm: float = 1.0
    save_seconds: float = 60.0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not 0 <= self.warmup < 1:
            raise ValueError("full: epochs and batch must be 1 or more, and warmup a share below 1")


@dataclass
class _Progress:
    """Where a run stands; `best` is accuracy, loss and epoch of the best weights so far."""

    step: int = 0
    seconds: float = 0.0
    best: tuple[float, float, int] | None = None
    weights: dict[str, Tensor] | None = None


def fine_tune(
    recognizer: Recognizer,
    task: Task,
    settings: FullTraining,
    seed: int,
    folder: Path,
    report: Report = lambda *said: None,
) -> Mapping[str, float]:
    """Train a recognizer in place and leave it with the weights of its best epoch on the validation clips.

    A checkpoint in `folder` is taken up; the outcome is the same as without the stop.

    Returns:
        the epoch that was chosen, its accuracy and its loss on the validation clips.
    """
    count = len(task.labels["train"])
    if not count or not len(task.labels["validation"]):
        raise ValueError(f"{task.name} has no training or no validation clips: give both parts some")
    steps = math.ceil(count / settings.batch)
    optimiser = torch.optim.AdamW(parameter_groups(recognizer, settings), lr=settings.learning_rate)
    progress = _taken_up(recognizer, optimiser, folder / LAST)
    began = saved = time.monotonic()
    total = settings.epochs * steps
    while progress.step < total:
        epoch, place = divmod(progress.step, steps)
        report(f"{task.name} training", progress.step, total)
        set_rate(optimiser, settings.learning_rate * rate_share(progress.step, total, settings.warmup))
        _step(recognizer, optimiser, task, settings, (seed, epoch, place))
        progress.step += 1
        if progress.step % steps == 0:
            accuracy, loss = _validate(recognizer, task)
            if progress.best is None or (accuracy, -loss) > (progress.best[0], -progress.best[1]):
                progress.best = (accuracy, loss, epoch + 1)
                progress.weights = {name: one.detach().cpu().clone() for name, one in recognizer.state_dict().items()}
        if time.monotonic() - saved >= settings.save_seconds:
            _save(recognizer, optimiser, progress, folder / LAST, progress.seconds + time.monotonic() - began)
            saved = time.monotonic()
    assert progress.best is not None
    assert progress.weights is not None
    recognizer.load_state_dict(progress.weights)
    recognizer.eval()
    (folder / LAST).unlink(missing_ok=True)
    accuracy, loss, epoch = progress.best
    return {"epoch": epoch, "validation_accuracy": accuracy, "validation_loss": loss}


@torch.inference_mode()
def clip_probabilities(
    recognizer: Recognizer, task: Task, part: str, views: int = 1, batch: int = 16
) -> NDArray[np.float64]:
    """(clips, classes): the mean over a clip's views of each one's softmax."""
    recognizer.eval()
    frames, stride = recognizer.encoder.config.frames, recognizer.question.stride
    device = next(recognizer.parameters()).device
    found = []
    for begin in range(0, len(task.labels[part]), batch):
        some = range(begin, min(begin + batch, len(task.labels[part])))
        pixels = [task.pixels(part, one, lambda length: frame_indices(length, frames, stride, views)) for one in some]
        logits = recognizer(as_clips(np.concatenate(pixels), device)).double().cpu().numpy()
        found += [merge_views(one) for one in logits.reshape(len(some), views, -1)]
    return np.stack(found)


def _step(
    recognizer: Recognizer,
    optimiser: torch.optim.Optimizer,
    task: Task,
    settings: FullTraining,
    drawn: tuple[int, int, int],
) -> None:
    """One step; which clips, and where in them, follow from the seed, the epoch and the place in it."""
    recognizer.train()
    seed, epoch, place = drawn
    order = np.random.default_rng([8, seed, epoch]).permutation(len(task.labels["train"]))
    chosen = order[place * settings.batch : (place + 1) * settings.batch]
    device = next(recognizer.parameters()).device
    frames, stride = recognizer.encoder.config.frames, recognizer.question.stride

    def view(index: int) -> NDArray[np.uint8]:
        rng = np.random.default_rng([9, seed, epoch, index])
        views = task.pixels("train", index, lambda length: _somewhere(rng, length, frames, stride))
        return np.asarray(views[0])

    clips = as_clips(np.stack([view(int(index)) for index in chosen]), device)
    labels = torch.from_numpy(task.labels["train"][chosen]).to(device)
    loss = F.cross_entropy(recognizer(clips), labels)
    optimiser.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(recognizer.parameters(), settings.clip_norm)
    optimiser.step()


def _somewhere(rng: np.random.Generator, length: int, frames: int, stride: int) -> NDArray[np.intp]:
    """(1, frames): one view at any place of the clip."""
    room = length - ((frames - 1) * stride + 1)
    if stride == 0 or room <= 0:
        return frame_indices(length, frames, stride)
    return np.asarray((rng.integers(room + 1) + np.arange(frames) * stride)[None], np.intp)


def _validate(recognizer: Recognizer, task: Task) -> tuple[float, float]:
    found, labels = clip_probabilities(recognizer, task, "validation"), task.labels["validation"]
    right = np.clip(found[np.arange(len(found)), labels], 1e-12, None)
    return top1(found.argmax(1), labels), float(-np.log(right).mean())


def parameter_groups(recognizer: Recognizer, settings: FullTraining) -> list[dict[str, object]]:
    """Parameters with one rate and one decay each; a group's "scale" is its part of the rate."""
    depth = len(recognizer.encoder.blocks)
    level = {
        id(parameter): number + 1
        for number, block in enumerate(recognizer.encoder.blocks)
        for parameter in block.parameters()
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in recognizer.named_parameters():
        if not parameter.requires_grad:
            continue
        above = name.startswith("head.") or "norm" in name.split(".")[-2]
        own = level.get(id(parameter), depth + 1 if above else 0)
        decay = 0.0 if parameter.ndim <= 1 else settings.weight_decay
        groups.setdefault((settings.layer_decay ** (depth + 1 - own), decay), []).append(parameter)
    return [{"params": listed, "scale": scale, "weight_decay": decay} for (scale, decay), listed in groups.items()]


def _save(
    recognizer: Recognizer, optimiser: torch.optim.Optimizer, progress: _Progress, path: Path, seconds: float
) -> None:
    """Checkpoint; the best weights stand where other runs keep their moving average: they are what is used."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noted = {"best": list(progress.best)} if progress.best else {}
    weights = {name: one.detach().cpu().clone() for name, one in recognizer.state_dict().items()}
    state = Checkpoint(progress.step, seconds, weights, progress.weights or {}, optimiser.state_dict(), noted)
    write_checkpoint(path, state)


def _taken_up(recognizer: Recognizer, optimiser: torch.optim.Optimizer, path: Path) -> _Progress:
    if not path.is_file():
        return _Progress()
    state = read_checkpoint(path)
    recognizer.load_state_dict(state.network)
    load_optimiser(optimiser, state.optimiser)
    best = state.noted.get("best")
    kept = (best[0], best[1], int(best[2])) if best else None
    return _Progress(state.step, state.seconds, kept, state.average or None)
