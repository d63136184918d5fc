"""Imports point one way: the table of docs/design.md, section 2, held against the source."""

from __future__ import annotations

import ast
import sys
from graphlib import TopologicalSorter

from source_tree import Module, imports, sources

# An import may only go down. Folders of one rank do not know each other, except that each folder of rank 0 may import
# those to its left.
RANKS = [
    ["geometry", "frames", "masks", "prompts"],
    ["model", "memory", "formats", "metrics"],
    ["track", "classprompt", "datasets", "wire", "settings"],
    ["load", "promptable", "machine", "threads", "client"],
    ["train", "bench", "serve"],
    ["pretrain", "recognition"],
    ["cli", "__main__"],
]
RANK_OF = {folder: rank for rank, folders in enumerate(RANKS) for folder in folders}

NO_TORCH = {*RANKS[0], "metrics", "wire", "client"}
NO_PATHS = {*RANKS[0], "metrics"}
PATH_MODULES = {"os", "io", "pathlib", "shutil", "glob", "tempfile"}
RANK_0_MAY_IMPORT = {"numpy", "scipy", "pycocotools", "trocar"}
# Their wheels break on CPU torch, drag in one another, or carry a licence that would bind our users.
FORBIDDEN = {"torchvision", "timm", "open_clip", "ultralytics"}


def may_import(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if RANK_OF[importer] == RANK_OF[imported] == 0:
        return RANKS[0].index(imported) < RANKS[0].index(importer)
    if {importer, imported} == set(RANKS[-1]):
        return importer == "__main__"
    return RANK_OF[imported] < RANK_OF[importer]


def roots(module: Module) -> set[str]:
    return {name.split(".")[0] for name in imports(module)}


def parts() -> list[Module]:
    """All modules but the package's own __init__, which stands above the ranks: it names the public surface."""
    return [module for module in sources() if module.name != "trocar"]


def test_every_folder_has_a_rank() -> None:
    assert {module.folder for module in parts()} <= set(RANK_OF), "give the new folder a rank, here and in the design"


def test_imports_only_go_down() -> None:
    offences = [
        f"{module.path} imports {name}"
        for module in parts()
        for name in sorted(imports(module))
        if name.startswith("trocar.") and not may_import(module.folder, name.split(".")[1])
    ]
    assert not offences, "\n".join(offences)


def test_nothing_inside_imports_the_public_surface() -> None:
    """Inside the package a name comes from its home; only the version lives in trocar itself."""
    offences = [
        f"{module.path}:{node.lineno}"
        for module in parts()
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.Import) and any(alias.name == "trocar" for alias in node.names))
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "trocar"
            and any(alias.name != "__version__" and f"trocar.{alias.name}" not in NAMES for alias in node.names)
        )
    ]
    assert not offences, "\n".join(offences)


NAMES = {module.name for module in sources()}


def test_no_module_is_part_of_an_import_cycle() -> None:
    graph = {module.name: (imports(module) & NAMES) - {module.name, "trocar"} for module in parts()}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the cycle


def test_values_and_metrics_know_no_torch_and_no_paths() -> None:
    offences = [
        f"{module.path} imports {name}"
        for module in parts()
        for name in sorted(roots(module))
        if (module.folder in NO_TORCH and name == "torch") or (module.folder in NO_PATHS and name in PATH_MODULES)
    ]
    assert not offences, "\n".join(offences)


def test_rank_0_stands_on_numpy_scipy_and_pycocotools() -> None:
    offences = [
        f"{module.path} imports {name}"
        for module in parts()
        if module.folder in RANKS[0]
        for name in sorted(roots(module) - set(sys.stdlib_module_names) - RANK_0_MAY_IMPORT)
    ]
    assert not offences, "\n".join(offences)


def test_forbidden_packages_are_nowhere() -> None:
    offences = [f"{module.path} imports {name}" for module in sources() for name in roots(module) & FORBIDDEN]
    assert not offences, "\n".join(offences)


def test_only_the_loop_speaks_to_both_the_network_and_the_memory() -> None:
    """`attend` and `encode_memory`, the verbs that memory needs, are called from model/ and track/ only."""
    offences = [
        f"{module.path}:{node.lineno}"
        for module in parts()
        if module.folder not in ("model", "track")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ("attend", "encode_memory")
    ]
    assert not offences, "\n".join(offences)
