"""Pretraining: draw clips and masks, learn, watch for collapse and leaks.

The number of processes does not matter: a step's gradients are the sum over its parts, whoever computes them
(docs/decisions/0009).
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from trocar.pretrain.footage import Clips, Pictures, cropped
from trocar.pretrain.masks import Masks
from trocar.pretrain.mixture import Draw, Mixture
from trocar.pretrain.objective import Asked, spread
from trocar.pretrain.recipe import PretrainRecipe
from trocar.pretrain.schedule import build_adamw, set_schedule
from trocar.pretrain.start import first_network
from trocar.train.checkpoint import Checkpoint
from trocar.train.distributed import Team
from trocar.train.loop import Figures, Pace, TrainingLoop
from trocar.train.optimise import load_optimiser

_CLIP, _STEP_MASK, _MASK = 1, 2, 3  # streams of random numbers
COLLAPSED = 0.01
"""Features that vary less than this from clip to clip tell nothing; the last layer is a norm, so that 1 is much."""


@dataclass(frozen=True, eq=False)
class Part:
    """Some clips of a step.

    Args:
        pictures: (B, T, 3, S, S) uint8.
        masks: theirs.
    """

    pictures: Tensor
    masks: tuple[Masks, ...]


class PretrainTrainer(TrainingLoop[list[Part]]):
    """One run of a recipe, or what one process does of it.

    Args:
        recipe: all settings.
        pools: the clips, by the names of the recipe's pools.
        out: folder for log and checkpoints.
        device: where to train.
        team: this process among others.

    Raises:
        ValueError: there are more processes than parts of a step, or what `first_network` and `Mixture` refuse.
    """

    def __init__(
        self,
        recipe: PretrainRecipe,
        pools: Mapping[str, Clips],
        out: Path,
        device: torch.device | str = "cpu",
        team: Team | None = None,
    ) -> None:
        engine = recipe.engine
        super().__init__(out, Pace(engine.save_seconds, engine.save_steps, engine.log_steps), device, team)
        self.recipe, self.pools = recipe, pools
        if self.team.size > recipe.engine.parts:
            raise ValueError(
                f"engine.parts {recipe.engine.parts} leaves some of {self.team.size} processes without work: set it to "
                "their number, or a multiple of it"
            )
        self.network = first_network(recipe).to(self.device)
        self.parameters = [one for one in self.network.parameters() if one.requires_grad]
        self.optimiser = build_adamw(self.network, recipe.schedule)
        shares = {pool.name: pool.share for pool in recipe.pools}
        self.mixture = Mixture({name: len(pool) for name, pool in pools.items()}, shares, recipe.seed)
        self._readers = ThreadPoolExecutor(recipe.engine.loaders)

    def progress(self, step: int) -> float:
        return min(1.0, step / self.recipe.steps)

    def checkpoint(self) -> Checkpoint:
        state, optimiser = self.network.state_dict(), self.optimiser.state_dict()
        return Checkpoint(self.step, self.seconds, state, {}, optimiser, self.journal.values)

    def _restore(self, state: Checkpoint) -> None:
        self.network.load_state_dict(state.network)
        load_optimiser(self.optimiser, state.optimiser)

    def _note(self, batch: list[Part], losses: Figures) -> None:
        self.journal.add(losses, self.recipe.batch, clips=False)

    def _state(self, batch: list[Part]) -> Figures:
        rate, decay = self._schedule(self.step - 1)
        return {"lr": rate, "weight_decay": decay}

    def _said(self, line: Mapping[str, float]) -> str:
        return f"loss {line['loss']:.4f}  {line['samples_per_s']:.1f} clips/s"

    def _after_step(self, batch: list[Part]) -> None:
        self._watch(batch)

    def _schedule(self, step: int) -> tuple[float, float]:
        recipe = self.recipe
        return recipe.schedule.rate(step, recipe.steps, recipe.batch), recipe.schedule.decay(step, recipe.steps)

    def prepare(self, step: int) -> list[Part]:
        """The parts of a step that fall to this process."""
        return [self._part(step, number) for number in self.team.own(self.recipe.engine.parts)]

    def _part(self, step: int, number: int) -> Part:
        recipe = self.recipe
        draws = self.mixture.batch(step, recipe.batch, number, recipe.engine.parts)
        pictures = np.stack(list(self._readers.map(self._read, draws)))
        shared = np.random.default_rng((recipe.seed, _STEP_MASK, step))
        own = [np.random.default_rng((recipe.seed, _MASK, draw.position)) for draw in draws]
        masks = self.network.draw_masks(shared, own)
        return Part(torch.from_numpy(pictures).permute(0, 1, 4, 2, 3).contiguous(), masks)

    def _read(self, draw: Draw) -> Pictures:
        rng = np.random.default_rng((self.recipe.seed, _CLIP, draw.position))
        pictures = self.pools[draw.pool].pictures(draw.index, rng)
        return cropped(pictures, self.recipe.encoder.side, self.recipe.sampling, rng)

    def learn(self, parts: list[Part]) -> Figures:
        """One optimiser step; returns its loss, what else the objective says, and the gradient's norm."""
        schedule, count = self.recipe.schedule, self.recipe.engine.parts
        set_schedule(self.optimiser, *self._schedule(self.step))
        self.optimiser.zero_grad(set_to_none=True)
        figures: list[Figures] = []
        for part in parts:
            clips, masks = self._placed(part)
            with self._precision():
                asked: Asked = self.network(clips, masks)
            (asked.loss / count).backward()
            figures.append({"loss": float(asked.loss.detach()), **asked.figures})
        self.team.add_gradients(self.parameters)
        warm = schedule.clip_norm and self.step >= schedule.warmup_steps
        norm = float(nn.utils.clip_grad_norm_(self.parameters, schedule.clip_norm if warm else math.inf))
        if math.isfinite(norm):  # a step that overflowed teaches nothing and would end the run
            self.optimiser.step()
            self.network.after_step(self.step / self.recipe.steps)
        self.step += 1
        said = [one for own in self.team.gather(figures) for one in own]
        return {**{name: float(np.mean([one[name] for one in said])) for name in said[0]}, "norm": norm}

    def _placed(self, part: Part) -> tuple[Tensor, list[Masks]]:
        """Clips with colours in 0..1, and their masks, on the device."""
        clips = part.pictures.to(self.device, non_blocking=True).float() / 255
        return clips, [one.to(self.device) for one in part.masks]

    def _precision(self) -> contextlib.AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.recipe.schedule.bf16)

    def _watch(self, parts: list[Part]) -> None:
        """Now and then, look whether features have become alike, and whether hidden pixels reach a prediction.

        Raises:
            RuntimeError: hidden pixels do.
        """
        every = self.recipe.engine.watch_steps
        if not every or not self.team.leads or (self.step % every and self.step != 1):
            return
        clips, masks = self._placed(parts[0])
        with self._precision():
            found = spread(self.network.features(clips))
            leak = self.network.leak(clips[:1], [Masks(one.seen[:1], one.hidden[:1], one.share) for one in masks])
        self.journal.write({"step": self.step, **{name: round(one, 4) for name, one in found.items()}, "leak": leak})
        if found.get("clip_std", 1.0) < COLLAPSED:
            warnings.warn(
                f"step {self.step}: features have collapsed (they vary by {found['clip_std']:.4f} from clip to clip): "
                "lower the learning rate, or let the target encoder follow more slowly",
                stacklevel=2,
            )
        if leak:
            raise RuntimeError(f"step {self.step}: hidden pixels reach what is predicted ({leak:.2g}): this is a fault")
