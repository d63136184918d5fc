"""Which class models there are by name, and where their files are."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from trocar.model.registry import ASSETS, WEIGHTS_FOLDER


@dataclass(frozen=True)
class ClassModelInfo:
    """One line of the table of class models.

    Args:
        name: what people type.
        file: inside the package, or in the folder that TROCAR_WEIGHTS names.
        network: whose features it reads.
        licence: of the weights, as an SPDX identifier.
    """

    name: str
    file: str
    network: str
    licence: str


CLASS_MODELS: dict[str, ClassModelInfo] = {
    "nano-classes": ClassModelInfo("nano-classes", "nano-classes.safetensors", "nano", "Apache-2.0"),
}


def find_class_model(name: str) -> Path:
    """The file of a named class model, or the file that `name` is the path of.

    Raises:
        ValueError: there is neither a model nor a file of this name.
        FileNotFoundError: the model is known, and its file is not here.
    """
    if Path(name).is_file():
        return Path(name)
    if name not in CLASS_MODELS:
        near = difflib.get_close_matches(name, CLASS_MODELS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        known = ", ".join(CLASS_MODELS)
        raise ValueError(f"there is no class model and no file {name!r}; {hint}name a file, or one of: {known}")
    file = CLASS_MODELS[name].file
    folder = os.environ.get(WEIGHTS_FOLDER)
    places = [place / file for place in (ASSETS, *([Path(folder)] if folder else []))]
    for path in places:
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"the class model {name!r} is not in this installation ({places[0].name}): name a file of your own, as "
        "`trocar train` writes it from a recipe of class prompts"
    )
