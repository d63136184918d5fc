"""The order in which users are served: by turns, clicks before long work, and nobody's long work forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from trocar.serve.errors import Refusal
from trocar.serve.turns import CLICKS_IN_A_ROW, Turns


def test_users_take_turns_however_much_each_asks() -> None:
    turns, done, gate = Turns(), [], threading.Event()
    first = turns.ask("first", gate.wait)
    futures = [turns.ask("many", lambda i=i: done.append(f"many {i}")) for i in range(3)]
    futures += [turns.ask("one", lambda: done.append("one")), turns.ask("other", lambda: done.append("other"))]
    gate.set()
    for future in (first, *futures):
        future.result(10)
    turns.close()
    assert done == ["many 0", "one", "other", "many 1", "many 2"]


def test_clicks_go_before_long_work_which_goes_on_all_the_same() -> None:
    turns, done, gate, ended = Turns(), [], threading.Event(), threading.Event()

    def steps() -> Iterator[None]:
        for number in range(2):
            done.append(f"step {number}")
            yield
        ended.set()

    first = turns.ask("first", gate.wait)
    turns.follow("long", steps())
    clicks = [turns.ask("clicks", lambda i=i: done.append(i)) for i in range(CLICKS_IN_A_ROW + 2)]
    gate.set()
    for future in (first, *clicks):
        future.result(10)
    assert ended.wait(10)
    turns.close()
    assert done.index("step 0") == CLICKS_IN_A_ROW - 1  # the first click of the row was the one that held the gate
    assert done[-1] == "step 1"


def test_a_fault_is_the_askers_and_stops_nobody() -> None:
    turns = Turns()

    def broken() -> Iterator[None]:
        raise KeyError("long work that fails")
        yield

    with pytest.raises(ZeroDivisionError):
        turns.ask("one", lambda: 1 / 0).result(10)
    turns.follow("one", broken())
    assert turns.ask("two", lambda: 7).result(10) == 7
    turns.close()


def test_too_many_are_told_at_once() -> None:
    turns, gate = Turns(most_waiting=2), threading.Event()
    waiting = [turns.ask("one", gate.wait)]
    while turns.waiting:
        pass
    waiting += [turns.ask("one", gate.wait), turns.ask("two", gate.wait)]
    with pytest.raises(Refusal, match="try again"):
        turns.ask("three", gate.wait)
    gate.set()
    for future in waiting:
        future.result(10)
    turns.close()
