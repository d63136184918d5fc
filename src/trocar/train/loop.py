"""The training loop: draw, answer, learn, note down; it stops and resumes at any step."""

from __future__ import annotations

import contextlib
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from trocar.model import NANO, Network, tiny_random
from trocar.model.checkpoint import load_weights
from trocar.train.checkpoint import LAST, Checkpoint, read_checkpoint, write_checkpoint
from trocar.train.clips import Draw, Sample, SampleShape, draw_sample
from trocar.train.recipe import Optimiser, Recipe
from trocar.train.steps import Lesson, clip_losses, image_losses

CHECKPOINT_SECONDS = 120.0
LOG_STEPS = 20


@dataclass(frozen=True, eq=False)
class Batch:
    """The samples of one step, cut into parts for as many threads, and whether they are clips.

    `seed` is what the part's simulated prompts are drawn from, together with the part's number.
    """

    parts: list[list[Sample]]
    stage: int
    clips: bool
    seed: tuple[int, ...]


def build_network(recipe: Recipe) -> Network:
    """A network with fresh weights that depend on the recipe's seed alone.

    Raises:
        ValueError: there is no such model.
    """
    configs = {"nano": NANO, "tiny-random": tiny_random()}
    if recipe.model not in configs:
        raise ValueError(f"model {recipe.model!r} cannot be trained: choose from {', '.join(configs)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return Network(configs[recipe.model])


class Trainer:
    """One run of a recipe.

    Args:
        recipe: all settings.
        draw: gives the training clips.
        out: folder for `log.jsonl` and the checkpoints.
        device: where to train.

    Setting `stopping` ends a run after the step that it is at.
    """

    def __init__(self, recipe: Recipe, draw: Draw, out: Path, device: torch.device | str = "cpu") -> None:
        self.recipe = recipe
        self.draw = draw
        self.out = out
        self.device = torch.device(device)
        self.network = build_network(recipe).to(self.device).train()
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.optimiser = build_optimiser(self.network, recipe.optimiser)
        self.threads = ThreadPoolExecutor(recipe.workers)
        self.step = 0
        self.seconds = 0.0
        self.stopping = False
        out.mkdir(parents=True, exist_ok=True)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint; the recipe may differ from the one it was made with, the model may not."""
        state = read_checkpoint(path)
        self.network.load_state_dict(state.network)
        self.average = {name: value.to(self.average[name].device) for name, value in state.average.items()}
        self.optimiser.load_state_dict(state.optimiser)
        self.step, self.seconds = state.step, state.seconds

    def start_from(self, path: Path) -> None:
        """Begin with the weights in a file instead of fresh ones."""
        load_weights(self.network, path)
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.step, self.seconds, self.network.state_dict(), self.average, self.optimiser.state_dict())

    def progress(self, step: int) -> float:
        """Part of the run that is done before a step, 0 to 1; by the clock, the part that is done now."""
        if self.recipe.minutes > 0:
            return min(1.0, self.seconds / (60 * self.recipe.minutes))
        return min(1.0, step / self.recipe.steps)

    def run(self) -> None:
        """Train until the end, or until `stopping` is set; then a checkpoint of the last whole step is written."""
        columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
        saved, note = self.seconds, _Note(self.out / "log.jsonl")
        try:
            with ThreadPoolExecutor(1) as ahead, Progress(*columns) as bar:
                task = bar.add_task("train", total=1.0, note="")
                upcoming = ahead.submit(self.prepare, self.step)
                while self.progress(self.step) < 1 and not self.stopping:
                    begun = time.monotonic()
                    batch = upcoming.result()
                    upcoming = ahead.submit(self.prepare, self.step + 1)
                    losses = self.learn(batch)
                    self.seconds += time.monotonic() - begun
                    note.add(losses, batch.clips)
                    progress = self.progress(self.step)
                    if self.step % LOG_STEPS == 0 or progress >= 1:
                        note.write(self.step, batch.stage, self.seconds, self.optimiser.param_groups[0]["lr"])
                        bar.update(task, completed=progress, note=f"IoU {losses['reached']:.3f}")
                    if self.seconds - saved > CHECKPOINT_SECONDS:
                        saved = self.seconds
                        write_checkpoint(self.out / LAST, self.checkpoint())
        finally:
            write_checkpoint(self.out / LAST, self.checkpoint())

    def prepare(self, step: int) -> Batch:
        """The samples of a step: they depend on the recipe's seed, the step and its stage alone."""
        index, stage = self.recipe.stage_at(self.progress(step))
        seed = (self.recipe.seed, step)
        rng = np.random.default_rng(seed)
        clips = bool(rng.random() < stage.clip_share)
        shape = SampleShape(stage.side, 1, stage.rows, self.recipe.prompts.part_share)
        if clips:
            shape = SampleShape(stage.clip_side, int(rng.integers(3, stage.frames + 1)), stage.objects)
        count = stage.clips if clips else stage.images
        samples = [draw_sample(self.draw, rng, shape) for _ in range(count)]
        workers = min(self.recipe.workers, count)
        return Batch([samples[part::workers] for part in range(workers)], index, clips, seed)

    def learn(self, batch: Batch) -> dict[str, float]:
        """One optimiser step; returns the weighted mean losses, "reached" IoU and the gradient's norm."""
        settings = self.recipe.optimiser
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(settings, self.step, self.progress(self.step))
        self.optimiser.zero_grad(set_to_none=True)
        with written_out_attention(self.device, settings.bf16):
            parts = list(self.threads.map(partial(self._gradients, batch), range(len(batch.parts))))
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm))
        if math.isfinite(norm):  # a step that overflowed teaches nothing and would end the run
            self.optimiser.step()
            self._average(settings.average_decay)
        self.step += 1
        values = {name: sum(part[name] for part in parts) / len(parts) for name in parts[0]}
        return {**values, "norm": norm}

    def _gradients(self, batch: Batch, part: int) -> dict[str, float]:
        """Add the gradients of one part of the batch, which a thread of its own works on.

        One thread a part is quicker on a few cores than many threads for each operation, above all on a machine that
        does other work as well: the parts meet once a step only.
        """
        if len(batch.parts) > 1:
            torch.set_num_threads(1)
        rng = np.random.default_rng((*batch.seed, part))
        stage = self.recipe.stages[batch.stage]
        if batch.clips:
            corrections = int(rng.random() < stage.clip_corrections)
        else:
            corrections = int(rng.integers(stage.corrections + 1))
        lesson = Lesson(self.recipe.prompts, self.recipe.losses, stage.boxes, corrections)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.optimiser.bf16):
            losses = (clip_losses if batch.clips else image_losses)(self.network, batch.parts[part], lesson, rng)
        reached = losses.pop("reached")
        total = torch.stack(list(losses.values())).sum()
        (total / len(batch.parts)).backward()
        values = {name: float(value.detach()) for name, value in losses.items()}
        return {**values, "total": float(total.detach()), "reached": float(reached)}

    def _average(self, decay: float) -> None:
        """Move the average towards the weights, faster in the beginning, when it knows little."""
        keep = min(decay, (1 + self.step) / (10 + self.step))
        weights = self.network.state_dict()
        moving: list[Tensor] = [self.average[name] for name in weights]
        torch._foreach_lerp_(moving, list(weights.values()), 1 - keep)


