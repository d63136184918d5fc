"""`trocar classes`: the class models and what they know, a class more from a few frames, and calibration."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trocar.cli.tables import Rows, print_table

if TYPE_CHECKING:
    from trocar.classprompt.config import ClassPromptConfig

DEFAULT = "nano-classes"


def add_arguments(parser: argparse.ArgumentParser, verb: str) -> None:
    parser.set_defaults(run=listed)
    parser.add_argument("--json", action="store_true", help="print JSON")
    what = parser.add_subparsers(dest="what", metavar="WHAT")
    show = what.add_parser("show", help="one class model: its classes, its network, how it was made")
    show.add_argument("model", help="a name of `trocar classes`, or a file")
    show.set_defaults(run=shown)
    add = what.add_parser("add", help="a class more from a few labelled frames; the others answer as before")
    add.add_argument("name", help="of the class")
    add.add_argument("--frames", nargs="+", required=True, type=Path, metavar="PICTURE", help="five are usual")
    add.add_argument("--masks", nargs="+", required=True, type=Path, metavar="PNG", help="one each, 0 where it is not")
    add.add_argument("--to", required=True, type=Path, metavar="FILE", help="the class model that is written")
    add.add_argument("--from", dest="known", default=DEFAULT, metavar="NAME|FILE", help=f"extended one ({DEFAULT})")
    add.add_argument("--model", default="nano", help="the network that it was trained on (nano)")
    add.add_argument("--steps", type=int, default=100, help="to fit its prototype; 0 takes the mean as it is (100)")
    add.add_argument("--device", help="cpu, cuda or mps (the fastest there is)")
    add.set_defaults(run=added)
    fit = what.add_parser("calibrate", help="fit when classes count as there, on the inner split of a recipe")
    fit.add_argument("file", type=Path, help="of the class model, which is written again")
    fit.add_argument("recipe", type=Path, help="by which it was trained")
    fit.add_argument("--data", type=Path, required=True, help="folder for cached features, as in training")
    fit.set_defaults(run=calibrated)
    for command in (show, add, fit):
        command.add_argument("--json", action="store_true", help="print JSON")


def listed(options: argparse.Namespace) -> int:
    """All class models by name."""
    from trocar.classprompt.class_model import read_class_config
    from trocar.classprompt.registry import CLASS_MODELS, find_class_model

    rows: Rows = []
    for name, info in CLASS_MODELS.items():
        row: dict[str, Any] = {"class_model": name, "network": info.network, "licence": info.licence}
        try:
            row |= {"here": True, "classes": list(read_class_config(find_class_model(name)).names)}
        except FileNotFoundError:
            row |= {"here": False, "classes": []}
        rows.append(row)
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print_table([{**row, "here": "yes" if row["here"] else "no", "classes": ", ".join(row["classes"])} for row in rows])
    return 0


def shown(options: argparse.Namespace) -> int:
    """One class model."""
    from trocar.classprompt.class_model import read_class_config
    from trocar.classprompt.registry import find_class_model
    from trocar.model.checkpoint import read_head

    path = find_class_model(options.model)
    config = read_class_config(path)
    head = {name: said for name, said in read_head(path).items() if name not in ("kind", "class_prompts", "format")}
    facts = {"file": str(path), **_facts(config), **head}
    print(json.dumps(facts, indent=2)) if options.json else print_table([_in_words(facts)])
    return 0


def added(options: argparse.Namespace) -> int:
    """Write a class model that knows one class more."""
    import torch

    from trocar.classprompt.class_model import open_class_model
    from trocar.classprompt.few_frames import add_class
    from trocar.classprompt.registry import find_class_model
    from trocar.load import load
    from trocar.model.checkpoint import read_head
    from trocar.track.features import input_of

    if len(options.frames) != len(options.masks):
        raise ValueError(f"{len(options.frames)} frames and {len(options.masks)} masks: give one mask for each frame")
    network = load(options.model, options.device)
    known = find_class_model(options.known)
    model = open_class_model(known, network)
    side = input_of(network.config, model.config.side)
    pairs = [_labelled(*pair, side) for pair in zip(options.frames, options.masks, strict=True)]
    like = next(network.prompt_encoder.parameters())
    with torch.no_grad():
        features = network.encode_image(torch.stack([pixels for pixels, _ in pairs]).to(like))
    masks = torch.stack([mask for _, mask in pairs]).to(like.device)
    made = add_class(model, network, options.name, features, masks, options.steps)
    head = {name: said for name, said in read_head(known).items() if name not in ("kind", "class_prompts", "format")}
    # In full precision, so that the old classes answer as before whatever the file had.
    made.save(options.to, {**head, f"added {options.name}": f"{len(pairs)} frames"}, dtype=torch.float32)
    facts = {"file": str(options.to), **_facts(made.config)}
    print(json.dumps(facts, indent=2)) if options.json else print_table([_in_words(facts)])
    return 0


def calibrated(options: argparse.Namespace) -> int:
    """Calibrate a class model's file."""
    from trocar.classprompt.class_model import open_class_model, read_class_config
    from trocar.settings import read_settings
    from trocar.train.class_prompt_recipe import ClassPromptRecipe
    from trocar.train.class_prompt_start import frozen_network, open_pictures
    from trocar.train.class_prompts import calibrate_presence

    recipe = read_settings(ClassPromptRecipe, options.recipe)
    if recipe.selection.by != "inner":
        raise ValueError(f'{options.recipe} has no inner split: set selection.by = "inner" and its sources')
    network = frozen_network(recipe)
    names = open_class_model(options.file, network).config.names
    inner = open_pictures(recipe, network, options.data, options.json).inner
    assert inner is not None
    if inner.shots.names != names:
        raise ValueError(f"{options.file} knows other classes than {options.recipe}: {', '.join(names)}")
    general = frozenset(names.index(name) for name in recipe.data.general if name in names)
    if not calibrate_presence(options.file, network, inner, general):
        raise ValueError("the inner split shows every class that it knows of on all its frames: add some without")
    facts = {"file": str(options.file), **_facts(read_class_config(options.file))}
    print(json.dumps(facts, indent=2)) if options.json else print_table([_in_words(facts)])
    return 0


def _facts(config: ClassPromptConfig) -> dict[str, Any]:
    names = config.names
    return {
        "classes": list(names),
        "added": list(names[config.trained :]),
        "network_input": config.side,
        "presence": "calibrated" if config.presence else "not calibrated",
    }


def _in_words(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: ", ".join(said) if isinstance(said, list) else said for name, said in facts.items()}


def _labelled(frame: Path, mask: Path, shown: Any) -> tuple[Any, Any]:
    """A picture as the network takes it, and its mask in the network's input."""
    import torch
    import torch.nn.functional as F

    from trocar.cli.said import read_picture_mask
    from trocar.formats import open_source

    image = open_source(str(frame))[0].image
    truth = read_picture_mask(mask)
    if truth.shape != image.shape[:2]:
        raise ValueError(
            f"{mask} is {truth.shape[1]} x {truth.shape[0]} and {frame} {image.shape[1]} x {image.shape[0]}"
        )
    rows, columns = shown.extent(truth.shape)
    soft = F.interpolate(torch.from_numpy(truth)[None, None].float(), size=(rows, columns), mode="area")
    whole = F.pad(soft, (0, shown.side - columns, 0, shown.side - rows))[0, 0]
    return shown.pixels(image), whole >= 0.5
