"""The source tree as the architecture tests see it: parsed modules and what they import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SRC = ROOT / "src"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One Python file: its dotted name, where it lies from the repository's root, and its syntax tree."""

    name: str
    path: str
    tree: ast.Module
    lines: int

    @property
    def folder(self) -> str:
        """The part of the package it belongs to, `masks` for trocar.masks.rle; empty for trocar itself."""
        return ".".join(self.name.split(".")[1:2])

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))


def parse(folder: Path) -> list[Module]:
    modules = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        modules.append(Module(name, path.relative_to(ROOT).as_posix(), ast.parse(text), len(text.splitlines())))
    return modules


@cache
def sources() -> list[Module]:
    return parse(SRC)


@cache
def everything() -> list[Module]:
    """The package and what stands around it: tests, scripts and examples."""
    return [module for name in ("src", "tests", "scripts", "examples") for module in parse(ROOT / name)]


def imports(module: Module) -> set[str]:
    """Dotted names of all modules that `module` imports, wherever in it the import stands, TYPE_CHECKING included.

    `from trocar.masks import rle` gives trocar.masks.rle where that is a module, and trocar.masks for a name in it.
    """
    known = {other.name for other in sources()}
    found = set()
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.path}:{node.lineno}: relative import; write the full name"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in known else str(node.module))
    return found
