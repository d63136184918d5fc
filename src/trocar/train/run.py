"""A recipe from beginning to end: render what is missing, train, write the weights."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

import cv2
import torch

from trocar.settings import read_settings, to_toml
from trocar.train.checkpoint import LAST
from trocar.train.clips import mixed, open_source
from trocar.train.export import WEIGHTS, export_weights
from trocar.train.loop import Trainer
from trocar.train.recipe import Recipe
from trocar.train.render import render_scenes


@dataclass(frozen=True)
class Run:
    """What is trained, where, and for how long.

    Args:
        recipe: a TOML file, such as recipes/nano.toml.
        data: folder for the rendered scenes; real data lie in the folder that TROCAR_DATA names.
        out: folder for checkpoints, log, the recipe as used and the weights.
        minutes: length of the run by the clock, instead of the recipe's.
        resume: go on from the last checkpoint in `out`.
        weights: begin with the weights in this file.
        processes: processes that render scenes before the run.
        threads: threads to compute with; 0 leaves it to PyTorch.
    """

    recipe: Path
    data: Path
    out: Path
    minutes: float | None = None
    resume: bool = False
    weights: Path | None = None
    processes: int = 1
    threads: int = 0


def render(run: Run) -> None:
    """Render the scenes that the recipe asks for and `run.data` lacks."""
    recipe = read_settings(Recipe, run.recipe)
    if recipe.data.get("scenes"):
        render_scenes(run.data / "scenes", recipe.scenes, run.processes)


def train(run: Run) -> Path:
    """Carry a run out and return the file with its weights.

    Raises:
        ValueError, FileNotFoundError: recipe, data or checkpoint are not right; the message says what to do.
        KeyboardInterrupt: it was stopped; `run.resume` goes on exactly from there.
    """
    cv2.setNumThreads(1)
    if run.threads:
        torch.set_num_threads(run.threads)
    recipe = read_settings(Recipe, run.recipe)
    if run.minutes:
        recipe = replace(recipe, minutes=run.minutes)
    render(run)
    wanted = [name for name, share in recipe.data.items() if share > 0]
    sources = {name: open_source(name, None, run.data / "scenes") for name in wanted}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(recipe, mixed(sources, recipe.data), run.out, device)
    if run.weights:
        trainer.start_from(run.weights)
    if run.resume:
        trainer.resume(run.out / LAST)
    (run.out / "recipe.toml").write_text(to_toml(recipe), encoding="utf-8")
    with _ending_after_a_step(trainer):
        trainer.run()
    if trainer.stopping:
        raise KeyboardInterrupt
    export_weights(recipe, run.out, run.out / WEIGHTS)
    return run.out / WEIGHTS


@contextlib.contextmanager
def _ending_after_a_step(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl+C and a polite kill end the run with whole steps only, so that it can go on exactly."""

    def stop(number: int, frame: FrameType | None) -> None:
        trainer.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
