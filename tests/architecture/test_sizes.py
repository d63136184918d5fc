"""The sizes and shapes the house holds itself to: docs/design.md, section 7."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from source_tree import Function, Module, everything, sources

FILE_LINES = 400
SMALLER_FILES = {"src/trocar/track/propagate.py": 150, "src/trocar/load.py": 120}
FUNCTION_LINES = 60
PARAMETERS = 6
PUBLIC_METHODS = 10
FORBIDDEN_NAME = re.compile(r"(utils?|helpers?|common|core|base|misc|new|legacy|.*v\d+)$")


def is_public(name: str) -> bool:
    return not name.startswith("_") or name in ("__init__", "__call__")


def public_functions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Function, bool]]:
    """(name, function, whether it is a method) for what can be called from outside: not what is nested in functions."""
    for node in body:
        if isinstance(node, ast.ClassDef) and is_public(node.name):
            yield from public_functions(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, Function) and is_public(node.name):
            yield prefix + node.name, node, bool(prefix)


def decorators(function: Function) -> set[str]:
    return {ast.unparse(decorator).split(".")[-1] for decorator in function.decorator_list}


def parameter_count(function: Function, is_method: bool) -> int:
    arguments = function.args
    count = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    count += (arguments.vararg is not None) + (arguments.kwarg is not None)
    return count - (is_method and "staticmethod" not in decorators(function))


@pytest.mark.parametrize("module", everything(), ids=lambda module: module.path)
def test_file_is_short_and_well_named(module: Module) -> None:
    limit = SMALLER_FILES.get(module.path, FILE_LINES)
    assert module.lines <= limit, f"{module.path} has {module.lines} lines; the limit is {limit}"
    for part in module.name.split("."):
        assert not FORBIDDEN_NAME.fullmatch(part), f"{module.path}: name it after what it does"


@pytest.mark.parametrize("module", sources(), ids=lambda module: module.path)
def test_functions_are_short_and_typed(module: Module) -> None:
    offences = []
    for function in module.functions():
        length = int(function.end_lineno or 0) - function.lineno + 1
        if length > FUNCTION_LINES:
            offences.append(f"{module.path}:{function.lineno} {function.name} has {length} lines")
        if function.returns is None:
            offences.append(f"{module.path}:{function.lineno} {function.name} does not say what it returns")
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("module", sources(), ids=lambda module: module.path)
def test_public_functions_take_few_parameters(module: Module) -> None:
    offences = [
        f"{module.path}:{function.lineno} {name} takes {count} parameters"
        for name, function, is_method in public_functions(module.tree.body)
        if (count := parameter_count(function, is_method)) > PARAMETERS
    ]
    assert not offences, "\n".join(offences)


@pytest.mark.parametrize("module", sources(), ids=lambda module: module.path)
def test_classes_have_few_public_methods(module: Module) -> None:
    offences = []
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef):
            methods = {
                item.name
                for item in node.body
                if isinstance(item, Function) and not item.name.startswith("_") and "property" not in decorators(item)
            }
            if len(methods) > PUBLIC_METHODS:
                offences.append(f"{module.path}:{node.lineno} {node.name} has {len(methods)} public methods")
    assert not offences, "\n".join(offences)
