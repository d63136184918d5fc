"""Promptable segmentation of surgical video, medical volumes and image sets: prompt once, get the masklet everywhere.

The names below are the public surface. Each is imported from its home when it is first used, so that `import trocar`
stays quick and does not load torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trocar.formats import open_source, write_masks
    from trocar.geometry import Geometry
    from trocar.load import load, load_memory, load_prompter
    from trocar.masks import FrameMasks
    from trocar.prompts import Box, ClassPrompt, MaskPrompt, Point, Scribble
    from trocar.track.session import Session

__version__ = "0.1.0"

__all__ = [
    "Box",
    "ClassPrompt",
    "FrameMasks",
    "Geometry",
    "MaskPrompt",
    "Point",
    "Scribble",
    "Session",
    "__version__",
    "load",
    "load_memory",
    "load_prompter",
    "open_source",
    "write_masks",
]

_HOMES = {
    "Box": "trocar.prompts",
    "ClassPrompt": "trocar.prompts",
    "FrameMasks": "trocar.masks",
    "Geometry": "trocar.geometry",
    "MaskPrompt": "trocar.prompts",
    "Point": "trocar.prompts",
    "Scribble": "trocar.prompts",
    "Session": "trocar.track.session",
    "load": "trocar.load",
    "load_memory": "trocar.load",
    "load_prompter": "trocar.load",
    "open_source": "trocar.formats",
    "write_masks": "trocar.formats",
}


class _Package(ModuleType):
    """This package, in which `load` is always the function and never the module that defines it."""

    def __setattr__(self, name: str, value: object) -> None:
        # Python binds an imported submodule to its package, and the module trocar.load would hide the function.
        if name == "load" and isinstance(value, ModuleType):
            value = value.load
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'trocar' has no attribute {name!r}; it offers {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
