"""`trocar train`: run a recipe."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.add_argument("recipe", type=Path, help="a recipe, such as recipes/nano.toml")
    parser.add_argument("--data", type=Path, required=True, help="folder for the rendered scenes")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log, recipe and weights")
    parser.add_argument("--minutes", type=float, help="length of the run by the clock, instead of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    parser.add_argument("--weights", type=Path, help="begin with the weights in this file")
    parser.add_argument("--processes", type=int, default=1, help="processes that render scenes before the run (1)")
    parser.add_argument("--render-only", action="store_true", help="stop when the scenes are rendered")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with; 0 leaves it to PyTorch (0)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="only write the last checkpoint's weights to FILE")
    parser.set_defaults(run=train_verb)


def train_verb(options: argparse.Namespace) -> int:
    """Render, train, and say where the weights are."""
    from trocar.settings import read_settings
    from trocar.train.export import export_weights
    from trocar.train.recipe import Recipe
    from trocar.train.run import Run, render, train

    run = Run(
        options.recipe,
        options.data,
        options.out,
        options.minutes,
        options.resume,
        options.weights,
        options.processes,
        options.threads,
    )
    if options.export:
        export_weights(read_settings(Recipe, options.recipe), options.out, options.export)
        print(options.export)
    elif options.render_only:
        render(run)
    else:
        try:
            print(train(run))
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"go on with --resume ({options.out})") from None
    return 0
