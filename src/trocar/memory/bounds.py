"""What the knobs of a policy may be, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args, get_origin, get_type_hints

SLOTS = 6  # rows of SAM 2's temporal codes for recent frames
LEAST: dict[str, float] = {"window": 0, "stride": 1, "max_pointers": 2, "max_prompted": 2}


def check_window(policy: object, **least: float) -> None:
    """Raises ValueError if a knob of the window, of those that a policy has, is out of its bounds.

    Args:
        policy: whose knobs.
        least: least values that differ from SAM 2's; its `max_prompted` is one prompt before and one after.
    """
    check_least(policy, LEAST | least)
    if getattr(policy, "window", 0) > SLOTS:
        raise ValueError(f"window is at most {SLOTS}, not {getattr(policy, 'window', 0)}")


def check_least(policy: object, least: Mapping[str, float]) -> None:
    """Raises ValueError if a knob, of those that a policy has and that are not None, is below its least value."""
    for name, bound in least.items():
        value = getattr(policy, name, None)
        if value is not None and value < bound:
            raise ValueError(f"{name} is at least {bound:g}, not {value}")


def check_choices(policy: object) -> None:
    """Raises ValueError if a knob whose type hint lists its values has another one."""
    for name, choices in _choices(type(policy)).items():
        if getattr(policy, name) not in choices:
            raise ValueError(f"{name} is {' or '.join(map(repr, choices))}, not {getattr(policy, name)!r}")


def _choices(policy: type) -> dict[str, tuple[Any, ...]]:
    hints = {name: (hint, *get_args(hint)) for name, hint in get_type_hints(policy).items()}
    choices: dict[str, tuple[Any, ...]] = {}
    for name, parts in hints.items():
        literal = next((part for part in parts if get_origin(part) is Literal), None)
        if literal is not None and not {int, float} & set(parts):
            choices[name] = (*get_args(literal), *([None] if type(None) in parts else []))
    return choices
