"""A short run on moving squares, for tests that start it as a process: OUT STEPS RATE CLIP_SHARE [--resume].

Four parts a step, a line of the log for each two steps, a checkpoint after each three. Prompts are boxes, so that steps
on images choose among no candidates.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from trocar.datasets.clip import Clip
from trocar.train.distributed import Team, joined
from trocar.train.engine import Engine
from trocar.train.optimise import Optimiser
from trocar.train.recipe import Recipe, Stage
from trocar.train.trainer import Trainer


def squares(rng: np.random.Generator) -> Clip:
    """A bright square that moves over a darker ground."""
    images = rng.integers(60, 100, (4, 64, 64, 3)).astype(np.uint8)
    labels = np.zeros((4, 64, 64), np.uint8)
    row, column, size = rng.integers(4, 30, 3)
    for frame in range(4):
        labels[frame, row : row + size, column + 2 * frame : column + 2 * frame + size] = 1
    images[labels == 1] += 120
    return Clip("squares", images, labels, {1: "square"})


def toy_recipe(steps: int, rate: float, clip_share: float) -> Recipe:
    stage = Stage(
        side=64,
        images=4,
        rows=1,
        boxes=1.0,
        corrections=0,
        clip_share=clip_share,
        clip_side=64,
        clips=4,
        frames=3,
        clip_corrections=0.0,
    )
    return Recipe(
        model="tiny-random",
        steps=steps,
        engine=Engine(parts=4, save_steps=3, log_steps=2),
        stages=(stage,),
        data={"scenes": 1.0},
        optimiser=Optimiser(learning_rate=rate, warmup_steps=2),
    )


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    out, steps, rate, clip_share = Path(arguments[0]), int(arguments[1]), float(arguments[2]), float(arguments[3])
    with joined() as (team, device):
        trainer = Trainer(toy_recipe(steps, rate, clip_share), squares, out, device, team)
        if "--resume" in arguments:
            trainer.resume()
        trainer.run()


def run_here(out: Path, steps: int, rate: float, clip_share: float) -> None:
    """The same in this process."""
    Trainer(toy_recipe(steps, rate, clip_share), squares, out, "cpu", Team()).run()


if __name__ == "__main__":
    main(sys.argv[1:])
