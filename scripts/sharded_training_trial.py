"""Whether FSDP2 (`torch.distributed.fsdp.fully_shard`) can share out training's weights: docs/decisions/0009.

    python scripts/sharded_training_trial.py [--mixed-prompts]

Two processes on this machine (gloo) train a tiny network for eight steps, on images and clips in turn: once as
`trocar train` does it, with one sum of gradients a step, and once sharded. Each step's loss and gradient norm are
printed side by side. With --mixed-prompts one process is given boxes and the other one clicks, as chance does it in a
run, so that they use different parameters.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException

from trocar.model import Network, tiny_random
from trocar.train.clips import Sample
from trocar.train.distributed import Team
from trocar.train.lesson import Lesson
from trocar.train.plan import ClipPlan
from trocar.train.recipe import LossWeights, PromptMix
from trocar.train.steps import clip_losses, image_losses

SIDE, STEPS, PROCESSES = 64, 8, 2
PORT = "29617"


class Step(nn.Module):
    """A module whose forward is a training step: FSDP2 acts where forward begins and ends, and the network has none."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, losses: Callable[..., dict[str, Tensor]], sample: Sample, lesson: Lesson, seed: int) -> Tensor:
        found = losses(self.network, [sample], lesson, np.random.default_rng(seed))
        return torch.stack([value for name, value in found.items() if name != "reached"]).sum()


def made_sample(frames: int, seed: int) -> Sample:
    """A bright square that moves over noise."""
    masks = torch.zeros(1, frames, SIDE, SIDE, dtype=torch.bool)
    for frame in range(frames):
        masks[0, frame, 10:30, 5 + 2 * frame : 25 + 2 * frame] = True
    images = 0.3 * torch.randn(frames, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))
    plan = ClipPlan(tuple(range(frames)))
    return Sample(images + 2 * masks[0, :, None], masks, torch.ones_like(masks[0]), ("",), plan)


def train(rank: int, sharded: bool, mixed: bool, results: list[str]) -> None:
    """What one process does; the first one notes what comes of each step."""
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": PORT}
    dist.init_process_group("gloo", rank=rank, world_size=PROCESSES)
    torch.manual_seed(0)
    step = Step(Network(tiny_random()))
    if sharded:
        mesh = init_device_mesh("cpu", (PROCESSES,))
        for block in step.network.image_encoder.blocks:
            fully_shard(block, mesh=mesh)
        fully_shard(step, mesh=mesh)
    parameters = list(step.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-3)
    lesson = Lesson(PromptMix(mask=0.0), LossWeights(), boxes=float(rank == 0 or not mixed))
    for number in range(STEPS):
        losses, frames = (clip_losses, 8) if number % 2 else (image_losses, 1)
        total = step(losses, made_sample(frames, PROCESSES * number + rank), lesson, number) / PROCESSES
        (total * PROCESSES if sharded else total).backward()  # FSDP2 takes means over processes
        if not sharded:
            Team(rank, PROCESSES).add_gradients(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        said = total.detach().clone()
        dist.all_reduce(said)
        results[number] = f"loss {said:.5f} norm {norm.full_tensor() if sharded else norm:.5f}"
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixed-prompts", action="store_true", help="boxes for one process, clicks for the other")
    mixed = parser.parse_args().mixed_prompts
    with mp.Manager() as manager:
        found = {sharded: manager.list(["no result"] * STEPS) for sharded in (False, True)}
        for sharded, results in found.items():
            try:
                mp.spawn(train, (sharded, mixed, results), PROCESSES)
            except (ProcessRaisedException, ProcessExitedException) as error:
                print(f"{'sharded' if sharded else 'one sum'}: {str(error).strip().splitlines()[-1]}")
        for number, (one, other) in enumerate(zip(*found.values(), strict=True)):
            print(f"step {number}: one sum {one}, sharded {other}")


if __name__ == "__main__":
    main()
