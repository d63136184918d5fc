"""Trees whose paths get answers of their own, for the tests of SAM2Long."""

from __future__ import annotations

from trocar.memory import Tree
from trocar.memory.scripted import Answer, ScriptedTrack, drawn
from trocar.memory.seam import Candidates, Choice, Record

SURE = Answer()  # IoU 0.9, 0.5, 0.4, object score 5


class Forked(ScriptedTrack):
    """A scripted track whose hypotheses get answers of their own."""

    def step(self, time: int, *answers: Answer) -> list[Choice]:
        """Choose among the answers to each of the paths, and write."""
        offered = [Candidates(drawn(one.boxes), list(one.iou), one.score) for one in answers]
        choices = self.policy.choose(self.at(time), offered)
        records = [Record(self._entry(time, "tracked", offered[one.parent], one), one) for one in choices]
        self.policy.write(self.at(time), records)
        self._free()
        return choices


def said(score: float, *iou: float) -> Answer:
    return Answer(iou=iou, score=score)


def tree(**knobs: object) -> Forked:
    """A tree that has met its prompt on frame 0."""
    track = Forked(Tree(**knobs))  # type: ignore[arg-type]
    track.prompt(0)
    return track


def branched(**knobs: object) -> Forked:
    """Three paths that part on frame 2, by IoU 0.9, 0.5 and 0.4."""
    track = tree(**knobs)
    track.step(1, SURE)
    track.step(2, said(1.0, 0.9, 0.5, 0.4))
    return track
