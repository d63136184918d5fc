"""The items of a batch as tasks of a Ray cluster. Sources, manifest and output lie on a folder that all nodes see.

A task whose node is lost is tried again elsewhere, and goes on from the snapshots in the item's folder.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Generator, Sequence
from importlib import import_module
from typing import Any

from trocar.cli.batch_item import Item, Outcome, run_item

ANSWER_S = 10.0
RETRIES = 5  # of a task whose process or node is lost
GOODBYE_S = 120.0  # for a task to finish the files of the frames that it has done


def run_on_ray(items: Sequence[Item], address: str, device: str | None) -> Generator[Outcome]:
    """Every item's outcome, as they come. Closing the iterator interrupts running items, which can be resumed.

    Args:
        items: with paths that are the same on all nodes.
        address: of a cluster's head, HOST:PORT, or "auto" for the one of this machine.
        device: where networks run; None for a GPU each where the cluster has some.

    Raises:
        ValueError: Ray is not installed, no cluster answers, or it has no GPU for `device`.
    """
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise ValueError("a batch on a cluster needs Ray: pip install 'trocar[ray]'") from error
    begun = not ray.is_initialized()
    if begun:
        try:
            _check_reachable(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, RuntimeError, ValueError) as error:
            message = f"no Ray cluster answers at {address} ({error}): begin one with `ray start --head`"
            raise ValueError(message) from error
    try:
        gpus = float(ray.cluster_resources().get("GPU", 0)) > 0
        if device and device.startswith("cuda") and not gpus:
            raise ValueError(f"the Ray cluster at {address} has no GPU: leave out --device {device}")
        wanted = {"num_gpus": 1} if gpus and device != "cpu" else {"num_cpus": 1}
        yield from _outcomes(ray, ray.remote(max_retries=RETRIES, **wanted)(_task), items)
    finally:
        if begun:
            ray.shutdown()


def _check_reachable(address: str) -> None:
    """That somebody listens at HOST:PORT: Ray itself would go on trying for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()


def _task(item: Item) -> Outcome:
    import torch

    if not torch.cuda.is_available():
        torch.set_num_threads(1)  # a task is one processor's
    return run_item(item)


def _outcomes(ray: Any, task: Any, items: Sequence[Item]) -> Generator[Outcome]:
    waiting = {task.remote(item): item for item in items}
    try:
        while waiting:
            for reference in ray.wait(list(waiting), num_returns=1)[0]:
                item = waiting.pop(reference)
                try:
                    outcome: Outcome = ray.get(reference)
                except ray.exceptions.RayError as error:  # lost more often than it is tried again
                    said = " ".join(str(error).split())[:300]
                    outcome = Outcome(item.name, "failed", error=f"{type(error).__name__}: {said}")
                yield outcome
    finally:
        for reference in waiting:
            ray.cancel(reference)
        if waiting:
            with contextlib.suppress(ray.exceptions.RayError):
                ray.wait(list(waiting), num_returns=len(waiting), timeout=GOODBYE_S)
