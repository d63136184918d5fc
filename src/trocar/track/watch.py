"""When a prompter is believed: which sightings start an object, which take one up again, and which masks double.

Only decisions are taken here, from masks; what follows from them is done in `finding.py`. The rules:

* A sighting where an object is tracked already is that object, whatever the classes say: nothing new starts there.
* An object that tracking loses is taken up again at once where its class is still seen at its last place.
* Elsewhere a class must be seen on several frames in a row. Then an object of that class that is gone, and was seen on
  none of them, comes back; if there is none, a new one starts. An object that was seen elsewhere meanwhile is not it.
* An object that tracking still finds where no class has been seen for long is gone: tracking has drifted.
* Two found objects of a class whose masks are the same are one object and a drifted one: the one that lies less where
  it lay before counts as absent. What the user prompted never does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from trocar.track.prompter import Credibility


@dataclass(frozen=True, eq=False)
class Seen:
    """A sighting as it is remembered: of which class on which frame, (s, s) logits, presence and quality."""

    name: str
    frame: int
    logits: Tensor
    presence: float
    quality: float

    @property
    def weight(self) -> float:
        """How much speaks for it."""
        return self.presence * self.quality


@dataclass(eq=False)
class Candidate:
    """What may become an object: sightings of one class, one a frame, the newest last."""

    seen: list[Seen]

    @property
    def name(self) -> str:
        """Of the class."""
        return self.seen[-1].name

    @property
    def weight(self) -> float:
        """How much speaks for it: the mean over its frames."""
        return sum(one.weight for one in self.seen) / len(self.seen)


@dataclass(frozen=True, eq=False)
class Verdict:
    """What is to be done on a frame.

    Args:
        gone: objects that are tracked and to be taken for absent: masks that double another one, and drifted ones.
        again: what takes up objects that were lost, the newest sighting last.
        starts: new objects.
        seen: the class that was seen where an object is, by object.
    """

    gone: tuple[int, ...]
    again: Mapping[int, Sequence[Seen]]
    starts: Sequence[Candidate]
    seen: Mapping[int, str]


@dataclass(eq=False)
class Watch:
    """What was seen lately, and how long each found object has not been.

    Args:
        rules: when a sighting counts.
        candidates: seen up to the frame before, and not yet objects.
        unseen: visits in a row without a sighting where the object is, by found object.
        last: the (s, s) masks of the frame before, of the objects that were there.
    """

    rules: Credibility
    candidates: list[Candidate] = field(default_factory=list)
    unseen: dict[int, int] = field(default_factory=dict)
    last: dict[int, Tensor] = field(default_factory=dict)

    def judge(
        self,
        sightings: Sequence[Seen],
        masks: Mapping[int, Tensor],
        names: Mapping[int, str],
        fixed: Collection[int] = (),
    ) -> Verdict:
        """Decide on a frame.

        Args:
            sightings: what the prompter sees on it.
            masks: (s, s) bool of all objects that are tracked here; empty ones are absent.
            names: the classes of the found objects.
            fixed: found objects that the user has prompted too; they are never taken for absent.
        """
        present = {one: mask for one, mask in masks.items() if bool(mask.any())}
        gone = self._doubled(present, names, fixed)
        present = {one: mask for one, mask in present.items() if one not in gone}
        believed = self._believed(sightings)
        places = {id(one): self._place(one, present) for one in believed}
        seen = {at: one.name for one in reversed(believed) if (at := places[id(one)]) is not None}
        drifted = [one for one in present if one in names and one not in seen and one not in fixed]
        gone += [one for one in drifted if self.rules.doubt and self.unseen.get(one, 0) + 1 >= self.rules.doubt]
        lost = [one for one in names if one in masks and (one not in present or one in gone)]
        again: dict[int, Sequence[Seen]] = {}
        rest: list[Candidate] = []
        for one in believed:
            if places[id(one)] is None:
                at_its_place = self._last_there(one, [name for name in lost if names[name] == one.name], again)
                if at_its_place is None:
                    rest.append(self._continued(one))
                else:
                    again[at_its_place] = [one]
        ready = [one for one in rest if len(one.seen) >= self.rules.frames]
        starts = self._credible(ready, names, lost, again)
        self.candidates = [one for one in rest if len(one.seen) < self.rules.frames]
        missed = [one for one in names if one in masks and one not in seen and one not in again]
        self.unseen = {one: self.unseen.get(one, 0) + 1 if one in missed else 0 for one in names}
        self.last = {one: mask for one, mask in present.items() if one in names and one not in gone}
        self.last |= {one: taken[-1].logits > 0 for one, taken in again.items()}
        return Verdict(tuple(gone), again, starts, {one: name for one, name in seen.items() if one in names})

    def begin(self, name: int, mask: Tensor) -> None:
        """An object was started: this is its (s, s) mask on the newest frame."""
        self.unseen[name], self.last[name] = 0, mask

    def state(self) -> dict[str, Any]:
        """As plain data and tensors, for a snapshot."""
        return {
            "candidates": [
                [(seen.name, seen.frame, seen.logits.clone(), seen.presence, seen.quality) for seen in one.seen]
                for one in self.candidates
            ],
            "unseen": dict(self.unseen),
            "last": {name: mask.clone() for name, mask in self.last.items()},
        }

    @classmethod
    def restored(cls, rules: Credibility, state: Mapping[str, Any]) -> Watch:
        """As it was when `state` was taken."""
        candidates = [Candidate([Seen(*values) for values in seen]) for seen in state["candidates"]]
        return cls(rules, candidates, dict(state["unseen"]), dict(state["last"]))

    def _believed(self, sightings: Sequence[Seen]) -> list[Seen]:
        """Those that count, the surest first; of several on one place, whatever their classes, the surest alone."""
        rules = self.rules
        kept: list[Seen] = []
        for one in sorted(sightings, key=lambda one: -one.weight):
            mask = one.logits > 0
            enough = one.presence >= rules.presence and one.quality >= rules.quality
            if not enough or not bool(mask.any()) or int(mask.sum()) < rules.area * mask.numel():
                continue
            if not any(_shared(mask, other.logits > 0) >= rules.overlap for other in kept):
                kept.append(one)
        return kept

    def _place(self, one: Seen, present: Mapping[int, Tensor]) -> int | None:
        """The object that is tracked where something was seen: the one that shares most with it."""
        mask = one.logits > 0
        shares = [(_shared(mask, other), -name) for name, other in present.items()]
        share, name = max(shares, default=(0.0, 0))
        return -name if share >= self.rules.overlap and share > 0 else None

    def _last_there(self, one: Seen, lost: Sequence[int], again: Mapping[int, Sequence[Seen]]) -> int | None:
        """The object, lost on this frame only, that lay there on the frame before."""
        mask = one.logits > 0
        left = [name for name in lost if name in self.last and name not in again]
        score, name = max(((_iou(mask, self.last[name]), -name) for name in left), default=(0.0, 0))
        return -name if score >= self.rules.follow and score > 0 else None

    def _continued(self, seen: Seen) -> Candidate:
        """The candidate that a sighting belongs to, with it: one of the frame before, or a new one."""
        mask = seen.logits > 0
        scores = [
            (_iou(mask, one.seen[-1].logits > 0), -number)
            for number, one in enumerate(self.candidates)
            if one.name == seen.name
        ]
        best, number = max(scores, default=(0.0, 0))
        if best < self.rules.follow or best == 0:
            return Candidate([seen])
        return Candidate([*self.candidates.pop(-number).seen, seen])

    def _credible(
        self,
        ready: Sequence[Candidate],
        names: Mapping[int, str],
        lost: Sequence[int],
        again: dict[int, Sequence[Seen]],
    ) -> list[Candidate]:
        """The candidates that start an object; those that take one up go to `again`."""
        starts = []
        for one in sorted(ready, key=lambda one: -one.weight):
            back = [
                (self.unseen.get(name, 0), name)
                for name in lost
                if name not in again and names[name] == one.name and self.unseen.get(name, 0) + 1 >= self.rules.frames
            ]
            if back:  # the one that was seen last
                again[min(back)[1]] = one.seen
            else:
                starts.append(one)
        return starts

    def _doubled(self, present: Mapping[int, Tensor], names: Mapping[int, str], fixed: Collection[int]) -> list[int]:
        """The found objects that lie on another one: one of the same class, or of the user's."""
        doubled: list[int] = []
        for one in sorted(present):
            for other in sorted(present):
                alike = one < other and (one not in names or other not in names or names[one] == names[other])
                movable = [name for name in (one, other) if name in names and name not in fixed and name not in doubled]
                if not alike or not movable or {one, other} & set(doubled):
                    continue
                if _iou(present[one], present[other]) >= self.rules.overlap:
                    doubled.append(min(movable, key=lambda name: (self._stayed(name, present[name], names), -name)))
        return doubled

    def _stayed(self, name: int, mask: Tensor, names: Mapping[int, str]) -> float:
        return _iou(mask, self.last[name]) if name in self.last and name in names else 0.0


def _shared(one: Tensor, other: Tensor) -> float:
    """The common part of two masks, as a part of the smaller one; 0 where one is empty."""
    return int((one & other).sum()) / max(1, min(int(one.sum()), int(other.sum())))


def _iou(one: Tensor, other: Tensor) -> float:
    return int((one & other).sum()) / max(1, int((one | other).sum()))
