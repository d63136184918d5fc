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
        out.mkdir(parents=True, exist_ok=True)

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint; the recipe may differ from the one it was made with, the model may not."""
        state = read_checkpoint(path)
        self.network.load_state_dict(state.network)
        self.average = {name: value.to(self.average[name].device) for name, value in state.average.items()}
        self.optimiser.load_state_dict(state.optimiser)
        self.step, self.seconds = state.step, state.seconds

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(self.step, self.seconds, self.network.state_dict(), self.average, self.optimiser.state_dict())

    @property
    def progress(self) -> float:
        """Part of the run that is done, 0 to 1."""
        if self.recipe.minutes > 0:
            return min(1.0, self.seconds / (60 * self.recipe.minutes))
        return min(1.0, self.step / self.recipe.steps)

    def run(self) -> None:
        """Train to the end. However it ends, Ctrl+C included, a checkpoint of the last whole step is written."""
        columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
        saved, totals, logged = self.seconds, dict[str, list[float]](), time.monotonic()
        try:
            with ThreadPoolExecutor(1) as ahead, Progress(*columns) as bar:
                task = bar.add_task("train", total=1.0, note="")
                upcoming = ahead.submit(self.prepare, self.step, self.progress)
                while self.progress < 1:
                    begun = time.monotonic()
                    batch = upcoming.result()
                    upcoming = ahead.submit(self.prepare, self.step + 1, self.progress)
                    losses = self.learn(batch)
                    self.step += 1
                    self.seconds += time.monotonic() - begun
                    for name, value in losses.items():
                        totals.setdefault(f"clip_{name}" if batch.clips else name, []).append(value)
                    if self.step % LOG_STEPS == 0:
                        self._note(batch, totals, time.monotonic() - logged)
                        bar.update(task, completed=self.progress, note=f"IoU {losses['reached']:.3f}")
                        totals, logged = {}, time.monotonic()
                    if self.seconds - saved > CHECKPOINT_SECONDS:
                        saved = self.seconds
                        write_checkpoint(self.out / LAST, self.checkpoint())
        finally:
            write_checkpoint(self.out / LAST, self.checkpoint())

    def prepare(self, step: int, progress: float) -> Batch:
        """The samples of a step: they depend on the recipe's seed, the step and its stage alone."""
        index, stage = self.recipe.stage_at(progress)
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
            group["lr"] = learning_rate(settings, self.step, self.progress)
        self.optimiser.zero_grad(set_to_none=True)
        with written_out_attention(self.device, settings.bf16):
            parts = list(self.threads.map(partial(self._gradients, batch), range(len(batch.parts))))
        norm = float(nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip_norm))
        if math.isfinite(norm):  # a step that overflowed teaches nothing and would end the run
            self.optimiser.step()
            self._average(settings.average_decay)
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

    def _note(self, batch: Batch, totals: dict[str, list[float]], seconds: float) -> None:
        line = {
            "step": self.step,
            "stage": batch.stage,
            "seconds": round(self.seconds, 1),
            "progress": round(self.progress, 4),
            "lr": self.optimiser.param_groups[0]["lr"],
            "steps_per_s": round(LOG_STEPS / seconds, 3),
            **{name: round(sum(values) / len(values), 4) for name, values in totals.items()},
        }
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


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
