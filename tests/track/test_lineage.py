"""When a mask is settled and which it is, against an oracle that writes out every path in full."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch

from trocar.memory.seam import Choice, MemoryEntry, Record
from trocar.track.lineage import Lineage

LAGS = [0, 1, 3, 8, None]


def entry(name: int, time: int, role: str = "tracked") -> MemoryEntry:
    nothing = torch.zeros(1)
    return MemoryEntry(name, time, role, nothing, nothing, nothing, 0.9, 5.0, True, 1, None)  # type: ignore[arg-type]


def survivors(time: int, parents: list[int]) -> list[Record]:
    """One record a survivor, best first; entry names are 10 * time + rank."""
    return [Record(entry(10 * time + rank, time), Choice(parent, 0, True)) for rank, parent in enumerate(parents)]


def answer(time: int) -> list[Record]:
    return [Record(entry(10 * time, time, "prompted"))]


def random_history(seed: int, frames: int = 40) -> list[list[Record]]:
    """A prompt, then one to three survivors a frame from any parents; every eighth frame or so another prompt."""
    rng = np.random.default_rng(seed)
    history, paths = [answer(0)], 1
    for time in range(1, frames):
        if rng.random() < 0.12:
            history.append(answer(time))
            continue
        count = int(rng.integers(1, 4))
        # Mostly each path goes on, so that some frames stay open for long.
        steady = rng.random() < 0.6
        parents = [rank % paths if steady else int(rng.integers(paths)) for rank in range(count)]
        history.append(survivors(time, parents))
        paths = count
    return history


@dataclass
class Oracle:
    """Every path as the list of its entries' names, frame by frame; best first."""

    lag: int | None
    paths: list[list[int]] = field(default_factory=lambda: [[]])
    decided: list[int] = field(default_factory=list)

    def note(self, records: list[Record]) -> list[int]:
        """The names that may be handed out now."""
        self.paths = [
            [*self.paths[record.choice.parent], record.entry.id] for record in records if record.choice is not None
        ] or [[*path, records[0].entry.id] for path in self.paths]
        newest, before = len(self.paths[0]) - 1, len(self.decided)
        for frame in range(before, newest + 1):
            agreed = len({path[frame] for path in self.paths}) == 1
            if not agreed and (self.lag is None or newest - frame < self.lag):
                break
            self.decided.append(self.paths[0][frame])
        return self.decided[before:]


@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("seed", range(12))
def test_masks_are_those_of_the_oracle_and_come_as_soon(lag: int | None, seed: int) -> None:
    oracle, lineage = Oracle(lag), Lineage()
    for time, records in enumerate(random_history(seed)):
        expected = oracle.note(records)
        lineage.note(time, records, lag)
        taken = []
        while lineage.settled:
            assert lineage.oldest == len(oracle.decided) - len(expected) + len(taken)
            taken.append(lineage.take().id)
        assert taken == expected
        if lag is not None:
            assert len(lineage.stages) <= lag
    rest = [lineage.take().id for _ in range(len(lineage.stages))]
    assert rest == oracle.paths[0][len(oracle.decided) :]
    assert lineage.oldest is None


@pytest.mark.parametrize("seed", range(12))
def test_taking_late_changes_nothing(seed: int) -> None:
    """Another object may hold a frame up though this one's masks are settled."""
    for lag in LAGS:
        prompt, late = Lineage(), Lineage()
        taken = []
        for time, records in enumerate(random_history(seed)):
            for lineage in (prompt, late):
                lineage.note(time, records, lag)
            while prompt.settled:
                taken.append(prompt.take().id)
        taken += [prompt.take().id for _ in range(len(prompt.stages))]
        assert taken == [late.take().id for _ in range(len(late.stages))]


def test_a_lag_decides_by_the_best_of_that_moment() -> None:
    """Two paths from frame 1 on; the second becomes best at frame 3 and is the only one left at frame 4."""
    history = [answer(0), survivors(1, [0, 0]), survivors(2, [0, 1]), survivors(3, [1, 0]), survivors(4, [0])]
    expected = {
        0: [0, 10, 20, 30, 40],
        1: [0, 10, 21, 30, 40],  # frame 1 was decided at 2, when the first was best; frame 2 at 3
        2: [0, 11, 21, 30, 40],
        None: [0, 11, 21, 30, 40],
    }
    for lag, names in expected.items():
        lineage, taken = Lineage(), []
        for time, records in enumerate(history):
            lineage.note(time, records, lag)
            while lineage.settled:
                taken.append(lineage.take().id)
        assert taken == names, lag


def test_the_end_of_a_pass_lets_the_best_decide() -> None:
    lineage = Lineage()
    for time, records in enumerate([answer(0), survivors(1, [0, 0]), survivors(2, [1, 0])]):
        lineage.note(time, records, None)
    assert [lineage.take().id for _ in range(3)] == [0, 11, 20]


def test_an_answer_to_a_prompt_is_shared_and_paths_go_on_behind_it() -> None:
    """Frame 1 is open when frame 2 is prompted; frame 3 keeps the second path alone."""
    lineage = Lineage()
    for time, records in enumerate([answer(0), survivors(1, [0, 0]), answer(2)]):
        lineage.note(time, records, None)
    assert lineage.take().id == 0
    assert lineage.oldest == 1
    assert not lineage.settled
    lineage.note(3, survivors(3, [1]), None)
    assert [lineage.take().id for _ in range(3)] == [11, 20, 30]


def test_dead_hypotheses_leave_nothing_behind() -> None:
    """Three paths at each frame, all from the best one: but for the newest frame one mask each is kept."""
    lineage = Lineage()
    lineage.note(0, answer(0), None)
    for time in range(1, 50):
        lineage.note(time, survivors(time, [0, 0, 0]), None)
    assert [len(stage.entries) for stage in lineage.stages] == [1] * 49 + [3]


def test_what_waits_holds_its_mask_alone() -> None:
    batch = torch.zeros(100, 4, 4)
    whole = MemoryEntry(1, 1, "tracked", batch[0], batch[0, 0], batch[3], 0.9, 5.0, True, 1, None, batch[1])
    lineage = Lineage()
    lineage.note(1, [Record(whole, Choice(0, 0, True))], 5)
    kept = lineage.take()
    assert kept.spatial is None
    assert kept.feature is None
    assert kept.logits.untyped_storage().nbytes() == 4 * 16
    lineage.note(1, [Record(whole, Choice(0, 0, True))], 0)
    assert lineage.take() is whole


def test_a_copy_is_independent() -> None:
    lineage = Lineage()
    for time, records in enumerate([answer(0), survivors(1, [0, 0])]):
        lineage.note(time, records, None)
    other = lineage.copy()
    lineage.note(2, survivors(2, [1]), None)
    other.note(2, survivors(2, [0]), None)
    assert [lineage.take().id for _ in range(3)] == [0, 11, 20]
    assert [other.take().id for _ in range(3)] == [0, 10, 20]


def test_hypotheses_that_never_agree_cost_a_frame_no_more_than_the_first() -> None:
    """A frame is looked at again only when one of its hypotheses has died."""
    lineage = Lineage()
    replaced = 0

    class Counted(type(lineage.stages)):  # type: ignore[misc]
        def __getitem__(self, index: int) -> object:
            nonlocal replaced
            replaced += 1
            return super().__getitem__(index)

    lineage.stages = Counted()
    lineage.note(0, answer(0), None)
    for time in range(1, 1001):
        lineage.note(time, survivors(time, [0, 0] if time == 1 else [0, 1]), None)
    assert len(lineage.stages) == 1001
    assert replaced < 5 * 1001
