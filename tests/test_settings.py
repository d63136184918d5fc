"""Settings: from TOML and text to typed values and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from trocar.settings import field_values, read_settings, settings_from, to_toml, with_fields


@dataclass(frozen=True)
class Inner:
    rate: float = 0.5
    names: tuple[str, ...] = ("a", "b")


@dataclass(frozen=True)
class Outer:
    count: int
    mode: Literal["clean", "released"] = "clean"
    limit: int | None = None
    on: bool = False
    note: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    stages: tuple[Inner, ...] = ()


FULL = Outer(
    3, "released", 4, True, 'a "quoted" line\nand \\ another', {"x": 0.25}, Inner(2.0, ()), (Inner(), Inner(1.0))
)


ODD_KEYS = Outer(1, shares={"own-data/train": 0.5, "suction tube": 1.0, 'a "b".c': 2.0})


@pytest.mark.parametrize("value", [Outer(1), FULL, ODD_KEYS], ids=["defaults", "everything", "keys that need quotes"])
def test_toml_reads_back_as_an_equal_value(value: Outer, tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text(to_toml(value), encoding="utf-8")
    assert read_settings(Outer, path) == value


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"count": 1, "lmit": 2}, "unknown key lmit: did you mean limit?"),
        ({"count": 1, "inner": {"rte": 2}}, "unknown key inner.rte: did you mean rate?"),
        ({"count": 1, "stages": [{}, {"rte": 2}]}, r"unknown key stages\[1\].rte"),
        ({"count": 1.5}, "count must be a whole number, not 1.5"),
        ({"count": True}, "count must be a whole number, not True"),
        ({"count": 1, "mode": "dirty"}, "mode must be 'clean' or 'released', not 'dirty'"),
        ({"count": 1, "limit": "x"}, "limit must be a whole number, not 'x'"),
        ({"count": 1, "shares": {"x": "y"}}, "shares.x must be a number"),
        ({"count": 1, "inner": {"names": "a"}}, "inner.names must be a list, each text"),
        ({}, "count is missing: it has no default"),
    ],
)
def test_what_does_not_fit_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        settings_from(Outer, table)


def test_fields_are_replaced_by_text() -> None:
    given = {
        "count": "7",
        "mode": "released",
        "limit": "none",
        "on": "true",
        "inner.rate": "1e-3",
        "inner.names": "x, y",
    }
    assert with_fields(FULL, given) == Outer(
        7, "released", None, True, FULL.note, FULL.shares, Inner(1e-3, ("x", "y")), FULL.stages
    )
    assert with_fields(Outer(1), {"limit": "9"}).limit == 9


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cont": "1"}, "unknown key cont: did you mean count?"),
        ({"inner.rat": "1"}, "unknown key inner.rat: did you mean rate?"),
        ({"count": "one"}, "count must be a whole number, not 'one'"),
        ({"on": "yes"}, "on must be true or false"),
        ({"stages.0.rate": "1"}, "stages has no 0 of its own"),
        ({"count.x": "1"}, "count has no x of its own"),
    ],
)
def test_text_that_does_not_fit_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        with_fields(Outer(1), given)


def test_tables_and_lists_are_reached_by_key_and_number() -> None:
    changed = with_fields(FULL, {"shares.x": "1", "shares.own-data": "0.5", "stages.1.rate": "3"})
    assert changed.shares == {"x": 1.0, "own-data": 0.5}
    assert changed.stages == (Inner(), Inner(3.0))


def test_the_values_of_all_fields() -> None:
    assert list(field_values(Outer(1)))[-5:] == ["note", "shares", "inner.rate", "inner.names", "stages"]
    values = field_values(FULL)
    assert values["shares.x"] == 0.25
    assert values["stages.1.rate"] == 1.0
    given = {name: str(value) for name, value in values.items() if isinstance(value, int | float)}
    assert with_fields(FULL, {name: text.lower() for name, text in given.items()}) == FULL
