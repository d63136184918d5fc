"""`trocar pretrain RECIPE`: pretrain a video encoder without labels, everything in the recipe being an option too.

`torchrun --nproc-per-node 8 -m trocar pretrain RECIPE ...` shares the work among as many processes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from trocar.cli.fields import LazyParser, add_fields, with_given


def add_arguments(parser: LazyParser, verb: str) -> None:
    parser.add_argument("recipe", type=Path, help="such as recipes/surgrec-mae-smoke.toml; its settings become options")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log, recipe and encoder")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with; 0 leaves it to PyTorch (0)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="only write the last checkpoint's encoder to FILE")
    parser.set_defaults(run=pretrain_verb)

    def complete(arguments: Sequence[str]) -> None:
        """Options for the settings of the recipe that is named."""
        from trocar.pretrain.recipe import PretrainRecipe
        from trocar.settings import read_settings

        named = next((word for word in arguments if word.endswith(".toml")), None)
        add_fields(parser, read_settings(PretrainRecipe, Path(named)) if named else PretrainRecipe())

    parser.complete = complete


def pretrain_verb(options: argparse.Namespace) -> int:
    """Train, and say where the encoder is."""
    from trocar.pretrain.recipe import PretrainRecipe
    from trocar.pretrain.run import PretrainRun, export_encoder, pretrain
    from trocar.settings import read_settings

    recipe = with_given(read_settings(PretrainRecipe, options.recipe), options)
    if options.export:
        print(export_encoder(recipe, options.out, options.export))
        return 0
    try:
        encoder = pretrain(PretrainRun(recipe, options.out, options.resume, options.threads))
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"go on with --resume ({options.out})") from None
    if encoder:
        print(encoder)
    return 0
