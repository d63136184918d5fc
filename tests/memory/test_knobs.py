"""Knobs from signatures and docstrings, their values from text, and the three ways to ask for a policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from trocar.load import UnknownName, load_memory, memory_settings
from trocar.memory import POLICIES, NoMemory, Recent
from trocar.memory.knobs import as_text, knob_values, knobs_of


class Made(NoMemory):
    """Reads nothing, but has a knob of each kind.

    Args:
        mode: which of two,
            told on two lines.
        count: how many.
        share: how much.
        loud: whether.
        limit: how many at most; None for no limit.
        lag: a number or the end.
        note: any words.
    """

    def __init__(
        self,
        mode: Literal["fast", "slow"] = "fast",
        count: int = 2,
        share: float = 0.5,
        loud: bool = False,
        limit: int | None = None,
        lag: int | Literal["end"] = "end",
        note: str = "",
    ) -> None:
        self.said = (mode, count, share, loud, limit, lag, note)


def test_names_types_defaults_and_meanings_come_from_the_class() -> None:
    knobs = knobs_of(Made)
    assert list(knobs) == ["mode", "count", "share", "loud", "limit", "lag", "note"]
    assert knobs["mode"].meaning == "which of two, told on two lines."
    assert knobs["limit"].meaning == "how many at most; None for no limit."
    assert {name: knob.default for name, knob in knobs.items()}["share"] == 0.5
    assert {name: knob.accepts for name, knob in knobs.items()} == {
        "mode": "'fast' or 'slow'",
        "count": "a whole number",
        "share": "a number",
        "loud": "true or false",
        "limit": "a whole number or none",
        "lag": "a whole number or 'end'",
        "note": "text",
    }


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("mode", "slow", "slow"),
        ("count", "5", 5),
        ("count", 5, 5),
        ("share", "0.95", 0.95),
        ("share", 1, 1.0),
        ("loud", "true", True),
        ("loud", "False", False),
        ("limit", "none", None),
        ("limit", None, None),
        ("limit", "7", 7),
        ("lag", "end", "end"),
        ("lag", "3", 3),
        ("note", "none", "none"),
        ("note", "5", "5"),
    ],
)
def test_values_and_their_text_are_taken(name: str, given: object, value: object) -> None:
    found = knobs_of(Made)[name].value(given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mode", "medium"),
        ("count", "5.0"),
        ("count", 5.0),
        ("count", True),
        ("count", "none"),
        ("share", "much"),
        ("share", "nan"),
        ("loud", "1"),
        ("loud", 1),
        ("lag", "never"),
        ("note", 3),
    ],
)
def test_what_a_knob_does_not_take_is_an_error_that_says_what_it_takes(name: str, given: object) -> None:
    knob = knobs_of(Made)[name]
    with pytest.raises(ValueError, match="memory policy 'made'") as error:
        knob_values("made", Made, {name: given})
    assert str(error.value) == f"memory policy 'made': {name} is {knob.accepts}, not {given!r}"


def test_an_unknown_knob_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(
        ValueError, match=r"no knob 'windw'; did you mean 'window'\? its knobs are: mode, window, stride"
    ):
        load_memory("recent:windw=3")
    with pytest.raises(ValueError, match="no knob 'window'; it has none"):
        load_memory("none", window=3)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_knob_of_a_policy_is_told_and_its_default_survives_as_text(name: str) -> None:
    policy = POLICIES[name]
    for knob in knobs_of(policy).values():
        assert knob.meaning, f"{knob.name} has no line under Args:"
        assert knob.value(as_text(knob.default)) == knob.default
    assert memory_settings(name) == {"policy": name} | {knob: one.default for knob, one in knobs_of(policy).items()}


def test_text_toml_and_options_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "memory.toml"
    file.write_text('policy = "recent"\nwindow = 3\nmax_prompted = 4\nmode = "faithful"\n')
    wanted = {"policy": "recent", "mode": "faithful", "window": 3, "stride": 1, "max_pointers": 16, "max_prompted": 4}
    assert memory_settings(str(file)) == wanted
    assert memory_settings("recent:mode=faithful, window=3,max_prompted=4") == wanted
    assert memory_settings("recent:window=5", mode="faithful", window=3, max_prompted=4) == wanted
    policy = load_memory(str(file))
    assert isinstance(policy, Recent)
    assert (policy.mode, policy.window, policy.max_prompted) == ("faithful", 3, 4)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("recnt", "did you mean 'recent'"),
        ("", "no memory policy ''"),
        ("recent:window", "'window' is not a new key=value"),
        ("recent:window=3,window=4", "'window=4' is not a new key=value"),
        ("recent:=3", "'=3' is not a new key=value"),
        ("recent:window=9", "window is at most 6"),
    ],
)
def test_a_spec_that_makes_no_sense_is_named(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_memory(spec)


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("policy = recent", ValueError, "not a TOML file"),
        ("window = 3", ValueError, 'policy = "recent"'),
        ("policy = 3", UnknownName, "no memory policy '3'"),
        ('policy = "recent"\nwindw = 3', ValueError, "'window'"),
        ('policy = "recent"\n[window]\nsize = 3', ValueError, "window is a whole number"),
        (None, FileNotFoundError, "memory.toml does not exist"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(
    tmp_path: Path, text: str | None, kind: type[Exception], message: str
) -> None:
    file = tmp_path / "memory.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(kind, match=message):
        load_memory(str(file))


def test_a_knob_without_a_default_is_a_fault_of_the_policy() -> None:
    def policy(window: int) -> Any: ...

    with pytest.raises(TypeError, match="window"):
        knobs_of(policy)
