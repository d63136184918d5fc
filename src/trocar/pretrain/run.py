"""A recipe of pretraining from beginning to end: open the pools, train, write the encoder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from trocar.model.video_encoder import save_video_encoder
from trocar.pretrain.footage import open_pools
from trocar.pretrain.recipe import PretrainRecipe
from trocar.pretrain.start import first_network
from trocar.pretrain.trainer import PretrainTrainer
from trocar.settings import to_toml
from trocar.train.checkpoint import LAST, read_checkpoint
from trocar.train.distributed import joined
from trocar.train.journal import peak_memory_gb
from trocar.train.run import ending_after_a_step, reporter, warn_of_bfloat16

ENCODER = "encoder.safetensors"


@dataclass(frozen=True)
class PretrainRun:
    """What is trained, and where.

    Args:
        recipe: all settings.
        out: folder for checkpoints, log, the recipe as used and the encoder.
        resume: go on from the last checkpoint in `out`.
        threads: threads to compute with; 0 leaves it to PyTorch.
    """

    recipe: PretrainRecipe
    out: Path
    resume: bool = False
    threads: int = 0


def pretrain(run: PretrainRun) -> Path | None:
    """Carry a run out and return the file with its encoder.

    Started by `torchrun` this is one of several processes; all but the first write nothing and return None.

    Raises:
        ValueError, FileNotFoundError: recipe, clips or checkpoint are not right; the message says what to do.
        KeyboardInterrupt: it was stopped; `run.resume` goes on exactly from there.
    """
    cv2.setNumThreads(1)
    if run.threads:
        torch.set_num_threads(run.threads)
    with joined() as (team, device):
        warn_of_bfloat16(run.recipe.schedule.bf16, device, "schedule.bf16", reporter(team))
        trainer = PretrainTrainer(run.recipe, open_pools(run.recipe), run.out, device, team)
        if run.resume:
            trainer.resume()
        if team.leads:
            (run.out / "recipe.toml").write_text(to_toml(run.recipe), encoding="utf-8")
        with ending_after_a_step(trainer):
            trainer.run()
        if not trainer.done:
            raise KeyboardInterrupt
        if not team.leads:
            return None
        speed = trainer.step / max(trainer.seconds, 1e-9)
        memory = peak_memory_gb(trainer.device)
        print(f"{trainer.step} steps in {trainer.seconds:.0f} s ({speed:.2f} steps/s), peak memory {memory:.2f} GB")
        return export_encoder(run.recipe, run.out, run.out / ENCODER)


def export_encoder(recipe: PretrainRecipe, out: Path, path: Path) -> Path:
    """Write the encoder of a run's last checkpoint: MAE's, or JEPA's target encoder.

    Raises:
        FileNotFoundError, ValueError: `out` holds no checkpoint, or one of another recipe.
    """
    state = read_checkpoint(out / LAST)
    network = first_network(recipe)
    try:
        network.load_state_dict(state.network)
    except RuntimeError as error:
        raise ValueError(f"{out / LAST} is of another recipe: give the one that lies beside it") from error
    info = {
        "steps": str(state.step),
        "clips": str(state.step * recipe.batch),
        "training_minutes": f"{state.seconds / 60:.0f}",
        "seed": str(recipe.seed),
        "weights": recipe.weights or "fresh",
        "data": ", ".join(f"{pool.name} {pool.share:g} ({pool.clips})" for pool in recipe.pools if pool.share),
    }
    save_video_encoder(network.encoder, path, info)
    return path
