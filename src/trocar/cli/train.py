"""`trocar train RECIPE`: run a recipe, everything in it being an option too.

A recipe with `kind = "class-prompts"` trains class prompts, any other one a network on images and clips.
`torchrun --nproc-per-node 8 -m trocar train RECIPE ...` shares the work among as many processes.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trocar.cli.fields import LazyParser, add_fields, with_given

if TYPE_CHECKING:
    from trocar.train.class_prompt_recipe import ClassPromptRecipe
    from trocar.train.recipe import Recipe

CLIPS = "clips"


def add_arguments(parser: LazyParser, verb: str) -> None:
    parser.add_argument("recipe", type=Path, help="a recipe, such as recipes/nano.toml; its settings become options")
    parser.add_argument("--data", type=Path, required=True, help="folder for rendered scenes and cached features")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, log, recipe and weights")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    parser.add_argument("--processes", type=int, default=1, help="processes that render scenes before the run (1)")
    parser.add_argument("--render-only", action="store_true", help="stop when scenes are rendered, or features cached")
    parser.add_argument("--threads", type=int, default=0, help="threads to compute with; 0 leaves it to PyTorch (0)")
    parser.add_argument("--export", type=Path, metavar="FILE", help="only write the last checkpoint's weights to FILE")
    parser.set_defaults(run=train_verb)

    def complete(arguments: Sequence[str]) -> None:
        """Options for the settings of the recipe that is named."""
        from trocar.settings import read_settings
        from trocar.train.recipe import Recipe

        named = next((word for word in arguments if word.endswith(".toml")), None)
        add_fields(parser, read_settings(recipe_class(Path(named)), Path(named)) if named else Recipe())

    parser.complete = complete


def recipe_class(path: Path) -> type[Any]:
    """What kind of recipe a TOML file is, by its key `kind`; a network's, "clips", where it says none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not TOML, or of an unknown kind.
    """
    from trocar.settings import read_table
    from trocar.train.class_prompt_recipe import KIND, ClassPromptRecipe
    from trocar.train.recipe import Recipe

    kinds: dict[str, type[Any]] = {CLIPS: Recipe, KIND: ClassPromptRecipe}
    said = str(read_table(path).get("kind", CLIPS))
    if said not in kinds:
        near = difflib.get_close_matches(said, kinds, n=1, cutoff=0.0)
        raise ValueError(f"{path}: there is no kind of recipe {said!r}: did you mean {near[0]!r}?")
    return kinds[said]


def train_verb(options: argparse.Namespace) -> int:
    """Render, train, and say where the weights are."""
    from trocar.settings import read_settings
    from trocar.train.recipe import Recipe

    kind = recipe_class(options.recipe)
    recipe = with_given(read_settings(kind, options.recipe), options)
    return _train_clips(recipe, options) if isinstance(recipe, Recipe) else _train_classes(recipe, options)


def _train_classes(recipe: ClassPromptRecipe, options: argparse.Namespace) -> int:
    from trocar.train.class_prompts import ClassRun, prepare_classes, train_classes

    run = ClassRun(recipe, options.data, options.out, options.resume, options.threads)
    if options.export:
        raise ValueError("--export is for recipes of networks: a class model is written beside its checkpoints")
    if options.render_only:
        prepare_classes(run)
        return 0
    with _telling_how_to_go_on(options.out):
        print(train_classes(run))
    return 0


def _train_clips(recipe: Recipe, options: argparse.Namespace) -> int:
    from trocar.train.export import export_weights
    from trocar.train.run import Run, render, train

    run = Run(recipe, options.data, options.out, options.resume, options.processes, options.threads)
    if options.export:
        export_weights(recipe, options.out, options.export)
        print(options.export)
    elif options.render_only:
        render(run)
    else:
        with _telling_how_to_go_on(options.out):
            weights = train(run)
        if weights:
            print(weights)
    return 0


@contextlib.contextmanager
def _telling_how_to_go_on(out: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"go on with --resume ({out})") from None
