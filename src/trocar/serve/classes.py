"""What a server can look for by the names of classes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from trocar.classprompt.class_model import read_class_config
from trocar.classprompt.config import ClassPromptConfig
from trocar.classprompt.registry import CLASS_MODELS, find_class_model
from trocar.load import load_prompter
from trocar.model.network import Network
from trocar.serve.errors import Refusal
from trocar.track.prompter import Prompter

AUTO = "auto"
"""The class model that comes with trocar for the server's network, if there is one."""


class Classes:
    """The class model of a server.

    Args:
        network: the server's.
        model: its name, as `trocar.load` takes it.
        class_model: a name of `trocar classes`, a file, AUTO, or "" for none.

    Raises:
        ValueError, FileNotFoundError: the class model that was named is not there, or does not fit the network.
    """

    def __init__(self, network: Network, model: str, class_model: str = AUTO) -> None:
        self._network = network
        self._config: ClassPromptConfig | None = None
        self._file = _found(model) if class_model == AUTO else find_class_model(class_model) if class_model else None
        if self._file is None:
            return
        try:
            self._config = _fitting(network, self._file)
        except ValueError as error:
            if class_model != AUTO:
                raise
            logging.getLogger(__name__).warning("classes are not looked for: %s", error)

    @property
    def names(self) -> list[str]:
        """What can be looked for; nothing without a class model."""
        return [] if self._config is None else list(self._config.names)

    def check(self, names: Sequence[str]) -> None:
        """That these can be looked for.

        Raises:
            Refusal: there is no class model, or no name.
            ValueError: there is no such class; the nearest are named.
        """
        if self._config is None:
            raise Refusal(
                "not_available",
                "this server has no class model for its network: prompt with points, boxes, scribbles or masks",
            )
        if not names:
            raise Refusal("invalid", f"there is nothing to look for: name one of {', '.join(self.names)}")
        self._config.numbers(names)

    def prompter(self, names: Sequence[str]) -> Prompter:
        """Who looks for these classes; raises as `check` does."""
        self.check(names)
        return load_prompter(self._network, names, str(self._file))


def _fitting(network: Network, file: Path) -> ClassPromptConfig:
    """What a class model knows, once it is known to work with a network; what does not fit is said now."""
    config, side = read_class_config(file), network.config.image_size
    if config.side != side:
        raise ValueError(f"{file.name} reads inputs of {config.side} px, and the network of {side}: choose another")
    load_prompter(network, model=str(file))
    return config


def _found(model: str) -> Path | None:
    """The file of the class model that was trained on a network, if it is on this machine."""
    for name, info in CLASS_MODELS.items():
        if info.network == model:
            try:
                return find_class_model(name)
            except FileNotFoundError:
                continue
    return None
