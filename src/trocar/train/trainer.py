"""Training the tracker: clips and images are drawn, answered as a user would be, and learned from, on any number of
processes."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from trocar.datasets import Clip
from trocar.train.checkpoint import Checkpoint
from trocar.train.clips import Draw, Sample, SampleShape, draw_sample, step_shape
from trocar.train.distributed import Team, add_parts
from trocar.train.engine import recompute_activations
from trocar.train.export import save_average
from trocar.train.lesson import draw_corrections, lesson_of
from trocar.train.loop import Figures, Pace, TrainingLoop
from trocar.train.optimise import (
    build_optimiser,
    learning_parameters,
    learning_rate,
    load_optimiser,
    move_average,
    set_rate,
)
from trocar.train.recipe import Recipe
from trocar.train.start import averaged_network, first_network
from trocar.train.steps import clip_losses, image_losses
from trocar.train.validation import BEST, object_scores


@dataclass(frozen=True, eq=False)
class Part:
    """Some samples of a step, computed for themselves.

    Args:
        number: among the parts of the step.
        samples: what is drawn for it.
        share: of the step's samples, which is what its gradient counts.
    """

    number: int
    samples: list[Sample]
    share: float


@dataclass(frozen=True, eq=False)
class Batch:
    """The parts of one step that fall to this process, the stage, how many samples all processes have, and whether
    they are clips."""

    parts: list[Part]
    stage: int
    count: int
    clips: bool


class Trainer(TrainingLoop[Batch]):
    """One run of a recipe, or what one process does of it.

    Args:
        recipe: all settings.
        draw: gives the training clips.
        out: folder for the log and the checkpoints.
        device: where to train.
        team: this process among others.
        clips: that fall to this process in validation.
    """

    def __init__(
        self,
        recipe: Recipe,
        draw: Draw,
        out: Path,
        device: torch.device | str = "cpu",
        team: Team | None = None,
        clips: Sequence[Clip] = (),
    ) -> None:
        engine = recipe.engine
        super().__init__(out, Pace(engine.save_seconds, engine.save_steps, engine.log_steps), device, team)
        self.recipe = recipe
        self.draw = draw
        self.clips = clips
        self.network = first_network(recipe).to(self.device).train()
        recompute_activations(self.network, engine)
        self.parameters = list(learning_parameters(self.network))
        self.average = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
        self.optimiser = build_optimiser(self.network, recipe.optimiser)
        self.threads = ThreadPoolExecutor(recipe.workers)
        self.loaders = ThreadPoolExecutor(engine.loaders)

    def checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.step,
            self.seconds,
            self.network.state_dict(),
            self.average,
            self.optimiser.state_dict(),
            self.journal.values,
            self.best,
        )

    def _restore(self, state: Checkpoint) -> None:
        self.network.load_state_dict(state.network)
        self.average = {name: value.to(self.average[name].device) for name, value in state.average.items()}
        load_optimiser(self.optimiser, state.optimiser)

    def progress(self, step: int) -> float:
        """Part of the run that is done before a step, 0 to 1; by the clock, the part that is done now."""
        if self.recipe.minutes > 0:
            return min(1.0, self.seconds / (60 * self.recipe.minutes))
        return min(1.0, step / self.recipe.steps)

    def _note(self, batch: Batch, losses: Figures) -> None:
        self.journal.add(losses, batch.count, batch.clips)

    def _state(self, batch: Batch) -> Figures:
        rate = learning_rate(self.recipe.optimiser, self.step - 1, self.progress(self.step - 1))
        return {"stage": batch.stage, "lr": rate}

    def _said(self, line: Mapping[str, float]) -> str:
        reached = line.get("reached", line.get("clip_reached", math.nan))
        return f"IoU {reached:.3f}  {line['samples_per_s']:.1f} samples/s"

    def _after_step(self, batch: Batch) -> None:
        if self.recipe.validation.due(self.step, self.done):
            self.validate()

    def _plan(self, step: int) -> Callable[[], Batch]:
        return partial(self.prepare, step, self.progress(step))

    def prepare(self, step: int, progress: float | None = None) -> Batch:
        """The samples of a step: they depend on the recipe's seed, the step and its stage alone.

        Each part has a random stream of its own, so that it does not matter which process draws it.
        """
        index, stage = self.recipe.stage_at(self.progress(step) if progress is None else progress)
        rng = np.random.default_rng((self.recipe.seed, step))
        clips = bool(rng.random() < stage.clip_share)
        shape = step_shape(self.recipe, stage, clips, self.network.config, rng)
        count = stage.clips if clips else stage.images
        parts = min(self.recipe.engine.parts or self.recipe.workers, count)
        own = self.loaders.map(partial(self._draw_part, step, shape, range(count), parts), self.team.own(parts))
        return Batch(list(own), index, count, clips)

    def _draw_part(self, step: int, shape: SampleShape, samples: range, parts: int, number: int) -> Part:
        rng = np.random.default_rng((self.recipe.seed, step, number))
        drawn = [draw_sample(self.draw, rng, shape) for _ in samples[number::parts]]
        return Part(number, drawn, len(drawn) / len(samples))

    def learn(self, batch: Batch) -> Figures:
        """One optimiser step; returns the weighted mean losses, "reached" IoU and the gradient's norm.

        A batch in which nothing is asked but what masks have shown teaches nothing, and then has the norm alone.
        """
        settings = self.recipe.optimiser
        set_rate(self.optimiser, learning_rate(settings, self.step, self.progress(self.step)))
        self.optimiser.zero_grad(set_to_none=True)
        figures: list[tuple[float, Figures]] = []
        with written_out_attention(self.device, settings.bf16):
            for part, (gradients, values) in zip(
                batch.parts, self.threads.map(partial(self._gradients, batch), batch.parts), strict=True
            ):
                add_parts(self.parameters, gradients)
                figures.append((part.share, values))
        self.team.add_gradients(self.parameters)
        norm = float(nn.utils.clip_grad_norm_(self.parameters, settings.clip_norm))
        if math.isfinite(norm):  # a step that overflowed teaches nothing and would end the run
            self.optimiser.step()
            move_average(self.average, self.network, self.step, settings.average_decay)
        self.step += 1
        return {**_means([one for own in self.team.gather(figures) for one in own]), "norm": norm}

    def _gradients(self, batch: Batch, part: Part) -> tuple[Sequence[Tensor | None], Figures]:
        """The gradients of one part of the batch, which a thread of its own works on, and its losses.

        One thread a part is quicker on a few cores than many threads for each operation, above all on a machine that
        does other work as well: the parts meet once a step only.
        """
        if self.recipe.workers > 1:
            torch.set_num_threads(1)
        seed = np.random.SeedSequence((self.recipe.seed, self.step, part.number, 1))
        rng = np.random.default_rng(seed)
        torch.manual_seed(int(seed.generate_state(1)[0]))  # for dropout
        stage = self.recipe.stages[batch.stage]
        lesson = lesson_of(self.recipe, stage, draw_corrections(stage, batch.clips, rng))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.optimiser.bf16):
            losses = (clip_losses if batch.clips else image_losses)(self.network, part.samples, lesson, rng)
        values = {name: float(value.detach()) for name, value in losses.items()}
        losses.pop("reached", None)
        taught = [value for value in losses.values() if value.requires_grad]
        if not taught:  # every frame of every clip was shown by its mask
            return [None] * len(self.parameters), values
        total = torch.stack(taught).sum()
        gradients = torch.autograd.grad(total * part.share, self.parameters, allow_unused=True)
        return gradients, {**values, "total": float(total.detach())}

    def validate(self) -> float:
        """Score the averaged weights on the clips of all processes, note it, and keep the best weights.

        Raises:
            ValueError: the clips show nothing to score.
        """
        settings = self.recipe.validation
        network = averaged_network(self.recipe, self.average).to(self.device)
        scores = [one for own in self.team.gather(object_scores(network, self.clips, settings)) for one in own]
        if not scores:
            raise ValueError(f"validation on {settings.dataset} {settings.split} found no object: name other data")
        score = float(np.mean(scores))
        self.journal.write({"step": self.step, f"validation {settings.metric}": round(score, 4)})
        if self.best is None or score > self.best:
            self.best = score
            if self.team.leads:
                save_average(self.recipe, self.checkpoint(), self.out / BEST)
        return score


def _means(figures: Sequence[tuple[float, Figures]]) -> Figures:
    """Means by share, of each figure over the parts that have it."""
    names = dict.fromkeys(name for _, values in figures for name in values)
    means = {}
    for name in names:
        known = [(share, values[name]) for share, values in figures if name in values]
        means[name] = sum(share * value for share, value in known) / sum(share for share, _ in known)
    return means


def written_out_attention(device: torch.device, bf16: bool) -> contextlib.AbstractContextManager[None]:
    """On CPUs in bfloat16, attention without PyTorch's fused kernel, whose backward pass is slow there."""
    slow = bf16 and device.type == "cpu"
    return sdpa_kernel([SDPBackend.MATH]) if slow else contextlib.nullcontext()
