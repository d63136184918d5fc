"""The items of a batch in processes of this machine: one a GPU, or several with one thread each."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from trocar.cli.batch_item import Item, Outcome, run_item
from trocar.threads import processor_count

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
GOODBYE_S = 120.0  # for a process to finish the files of the frames that it has done


@dataclass
class _Worker:
    process: BaseProcess
    pipe: Connection
    item: Item | None = None

    def give(self, item: Item) -> None:
        self.item = item
        with suppress(ConnectionError):  # of a process that has died: its answer will say so
            self.pipe.send(item)


def slots(device: str, jobs: int | None) -> list[dict[str, str]]:
    """The environment of each process.

    Args:
        device: "cpu", "cuda" or "mps".
        jobs: how many; None for one a GPU, or one a processor.

    Raises:
        ValueError: there is no GPU, or one of them is asked for by its number.
    """
    if ":" in device:
        raise ValueError(f"--device {device}: a batch takes all GPUs; let it see some with CUDA_VISIBLE_DEVICES")
    if device.startswith("cuda"):
        import torch

        named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        there = named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
        if not there:
            raise ValueError("there is no GPU on this machine: leave out --device cuda")
        return [{"CUDA_VISIBLE_DEVICES": there[place % len(there)]} for place in range(jobs or len(there))]
    if device == "mps":
        return [{} for _ in range(jobs or 1)]
    return [dict(ONE_THREAD) for _ in range(jobs or processor_count())]


def run_locally(items: Sequence[Item], environments: Sequence[Mapping[str, str]]) -> Generator[Outcome]:
    """Every item's outcome, as they come. Closing the iterator lets running items finish the files of their frames.

    A process that dies takes nothing with it but its item, which counts as failed; another one takes its place.
    """
    todo = list(reversed(items))
    workers: list[_Worker] = []
    try:
        for environment in environments[: len(items)]:
            workers.append(_started(environment))
            workers[-1].give(todo.pop())
        while busy := {worker.pipe: place for place, worker in enumerate(workers) if worker.item is not None}:
            for pipe in wait(list(busy)):
                place = busy[pipe]  # type: ignore[index]  # all that is waited for are pipes
                outcome = _received(workers[place])
                workers[place].item = None
                if todo:
                    if not workers[place].process.is_alive():
                        workers[place] = _started(environments[place])
                    workers[place].give(todo.pop())
                yield outcome
    finally:
        _dismiss(workers)


def _received(worker: _Worker) -> Outcome:
    assert worker.item is not None
    try:
        outcome: Outcome = worker.pipe.recv()
        return outcome
    except (EOFError, ConnectionError):
        worker.process.join()
        code = worker.process.exitcode or 0
        why = f"by signal {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        error = f"its process ended {why}: memory may have run out; run fewer at once"
        return Outcome(worker.item.name, "failed", error=error)


def _started(environment: Mapping[str, str]) -> _Worker:
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, dict(environment)), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _dismiss(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        if worker.process.is_alive():
            worker.process.terminate()
    for worker in workers:
        worker.process.join(GOODBYE_S)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.pipe.close()


def _serve(pipe: Connection, environment: Mapping[str, str]) -> None:
    """What a process does: items, until it is told to end. It ends at once when the process that began it is gone."""
    os.environ.update(environment)  # before anything that counts threads or GPUs is imported
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group: the parent decides
    signal.signal(signal.SIGTERM, _interrupt)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import torch

        if "OMP_NUM_THREADS" in environment:
            torch.set_num_threads(1)
        while True:
            pipe.send(run_item(pipe.recv()))
    except (KeyboardInterrupt, EOFError, ConnectionError):
        pass


def _interrupt(number: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
