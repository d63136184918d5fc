"""Several processes that train one network: who computes which parts, and one sum of gradients a step.

Started by `torchrun`, each process holds the whole network and computes every N-th part of a step's batch; all then
take the same optimiser step (docs/decisions/0009). Without it there is one process, and everything here is a no-op.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """This process among those of a run.

    Args:
        rank: its number, from 0; number 0 writes and reports.
        size: how many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def own(self, count: int) -> range:
        """Which of `count` things fall to this process."""
        return range(self.rank, count, self.size)

    def gather(self, value: T) -> list[T]:
        """A value of each process, in the order of their ranks; the same list everywhere."""
        if self.size == 1:
            return [value]
        values: list[T | None] = [None] * self.size
        dist.all_gather_object(values, value)
        return values  # type: ignore[return-value]  # every place is filled

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Replace each parameter's gradient by its sum over all processes, in one flat all-reduce.

        A parameter that no process used keeps no gradient, so that the optimiser leaves it alone.
        """
        if self.size == 1:
            return
        used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.float32, device=parameters[0].device)
        pieces = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(piece.flatten() for piece in pieces), used])
        dist.all_reduce(flat)
        *sums, counts = flat.split([*(p.numel() for p in parameters), len(parameters)])
        for parameter, total, count in zip(parameters, sums, counts.tolist(), strict=True):
            parameter.grad = total.view_as(parameter) if count else None


def add_parts(parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor | None]) -> None:
    """Add one part's gradients to what is there; called in the order of the parts, so that sums do not vary."""
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is None:
            continue
        if parameter.grad is None:  # a copy laid out like the parameter: the fused optimiser goes by memory alone
            parameter.grad = torch.empty_like(parameter).copy_(gradient)
        else:
            parameter.grad += gradient


@contextlib.contextmanager
def joined() -> Iterator[tuple[Team, torch.device]]:
    """This process' place among those that `torchrun` started, and its device: nccl on GPUs, gloo on CPUs.

    Raises:
        ValueError: there are more processes on this machine than GPUs.
    """
    size, local = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("LOCAL_RANK", "0"))
    gpus = torch.cuda.device_count()
    if gpus and local >= gpus:
        raise ValueError(f"process {local} has no GPU of its own, there are {gpus}: set torchrun's --nproc-per-node")
    device = torch.device("cuda", local) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(device)
    if size == 1:
        yield Team(), device
        return
    dist.init_process_group("nccl" if gpus else "gloo")
    try:
        yield Team(dist.get_rank(), dist.get_world_size()), device
    finally:
        dist.destroy_process_group()