class _Note:
    """What happened since the last line of the log, and the log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, list[float]] = {}
        self.steps, self.since = 0, time.monotonic()

    def add(self, values: dict[str, float], clips: bool) -> None:
        self.steps += 1
        for name, value in values.items():
            self.values.setdefault(f"clip_{name}" if clips else name, []).append(value)

    def write(self, step: int, stage: int, seconds: float, rate: float) -> None:
        """Append a line with the means, and begin anew."""
        now = time.monotonic()
        line = {
            "step": step,
            "stage": stage,
            "seconds": round(seconds, 1),
            "lr": rate,
            "steps_per_s": round(self.steps / (now - self.since), 3),
            **{name: round(sum(values) / len(values), 4) for name, values in self.values.items()},
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.values, self.steps, self.since = {}, 0, now


def build_optimiser(network: nn.Module, settings: Optimiser) -> torch.optim.AdamW:
    """AdamW without weight decay on biases, norms and single vectors."""
    matrices = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        groups, lr=settings.learning_rate, weight_decay=settings.weight_decay, betas=(0.9, 0.98), fused=True
    )


def learning_rate(settings: Optimiser, step: int, progress: float) -> float:
    """Linear warm-up over steps, cosine over the run's progress."""
    floor = settings.final_share
    cosine = floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
    return settings.learning_rate * cosine * min(1.0, (step + 1) / max(settings.warmup_steps, 1))


def written_out_attention(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[None]:
    """On CPUs in bfloat16, attention without PyTorch's fused kernel, whose backward pass is slow there."""
    slow = bf16 and device.type == "cpu"
    return sdpa_kernel([SDPBackend.MATH]) if slow else contextlib.nullcontext()
