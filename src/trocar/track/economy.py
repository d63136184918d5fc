"""Work that is left out for a price: what may be spared, by how much, and the choices that have been priced.

Every knob is off by default, and each has a price in J&F (docs/explanation/economy.md). A prompted frame is always
treated in full, and a policy's decisions are its own: it is asked on fewer frames and otherwise knows of nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from trocar.memory.knobs import knobs_of
from trocar.memory.seam import MemoryEntry, ReadPlan, Visit


@dataclass(frozen=True)
class Economy:
    """What is spared; by default nothing.

    Args:
        encode_every: frames whose number is a multiple of this are encoded and tracked. On the others a mask is carried
            along the motion from where it was last tracked; 1 tracks on all frames.
        trust: a mask is only carried where the motion explains the picture around its outline this well, 0 to 1, else
            its object is tracked there; 0 always carries. 1 is a picture that moved and did not change, 0.5 one that
            differs by 8 grey levels.
        absent_after: an object that was absent on this many frames in a row is no longer looked for on every frame.
        absent_every: but on those whose number is a multiple of this, if that is more than `encode_every`.
        pool: cells a side of the blocks over which memories are averaged before they are read; 1 reads each cell.
        whole: of each object's tracked memories the newest so many are not averaged.
        pool_prompted: whether memories of prompted frames are averaged too.
    """

    encode_every: int = 1
    trust: float = 0.0
    absent_after: int = 1
    absent_every: int = 1
    pool: int = 1
    whole: int = 1
    pool_prompted: bool = False

    def __post_init__(self) -> None:
        for name, least in (("encode_every", 1), ("absent_every", 1), ("pool", 1), ("absent_after", 1), ("whole", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"economy: {name} is {getattr(self, name)} and must be {least} or more")
        if not 0 <= self.trust <= 1:
            raise ValueError(f"economy: trust is {self.trust} and must lie between 0 and 1")

    @property
    def spares_frames(self) -> bool:
        """Whether there are frames on which an object is not looked for."""
        return self.encode_every > 1 or self.absent_every > 1

    def check(self, ordered: bool, finds: bool) -> None:
        """That a session can do with it.

        Args:
            ordered: whether the source's frames follow one another.
            finds: whether objects are found by their class.

        Raises:
            ValueError: it leaves frames out where each has to be looked at.
        """
        if self.spares_frames and (finds or not ordered):
            why = (
                "classes are looked for on every frame" if finds else "the pictures of a set do not follow one another"
            )
            raise ValueError(f"{why}: leave the economy's encode_every and absent_every at 1")

    def on_grid(self, frame: int) -> bool:
        """Whether an object that is there is tracked on this frame, whatever the picture shows."""
        return frame % self.encode_every == 0

    def absent_on_grid(self, visit: Visit, seen: int) -> bool:
        """The same of an object that was last present at the time `seen`."""
        rests = visit.distance(seen) > self.absent_after and self.absent_every > self.encode_every
        return visit.frame % (self.absent_every if rests else self.encode_every) == 0

    def blocks(self, visit: Visit, plan: ReadPlan, entries: Sequence[MemoryEntry]) -> list[int]:
        """For each of a plan's memories the side of the blocks over which it is averaged.

        Memories that are read without a time, as in image sets, have no newest among them.
        """
        if self.pool == 1:
            return [1] * len(entries)
        tracked = [at for at, entry in enumerate(entries) if entry.role == "tracked"]
        timed = [at for at in tracked if plan.spatial[at].slot is not None]
        newest = sorted(timed, key=lambda at: abs(visit.distance(entries[at].time)))[: self.whole]
        pooled = set(tracked) - set(newest)
        return [
            self.pool if at in pooled or (self.pool_prompted and entry.role == "prompted") else 1
            for at, entry in enumerate(entries)
        ]


ECONOMIES: Mapping[str, Economy] = {
    "off": Economy(),
    "fast": Economy(encode_every=2, trust=0.5, pool=3),
}


def said_economy(spec: str) -> Economy:
    """What is written as NAME or NAME:key=value,key=value: one of `ECONOMIES`, with some knobs set otherwise.

    Raises:
        ValueError: there is none of that name, no such knob, or a value does not fit.
    """
    name, _, rest = spec.partition(":")
    if name not in ECONOMIES:
        raise ValueError(f"there is no economy {name!r}: choose {' or '.join(ECONOMIES)}")
    knobs = knobs_of(Economy)
    given: dict[str, Any] = {}
    for pair in rest.split(",") if rest else []:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not key or not equals or key in given:
            raise ValueError(f"economy {spec!r}: {pair!r} is not a new key=value; write NAME:key=value,key=value")
        if key not in knobs:
            near = difflib.get_close_matches(key, knobs, n=1, cutoff=0.0)[0]
            raise ValueError(f"economy: there is no knob {key!r}; did you mean {near!r}? (all: {', '.join(knobs)})")
        given[key] = knobs[key].value(value)
    return replace(ECONOMIES[name], **given)
