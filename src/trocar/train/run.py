"""A recipe from beginning to end: render what is missing, train, write the weights."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

import cv2
import torch
from rich.console import Console

from trocar.machine import multiplies_bfloat16
from trocar.settings import to_toml
from trocar.train.class_calibration import calibrate_file, write_calibrations
from trocar.train.corpus import SCENES, open_corpus
from trocar.train.corpus_report import use_table, write_use
from trocar.train.distributed import Team, joined
from trocar.train.export import WEIGHTS, export_weights
from trocar.train.journal import peak_memory_gb
from trocar.train.recipe import Recipe
from trocar.train.render import render_scenes
from trocar.train.trainer import Trainer
from trocar.train.validation import BEST, validation_clips


class Stoppable(Protocol):
    """A run that ends after the step that it is at once `stopping` is set."""

    stopping: bool


CLASSES = "classes.json"


@dataclass(frozen=True)
class Run:
    """What is trained, and where.

    Args:
        recipe: all settings.
        data: folder for what is made from data, such as rendered scenes; data sets lie in the folder that TROCAR_DATA
            names, or where the recipe says.
        out: folder for checkpoints, log, the recipe as used and the weights.
        resume: go on from the last checkpoint in `out`.
        processes: processes that render scenes before the run.
        threads: threads to compute with; 0 leaves it to PyTorch.
    """

    recipe: Recipe
    data: Path
    out: Path
    resume: bool = False
    processes: int = 1
    threads: int = 0


def render(run: Run) -> None:
    """Render the scenes that the recipe asks for and `run.data` lacks."""
    if run.recipe.data.get(SCENES):
        shape = run.recipe.scene_shape
        render_scenes(shape.folder(run.data), run.recipe.scenes, run.processes, shape)


def train(run: Run) -> Path | None:
    """Carry a run out and return the file with its weights: the best ones in validation, or those at the end.

    Started by `torchrun` this is one of several processes; all but the first write nothing and return None.

    Raises:
        ValueError, FileNotFoundError: recipe, data or checkpoint are not right; the message says what to do.
        KeyboardInterrupt: it was stopped; `run.resume` goes on exactly from there.
    """
    cv2.setNumThreads(1)
    if run.threads:
        torch.set_num_threads(run.threads)
    with joined() as (team, device):
        trainer = _trainer(run, team, device)
        with ending_after_a_step(trainer):
            trainer.run()
        if not trainer.done:
            raise KeyboardInterrupt
        if not team.leads:
            return None
        export_weights(run.recipe, run.out, run.out / WEIGHTS)
        print(_summary(trainer))
        if run.recipe.semantic.on:
            print(_classes_calibrated(run))
    return run.out / (BEST if run.recipe.validation.dataset else WEIGHTS)


def _trainer(run: Run, team: Team, device: torch.device) -> Trainer:
    """Everything ready to begin: scenes rendered, data listed, the last state read."""
    recipe, say = run.recipe, reporter(team)
    warn_of_bfloat16(recipe.optimiser.bf16, device, "optimiser.bf16", say)
    if team.leads:
        render(run)
    team.gather(None)  # the others wait for the scenes
    corpus = open_corpus(recipe, run.data, say)
    clips = validation_clips(recipe.validation, recipe.sampling, slice(team.rank, None, team.size))
    trainer = Trainer(recipe, corpus.draws, run.out, device, team, clips)
    if run.resume:
        trainer.resume()
    if team.leads:
        Console(stderr=True).print(use_table(corpus.uses))
        write_use(run.out / "data.json", corpus.uses)
        (run.out / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    return trainer


def _classes_calibrated(run: Run) -> str:
    """Fit how sure the weights that were written say they are of classes, by all clips of the validation."""
    settings = run.recipe.validation
    if not settings.dataset:
        return "classes are said as sure as they come: name validation data to fit their temperature"
    clips = validation_clips(settings, run.recipe.sampling)
    found = {name: calibrate_file(run.out / name, clips, settings.memory) for name in (BEST, WEIGHTS)}
    write_calibrations(run.out / CLASSES, found, f"{settings.dataset} {settings.split}")
    best = found[BEST]
    if best.accuracy is None:
        return f"validation on {settings.dataset} {settings.split} shows no object of a class that is learned"
    return (
        f"classes: {best.accuracy:.3f} of {best.answers} answers on {best.objects} validation objects right; with "
        f"temperature {best.temperature:.3g} their calibration error is {best.error_after:.3f}, before "
        f"{best.error_before:.3f}"
    )


def warn_of_bfloat16(wanted: bool, device: torch.device, setting: str, say: Callable[[str], None]) -> None:
    """Say that a recipe asks for what this processor is slow at."""
    if wanted and device.type == "cpu" and not multiplies_bfloat16():
        say(f"this processor has no instructions for bfloat16, so that float32 is faster: set {setting} = false")


def reporter(team: Team) -> Callable[[str], None]:
    console = Console(stderr=True, quiet=not team.leads)
    return lambda message: console.print(message, markup=False)


def _summary(trainer: Trainer) -> str:
    steps, seconds = trainer.step, trainer.seconds
    best = "" if trainer.best is None else f", best {trainer.recipe.validation.metric} {trainer.best:.3f}"
    memory = peak_memory_gb(trainer.device)
    return f"{steps} steps in {seconds:.0f} s ({steps / seconds:.2f} steps/s), peak memory {memory:.2f} GB{best}"


@contextlib.contextmanager
def ending_after_a_step(trainer: Stoppable) -> Iterator[None]:
    """Let Ctrl+C and a polite kill end the run with whole steps only, so that it can go on exactly."""

    def stop(number: int, frame: FrameType | None) -> None:
        trainer.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
