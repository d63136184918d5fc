"""Objects that a prompter finds while the loop runs: started, taken up again when lost, and kept from doubling.

The loop stays the one loop. `Finding.follow` takes the frames from `propagate`, lets the prompter look at each, and
acts on what `Watch` decides:

* A start is a mask prompt on the best frame of those on which the object was seen, as in ReSurgSAM2. From there to the
  current frame the object is tracked; on the frames before it shows what was seen. Both need no frame twice: masks are
  held back while a start may still reach them, and features of as many frames are kept. Nothing is tracked backward
  from there, since the prompter has looked at those frames and saw nothing to be believed.
* A lost object is taken up by a sighting in the place of what the decoder offered: to its memory it is a tracked frame
  with one candidate. It is a guess, not the user's word, so memory may forget it: a prompt would be read for ever, and
  there would be one more with each return.
* An object that is gone, since its mask doubles another one or its class is not seen there any more, is judged absent
  in the same way: its memory is offered an empty candidate.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.frames import geometry_of
from trocar.masks.rle import from_rle, to_rle
from trocar.memory.seam import Candidates, MemoryEntry, Record, Visit
from trocar.model.tensors import ImageFeatures
from trocar.prompts import ClassPrompt, MaskPrompt, Prompt
from trocar.track.entries import upsampled
from trocar.track.order import Pass
from trocar.track.prompt_input import PromptInput, prompt_input
from trocar.track.prompter import Credibility, Prompter
from trocar.track.propagate import Outcome, propagate, read_plans, step
from trocar.track.rows import Task
from trocar.track.shown import Work
from trocar.track.track import FramePrompt, Track, entry_state
from trocar.track.watch import Candidate, Seen, Watch

CERTAIN = 10.0  # object score of what is given rather than decoded, as of a mask prompt
Steps = Iterator[tuple[int, list[Outcome]]]


@dataclass(frozen=True, eq=False)
class Found:
    """An object that was found by its class.

    Args:
        name: of the class.
        first: the first frame on which it was seen.
        frame: the frame whose sighting became its prompt.
        presence: the prompter's probability of the class there.
        prompt: that sighting as a mask prompt.
        again: how often it was taken up after frames on which it was not seen.
        seen: on how many frames which class was seen where it is, the one that it was started for and others.
    """

    name: str
    first: int
    frame: int
    presence: float
    prompt: FramePrompt
    again: int = 0
    seen: Mapping[str, int] = field(default_factory=dict)


@dataclass(eq=False)
class Finding:
    """What a prompter finds during the passes of a session.

    Args:
        prompter: looks at every frame.
        rules: when it is believed.
        work: what the session works with.
        first_id: found objects get the lowest free ids from here on.
        found: the objects that were found, by id.
        watch: what was seen lately.
        waiting: how many frames before the pass still wait for their masks, where it goes on with an interrupted one.
    """

    prompter: Prompter
    rules: Credibility
    work: Work
    first_id: int = 1
    found: dict[int, Found] = field(default_factory=dict)
    watch: Watch = field(init=False)
    waiting: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.watch = Watch(self.rules)

    @property
    def held(self) -> int:
        """Frames whose masks wait, since a start may still reach them."""
        return self.rules.frames - 1

    def follow(self, tracks: dict[int, Track], stretch: Pass) -> Steps:
        """`propagate`, with what is found: (frame, outcomes) of each visit.

        Before the visit on which an object starts or is taken up, the earlier frames on which it was seen come once
        more, with that object alone.
        """
        steps = propagate(self.work.network, self.work.features, tracks, stretch, self.work.settings)
        for visit in stretch.visits():
            names = {name: one.name for name, one in self.found.items() if name in tracks}
            before = {name: tracks[name].fork() for name in names}
            frame, outcomes = next(steps)
            made = {one.object_id: one for one in outcomes}
            masks = {name: one.entry.logits > 0 for name, one in made.items()}
            fixed = [name for name in names if self._touched(tracks[name])]
            features = self.work.features(frame)
            away = dict(self.watch.unseen)
            verdict = self.watch.judge(self._sightings(frame, features), masks, names, fixed)
            for name, seen_as in verdict.seen.items():
                self._note(name, seen_as)
            for name in verdict.gone:
                made[name] = self._given(tracks[name], before[name], visit, None)
            for name, seen in verdict.again.items():
                if frame in tracks[name].prompted:  # the user says that it is not there
                    continue
                for one in seen[:-1]:
                    yield one.frame, [self._shown(tracks[name], one, stretch)]
                made[name] = self._given(tracks[name], before[name], visit, seen[-1])
                self._note(name, *(one.name for one in seen))
                again = self.found[name].again + (away.get(name, 0) > 0)
                self.found[name] = replace(self.found[name], again=again)
            for start in verdict.starts:
                for at, outcome in self._started(tracks, start, stretch, frame):
                    if at == frame:
                        made[outcome.object_id] = outcome
                    else:
                        yield at, [outcome]
            yield frame, [made[name] for name in sorted(made)]

    def place(self, name: str, frame: int) -> MaskPrompt:
        """Where a class is seen best on a frame, whether or not that would be believed.

        Raises:
            ValueError: it is not among those that are looked for, or is not seen there.
        """
        known = {one.lower(): one for one in self.prompter.classes}
        if name.lower() not in known:
            raise ValueError(f"nobody looks for {name!r}: the classes are {', '.join(self.prompter.classes)}")
        everything = self._sightings(frame, self.work.features(frame))
        seen = [one for one in everything if one.name == known[name.lower()] and bool((one.logits > 0).any())]
        if not seen:
            raise ValueError(f"no {name} is seen on frame {frame}: prompt it with a box or a click")
        return MaskPrompt(self._at_source_size(max(seen, key=lambda one: one.weight)))

    def state(self, tracks: Mapping[int, Track], waiting: int) -> dict[str, Any]:
        """As plain data and tensors, for a snapshot; `waiting` is how many frames have not been handed out."""
        found = []
        for name, one in self.found.items():
            if name in tracks:
                entry = entry_state(tracks[name].prompted[one.frame])
                mask = None if one.prompt.mask is None else dict(to_rle(one.prompt.mask))
                counts = (one.again, dict(one.seen))
                found.append((name, (one.name, one.first, one.frame, one.presence, *counts), mask, entry))
        return {"found": found, "watch": self.watch.state(), "waiting": waiting}

    def begin(self, tracks: dict[int, Track], state: Mapping[str, Any] | None, adopt: bool = False) -> None:
        """Go back to a snapshot. What was found after it is forgotten, and will be found again.

        An object that the user has prompted too is never forgotten.

        Args:
            tracks: the session's.
            state: from `state`; None to start afresh.
            adopt: go on with an interrupted session: objects that this one does not know come back.
        """
        if state is None:
            self._forget(tracks, ())
            self.watch, self.waiting = Watch(self.rules), 0
            return
        self.waiting = state["waiting"] if adopt else 0
        kept = {values[0]: values[1:] for values in state["found"]}
        self._forget(tracks, kept)
        for name, ((label, first, frame, presence, again, seen), mask, entry) in kept.items():
            if name in self.found:
                self.found[name] = replace(self.found[name], again=again, seen=seen)
            elif adopt:
                if name in tracks:
                    raise ValueError(
                        f"object {name} is one that the interrupted run found by its class: prompt it after resuming"
                    )
                prompt = FramePrompt(mask=from_rle(mask))
                self.found[name] = Found(label, first, frame, presence, prompt, again, seen)
                tracks[name] = Track(name, copy.deepcopy(self.work.memory), {frame: prompt})
                tracks[name].prompted[frame] = MemoryEntry(**entry)
        self.watch = Watch.restored(self.rules, state["watch"])

    def fork(self) -> Finding:
        """An independent copy, for a replay beside the session."""
        other = Finding(self.prompter, self.rules, self.work, self.first_id, dict(self.found))
        other.watch = Watch.restored(self.rules, self.watch.state())
        return other

    def _forget(self, tracks: dict[int, Track], kept: Collection[int]) -> None:
        for name in list(self.found):
            if name not in kept and name in tracks and not self._touched(tracks[name]):
                del tracks[name]
            if name not in tracks:
                del self.found[name]

    def _touched(self, track: Track) -> bool:
        """Whether the user has prompted a found object too."""
        return any(said is not self.found[track.object_id].prompt for said in track.prompts.values())

    def _note(self, name: int, *classes: str) -> None:
        """Count what an object was seen as."""
        seen = Counter(self.found[name].seen)
        seen.update(classes)
        self.found[name] = replace(self.found[name], seen=dict(seen))

    def _sightings(self, frame: int, features: ImageFeatures) -> list[Seen]:
        """What the prompter sees, as the tracks' own logits are: of the network's type, on its device."""
        side = features.stride16.shape[-1] * 4
        seen = []
        for one in self.prompter.look(frame, features):
            if tuple(one.logits.shape) != (side, side):
                raise ValueError(
                    f"the prompter's mask of {one.name!r} is {tuple(one.logits.shape)}: give ({side}, {side}) logits, "
                    "a quarter of the network's input"
                )
            logits = one.logits.to(self.work.network.absent_pointer)
            seen.append(Seen(one.name, frame, logits, one.presence, one.quality))
        return seen

    def _started(
        self, tracks: dict[int, Track], start: Candidate, stretch: Pass, now: int
    ) -> Iterator[tuple[int, Outcome]]:
        """Start an object on its best frame and track it up to `now`: its outcomes from where it was first seen."""
        work = self.work
        best = max(start.seen, key=lambda one: one.weight)
        geometry, visit = geometry_of(work.source, best.frame), stretch.visit(best.frame)
        prompt = FramePrompt(mask=self._at_source_size(best))
        asked = prompt_input(prompt, geometry, work.shown, None, best.logits.device)
        taken = {*tracks, *self.found}  # with what the user has removed
        name = min(set(range(self.first_id, self.first_id + len(taken) + 1)) - taken)
        track = Track(name, copy.deepcopy(work.memory), {best.frame: prompt})
        step(work.network, work.features(best.frame), [Task(track, visit, asked, use_memory=False)], work.settings)
        track.tell(visit, track.prompted[best.frame])
        tracks[name] = track
        self.found[name] = Found(start.name, start.seen[0].frame, best.frame, best.presence, prompt)
        self._note(name, *(one.name for one in start.seen))
        for one in start.seen[: start.seen.index(best)]:
            yield one.frame, self._shown(track, one, stretch)
        rest = replace(stretch, start=best.frame, stop=now)
        steps = propagate(work.network, work.features, {name: track}, rest, work.settings)
        for visit, one in zip(rest.visits(), start.seen[start.seen.index(best) :], strict=True):
            before = track.fork()
            frame, (outcome,) = next(steps)
            if not outcome.entry.present:
                outcome = self._given(track, before, visit, one)
            yield frame, outcome
        self.watch.begin(name, outcome.entry.logits > 0)

    def _at_source_size(self, seen: Seen) -> NDArray[np.bool_]:
        size = geometry_of(self.work.source, seen.frame).size
        mask: NDArray[np.bool_] = (self.work.shown.to_frame(seen.logits[None].float(), size)[0] > 0).cpu().numpy()
        return mask

    def _shown(self, track: Track, seen: Seen, stretch: Pass) -> Outcome:
        """A sighting as what is shown of a frame; memory does not learn of it."""
        entry = MemoryEntry(
            id=track.new_id(),
            time=stretch.visit(seen.frame).time,
            role="tracked",
            spatial=None,
            pointer=self.work.network.absent_pointer[0],
            logits=seen.logits,
            iou=seen.quality,
            object_score=CERTAIN,
            present=True,
            area=int((seen.logits > 0).sum()),
            box=None,
        )
        return Outcome(track.object_id, [Record(entry)])

    def _given(self, track: Track, before: Track, visit: Visit, seen: Seen | None) -> Outcome:
        """Let the object be where it was seen, or absent, in place of what was tracked on the frame.

        Args:
            track: of the object, which has been tracked on the frame.
            before: as it was before that.
            visit: of the frame.
            seen: what its mask is now; None for absent.
        """
        work, features = self.work, self.work.features(visit.frame)
        like = work.network.absent_pointer
        side = features.stride16.shape[-1] * 16
        large = torch.zeros(1, side, side, device=like.device) if seen is None else upsampled(seen.logits[None], side)
        nothing = torch.zeros(0, 2, device=like.device)
        asked = PromptInput(nothing, nothing[:, 0].long(), mask=large[0] > 0)
        task = Task(before.fork(), visit, asked, use_memory=False)
        entry = step(work.network, features, [task], work.settings)[0].entry
        quality, score = (0.0, -CERTAIN) if seen is None else (seen.quality, CERTAIN)
        offered = Candidates(entry.logits[None], [quality], score)
        track.policy, track.entries = before.policy, before.entries
        plans = read_plans(Task(track, visit), features, work.settings.seed)
        records = []
        for choice in track.policy.choose(visit, [offered] * len(plans)):
            choice = replace(choice, present=seen is not None)
            made = replace(entry, id=track.new_id(), role="tracked", iou=quality, object_score=score, tags=choice.tags)
            records.append(Record(made, choice, offered))
        track.remember(visit, records)
        return Outcome(track.object_id, records)


def without_classes(prompts: Sequence[Prompt | ClassPrompt], frame: int, finding: Finding | None) -> tuple[Prompt, ...]:
    """The prompts, with a mask in the place of each class: where it is seen on the frame.

    Raises:
        ValueError: nobody looks for classes, or one is not seen.
    """
    said: list[Prompt] = []
    for prompt in prompts:
        if not isinstance(prompt, ClassPrompt):
            said.append(prompt)
        elif finding is None:
            raise ValueError("a ClassPrompt needs a prompter: Session(..., prompter=load_prompter(network, [name]))")
        else:
            with torch.inference_mode():
                said.append(finding.place(prompt.name, frame))
    return tuple(said)
