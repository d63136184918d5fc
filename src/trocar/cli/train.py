"""`trocar train RECIPE`: run a recipe, everything in it being an option too.

`torchrun --nproc-per-node 8 -m trocar train RECIPE ...` shares the work among as many processes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from trocar.cli.fields import LazyParser, add_fields, with_given


def add_arguments(parser: LazyParser, verb: str) -> None:
    parser.add_argument("recipe", type=Path, help="a recipe, such as recipes/nano.toml; its settings become options")
    parser.add_argument("--data", type=Path, required=True, help="folder for the rendered scenes")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log, recipe and weights")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    parser.add_argument("--processes", type=int, default=1, help="processes that render scenes before the run (1)")
    parser.add_argument("--render-only", action="store_true", help="stop when the scenes are rendered")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with; 0 leaves it to PyTorch (0)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="only write the last checkpoint's weights to FILE")
    parser.set_defaults(run=train_verb)

    def complete(arguments: Sequence[str]) -> None:
        """Options for the settings of the recipe that is named."""
        from trocar.settings import read_settings
        from trocar.train.recipe import Recipe

        named = next((word for word in arguments if word.endswith(".toml")), None)
        add_fields(parser, read_settings(Recipe, Path(named)) if named else Recipe())

    parser.complete = complete


def train_verb(options: argparse.Namespace) -> int:
    """Render, train, and say where the weights are."""
    from trocar.settings import read_settings
    from trocar.train.export import export_weights
    from trocar.train.recipe import Recipe
    from trocar.train.run import Run, render, train

    recipe = with_given(read_settings(Recipe, options.recipe), options)
    run = Run(recipe, options.data, options.out, options.resume, options.processes, options.threads)
    if options.export:
        export_weights(recipe, options.out, options.export)
        print(options.export)
    elif options.render_only:
        render(run)
    else:
        try:
            weights = train(run)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"go on with --resume ({options.out})") from None
        if weights:
            print(weights)
    return 0
