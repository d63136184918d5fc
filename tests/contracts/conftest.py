"""The exams' network and a maker of sessions that are closed when a test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exam import Watched, exam_network, pictures

from trocar.frames import FrameSource
from trocar.memory import MemoryPolicy
from trocar.model import Network
from trocar.track.entries import StepSettings
from trocar.track.session import SessionOptions


@pytest.fixture(scope="session")
def network() -> Network:
    return exam_network()


@pytest.fixture
def make(network: Network) -> Iterator[Callable[..., Watched]]:
    """make(policy, source, folder, **step settings)."""
    made: list[Watched] = []

    def session(
        policy: MemoryPolicy, source: FrameSource | None = None, folder: Path | None = None, **step: object
    ) -> Watched:
        options = SessionOptions(StepSettings(**step), snapshot_every=8, snapshot_folder=folder)  # type: ignore[arg-type]
        made.append(Watched(network, source or pictures(20), policy, options))
        return made[-1]

    yield session
    for one in made:
        one.close()
