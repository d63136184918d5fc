"""A short pretraining on moving bars, for tests that start it as a process: OUT FAMILY STEPS RATE PARTS [--resume].

Eight clips a step, a line of the log for each two steps, a checkpoint after each three.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from trocar.model.video_encoder import VideoEncoderConfig
from trocar.pretrain.footage import Pictures
from trocar.pretrain.jepa import Prediction
from trocar.pretrain.mae import Reconstruction
from trocar.pretrain.recipe import Engine, FrameSampling, Pool, PretrainRecipe
from trocar.pretrain.schedule import Schedule
from trocar.pretrain.trainer import PretrainTrainer
from trocar.train.distributed import Team, joined


class Bars:
    """Clips of a bright bar that moves over a darker ground."""

    def __len__(self) -> int:
        return 20

    def pictures(self, index: int, rng: np.random.Generator) -> list[Pictures]:
        own = np.random.default_rng((5, index))
        ground = own.integers(40, 90, (40, 40, 3)).astype(np.uint8)
        start, step, width = own.integers(0, 20), own.integers(-3, 4), own.integers(3, 8)
        frames = []
        for frame in range(4):
            picture = ground.copy()
            left = int(np.clip(start + step * frame, 0, 32))
            picture[:, left : left + width] = 200
            frames.append(picture)
        return frames


def toy_recipe(family: str, steps: int, rate: float, parts: int) -> PretrainRecipe:
    return PretrainRecipe(
        encoder=VideoEncoderConfig(
            family,  # type: ignore[arg-type]
            width=24,
            depth=2,
            heads=2,
            side=32,
            frames=4,
            patch=8,
        ),
        steps=steps,
        batch=8,
        pools=(Pool("core", 0.25), Pool("unlabelled", 0.75)),
        sampling=FrameSampling(least_crop=0.8, most_crop=1.0, flip=0.5),
        schedule=Schedule(rate, 0, 0.2, rate / 10, 2, clip_norm=1.0, final_weight_decay=0.4),
        engine=Engine(parts=parts, save_steps=3, log_steps=2, watch_steps=4),
        mae=Reconstruction(0.75, 16, 1, 2),
        jepa=Prediction(width=16, depth=1, heads=2, keep=0.9),
    )


def trainer_for(recipe: PretrainRecipe, out: Path, team: Team) -> PretrainTrainer:
    return PretrainTrainer(recipe, {"core": Bars(), "unlabelled": Bars()}, out, "cpu", team)


def main(arguments: list[str]) -> None:
    torch.set_num_threads(1)
    out, family, steps, rate, parts = arguments[:5]
    recipe = toy_recipe(family, int(steps), float(rate), int(parts))
    with joined() as (team, _):
        trainer = trainer_for(recipe, Path(out), team)
        if "--resume" in arguments:
            trainer.resume()
        trainer.run()


if __name__ == "__main__":
    main(sys.argv[1:])
