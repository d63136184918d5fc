"""The loop around all training here: prepare a step, learn, note down, save.

It stops after any step and goes on exactly: what a step sees follows from the recipe's seed and the step alone. So the
next step is prepared while the current one is learned.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from trocar.train.checkpoint import LAST, Checkpoint, read_checkpoint, write_checkpoint
from trocar.train.distributed import Team
from trocar.train.journal import Journal

Batch = TypeVar("Batch")
Figures = dict[str, float]


@dataclass(frozen=True)
class Pace:
    """How often something is kept.

    Args:
        save_seconds: a checkpoint is written when so much time has passed since the last one.
        save_steps: and after every so many steps; 0 for by the clock alone.
        log_steps: a line of the log stands for so many steps.
    """

    save_seconds: float
    save_steps: int = 0
    log_steps: int = 20


class TrainingLoop(ABC, Generic[Batch]):
    """One run of a recipe, or what one process does of it.

    Args:
        out: folder for log and checkpoints.
        pace: how often they are written.
        device: where to train.
        team: this process among others.
        quiet: show no progress.

    Setting `stopping` ends a run after the step that it is at.
    """

    def __init__(
        self,
        out: Path,
        pace: Pace,
        device: torch.device | str = "cpu",
        team: Team | None = None,
        quiet: bool = False,
    ) -> None:
        self.out, self.pace = out, pace
        self.device, self.team = torch.device(device), team or Team()
        self.quiet = quiet or not self.team.leads
        self.step, self.seconds = 0, 0.0
        self.best: float | None = None
        self.stopping = self.stopped = False
        out.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(out, self.team.leads)

    @abstractmethod
    def progress(self, step: int) -> float:
        """Part of the run that is done before a step, 0 to 1."""

    @abstractmethod
    def prepare(self, step: int) -> Batch:
        """What a step learns from, as far as it falls to this process. Called from another thread, a step ahead."""

    @abstractmethod
    def learn(self, batch: Batch) -> Figures:
        """Take the next step and return its losses."""

    @abstractmethod
    def checkpoint(self) -> Checkpoint:
        """All that the run needs to go on."""

    @property
    def done(self) -> bool:
        return self.progress(self.step) >= 1

    def resume(self) -> None:
        """Go on from the last checkpoint; the recipe may differ from the one it was made with, the network may not.

        Raises:
            FileNotFoundError, ValueError: there is none, or it is of another network.
        """
        path = self.out / LAST
        state = read_checkpoint(path)
        try:
            self._restore(state)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"{path} is not a checkpoint of this recipe ({str(error).splitlines()[0]}): "
                "give the recipe that it was made with, or start without --resume"
            ) from error
        self.step, self.seconds, self.best = state.step, state.seconds, state.best
        self.journal.values = state.noted

    def run(self) -> None:
        """Train until the end, or until `stopping` is set; then a checkpoint of the last whole step is written."""
        columns = (*Progress.get_default_columns(), TimeElapsedColumn(), TextColumn("{task.fields[note]}"))
        saved = self.seconds
        self.journal.begin(self.step)
        try:
            with ThreadPoolExecutor(1) as ahead, Progress(*columns, disable=self.quiet) as bar:
                task = bar.add_task("train", total=1.0, note="")
                bar.update(task, completed=self.progress(self.step))
                upcoming = ahead.submit(self._plan(self.step))
                while not (self.done or self.stopped):
                    begun = time.monotonic()
                    batch = upcoming.result()
                    upcoming = ahead.submit(self._plan(self.step + 1))
                    losses = self.learn(batch)
                    self._agree(time.monotonic() - begun)
                    self._note(batch, losses)
                    if self.step % self.pace.log_steps == 0 or self.done:
                        state = {**self._state(batch), "seconds": round(self.seconds, 1)}
                        line = self.journal.close_line(self.step, state, self.device)
                        bar.update(task, completed=self.progress(self.step), note=self._said(line))
                    self._after_step(batch)
                    by_steps = self.pace.save_steps and self.step % self.pace.save_steps == 0
                    if by_steps or self.seconds - saved > self.pace.save_seconds:
                        saved = self.seconds
                        self._save()
        finally:
            self._save()
            self.journal.close()

    def _plan(self, step: int) -> Callable[[], Batch]:
        """The preparation of a step, with all settled that depends on the clock: it runs later, in another thread."""
        return partial(self.prepare, step)

    @abstractmethod
    def _restore(self, state: Checkpoint) -> None:
        """Take over weights and the optimiser's state."""

    @abstractmethod
    def _note(self, batch: Batch, losses: Figures) -> None:
        """Put the losses of a step into the journal."""

    @abstractmethod
    def _state(self, batch: Batch) -> Figures:
        """What else a line of the log says: where the run stands."""

    @abstractmethod
    def _said(self, line: Mapping[str, float]) -> str:
        """What the progress bar says of the newest line."""

    def _after_step(self, batch: Batch) -> None:
        """What is done between steps: to look at what is learned, and to score it."""

    def _save(self) -> None:
        if self.team.leads:
            write_checkpoint(self.out / LAST, self.checkpoint())

    def _agree(self, seconds: float) -> None:
        """Let all processes go by one clock and stop after the same step."""
        said = self.team.gather((seconds, self.stopping))
        self.seconds += said[0][0]
        self.stopped = any(stopping for _, stopping in said)
