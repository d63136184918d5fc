"""`none`: no memory. Every frame is decoded from its own image and prompts, as SAM does with still images.

Read: nothing. Kept: nothing but what the user prompted (the loop keeps that itself).
"""

from __future__ import annotations

from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    PolicySpec,
    ReadPlan,
    Record,
    Visit,
    best_candidate,
)


class NoMemory:
    """For still images and image sets where each image carries its own prompt.

    An unprompted frame has nothing to go by, so its object counts as absent there.
    """

    spec = PolicySpec(encode=False)

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        return [ReadPlan()]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        chosen = best_candidate(candidates)[0]
        return [Choice(chosen.parent, chosen.candidate, present=False)]

    def write(self, visit: Visit, records: list[Record]) -> None:
        return

    def live(self) -> set[EntryId]:
        return set()
