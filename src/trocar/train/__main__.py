"""python -m trocar.train RECIPE --data DIR --out DIR [--minutes M] [--resume] ...: run a recipe."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType

import cv2
import torch

from trocar.train.checkpoint import LAST
from trocar.train.clips import mixed, open_source
from trocar.train.export import WEIGHTS, export_weights
from trocar.train.loop import Trainer
from trocar.train.recipe import read_recipe, recipe_to_toml
from trocar.train.render import render_scenes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0 done, 2 bad input, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m trocar.train", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a recipe, such as recipes/nano.toml")
    parser.add_argument("--data", type=Path, required=True, help="folder for the rendered scenes")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log and the recipe as used")
    parser.add_argument("--minutes", type=float, help="length of the run by the clock, instead of the recipe's")
    parser.add_argument("--resume", action="store_true", help=f"go on from {LAST} in the output folder")
    parser.add_argument("--weights", type=Path, help="begin with the weights in this file")
    parser.add_argument("--processes", type=int, default=1, help="processes that render scenes before the run")
    parser.add_argument("--render-only", action="store_true", help="stop when the scenes are rendered")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with; 0 leaves it to PyTorch")
    parser.add_argument("--export", type=Path, help="only write the weights of the last checkpoint to this file")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    if options.threads:
        torch.set_num_threads(options.threads)
    try:
        train(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"trocar train: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; go on with --resume ({options.out / LAST})", file=sys.stderr)
        return 130
    return 0


def train(options: argparse.Namespace) -> None:
    """Render what is missing, train, and write the weights; or only write them."""
    recipe = read_recipe(options.recipe)
    if options.export:
        export_weights(recipe, options.out, options.export)
        return
    if options.minutes:
        recipe = replace(recipe, minutes=options.minutes)
    if recipe.data.get("scenes"):
        render_scenes(options.data / "scenes", recipe.scenes, options.processes)
    if options.render_only:
        return
    wanted = [name for name, share in recipe.data.items() if share > 0]
    sources = {name: open_source(name, None, options.data / "scenes") for name in wanted}
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = Trainer(recipe, mixed(sources, recipe.data), options.out, device)
    if options.weights:
        trainer.start_from(options.weights)
    if options.resume:
        trainer.resume(options.out / LAST)
    (options.out / "recipe.toml").write_text(recipe_to_toml(recipe), encoding="utf-8")
    with ending_after_a_step(trainer):
        trainer.run()
    if trainer.stopping:
        raise KeyboardInterrupt
    export_weights(recipe, options.out, options.out / WEIGHTS)


@contextlib.contextmanager
def ending_after_a_step(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl+C and a polite kill end the run with whole steps only, so that it can go on exactly."""

    def stop(number: int, frame: FrameType | None) -> None:
        trainer.stopping = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
