"""A session: one source, its objects, their prompts, and what follows from them."""

from __future__ import annotations

import copy
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from trocar.frames import FrameSource, geometry_of
from trocar.masks import FrameMasks
from trocar.memory.none import NoMemory
from trocar.memory.recent import Recent
from trocar.memory.seam import MemoryEntry, MemoryPolicy
from trocar.memory.self_sorting import SelfSorting
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures
from trocar.prompts import ClassPrompt, Prompt, check_prompt
from trocar.track.ahead import propagate_ahead
from trocar.track.entries import StepSettings
from trocar.track.features import Features, input_of
from trocar.track.finding import Finding, Found, without_classes
from trocar.track.heap import give_back_memory
from trocar.track.lineage import Lineage
from trocar.track.order import SIGNS, Course, Direction, Pass
from trocar.track.prompt_input import prompt_input
from trocar.track.prompter import Credibility, Prompter
from trocar.track.propagate import Outcome, propagate, step
from trocar.track.propagation import Propagation
from trocar.track.rows import Task
from trocar.track.shown import Work, frame_masks
from trocar.track.snapshots import Snapshot, Snapshots
from trocar.track.track import FramePrompt, Track, settled_frames


@dataclass(frozen=True)
class SessionOptions:
    """How a session works.

    Args:
        step: overlap, storage and randomness, see `StepSettings`.
        image_size: side of the network's square input in pixels; None for the network's own.
        snapshot_every: visits between snapshots; a correction replays at most this many frames.
        snapshot_folder: where snapshots are kept; None for a temporary folder that goes with the session.
        snapshots_kept: how many of each direction, the newest; None for all, so that corrections replay a few frames.
            1 is enough for a run that is never corrected: it goes on from the newest.
        credibility: when a prompter is believed.
        first_found_id: objects that a prompter finds get the lowest free ids from here on.
        ahead: read and encode the next frame in a thread of its own while one is tracked, see `propagate_ahead`.
    """

    step: StepSettings = field(default_factory=StepSettings)
    image_size: int | None = None
    snapshot_every: int = 32
    snapshot_folder: Path | None = None
    snapshots_kept: int | None = None
    credibility: Credibility = field(default_factory=Credibility)
    first_found_id: int = 1
    ahead: bool = False


class Session:
    """Prompt objects of a source on any frame, correct them, and track them through it.

    Args:
        network: see `trocar.load`.
        source: see `trocar.open_source`.
        memory: a policy, copied for each object. Where it is not given: SAM 2's own, or for a source that says that it
            is not `ordered` MedSAM-2's without its bank, which reads the prompts alone; with a network that cannot
            remember none.
        options: see `SessionOptions`.
        features: gives the image features of a frame, for sessions that share them; by default each has its own.
        prompter: looks for objects by their class, see `trocar.load_prompter`; None where the user alone prompts.
    """

    def __init__(
        self,
        network: Network,
        source: FrameSource,
        memory: MemoryPolicy | None = None,
        options: SessionOptions | None = None,
        features: Callable[[int], ImageFeatures] | None = None,
        prompter: Prompter | None = None,
    ) -> None:
        self.source = source
        self.tracks: dict[int, Track] = {}
        self.options = options or SessionOptions()
        self._network = network.eval()
        size = None if hasattr(source, "geometries") else source.geometry.size
        self._course = Course(len(source), size, getattr(source, "ordered", True))
        by_default: MemoryPolicy = Recent() if self._course.ordered else SelfSorting(bank=0)
        if not network.config.remembers:
            by_default = NoMemory()
        self._memory = by_default if memory is None else memory
        self._input = input_of(network.config, self.options.image_size)
        self._device = next(network.parameters()).device
        rules = self.options.credibility
        rules = replace(rules, frames=min(rules.frames, len(source)))  # a single picture is seen once
        keep = 2 if prompter is None else rules.frames + 1
        economy = self.options.step.economy
        self._features = features or Features(network, source, self._input.side, keep, economy.spares_frames)
        self._work = Work(self._network, source, self._features, self._input, self.options.step, self._memory)
        self._finding = None if prompter is None else Finding(prompter, rules, self._work, self.options.first_found_id)
        if prompter is not None and not self._course.ordered:
            raise ValueError(f"the frames of {source.name} do not follow one another: look for classes in a video")
        economy.check(self._course.ordered, prompter is not None)
        self._edits: list[tuple[int, int, Track | None]] = []  # (object, frame, the track as it was before)
        folder = self.options.snapshot_folder
        self._temporary = tempfile.TemporaryDirectory(prefix="trocar-") if folder is None else None
        kept = Path(self._temporary.name) if self._temporary else Path(folder or "")
        self.snapshots = Snapshots(kept, self._device, self.options.snapshots_kept)

    def add(self, *prompts: Prompt | ClassPrompt, frame: int = 0, object_id: int = 1) -> FrameMasks:
        """Prompt an object on a frame, or correct it there, and see the answer.

        Prompts of the same frame add up. On a frame that was tracked, clicks and boxes refine what tracking found. The
        answer sticks: tracking never overwrites it. What comes after it is tracked anew by `propagate(start=frame)`.

        Raises:
            ValueError: a prompt lies outside the frame, the frame beyond the source, a mask has another size, a class
                is not seen there, or the policy asks for memories that the network cannot encode.
        """
        if not prompts:
            raise ValueError("add needs at least one prompt: a Box, Point, Scribble or MaskPrompt")
        if object_id < 1:
            raise ValueError(f"object ids are whole numbers from 1 on, not {object_id}")
        said = without_classes(prompts, frame, self._finding)
        for prompt in said:
            check_prompt(prompt, geometry_of(self.source, frame), frame, len(self.source))
        before = self.tracks.get(object_id)
        if before is None:
            self.snapshots.disown(object_id)
        track = Track(object_id, copy.deepcopy(self._memory)) if before is None else before.fork()
        track.prompts[frame] = track.prompts.get(frame, FramePrompt()).merged(said)
        with torch.inference_mode():
            outcome = self._answer(track, frame)
            self._edits.append((object_id, frame, before))
            self.tracks[object_id] = track
            self.snapshots.drop_from(frame)
            return self._frame_masks(frame, {object_id: outcome.entry})

    def remove(self, object_id: int) -> None:
        """Forget an object."""
        if object_id not in self.tracks:
            raise ValueError(f"there is no object {object_id} to remove; the objects are {sorted(self.tracks)}")
        track = self.tracks.pop(object_id)
        self._edits.append((object_id, min(track.prompted), track))

    def undo(self) -> int:
        """Take the last `add` or `remove` back. Returns the frame from where to propagate again.

        It is the frame of the edit, or the first of a pass whose memory had been told of it from the beginning.
        """
        if not self._edits:
            raise ValueError("there is nothing to undo")
        object_id, frame, before = self._edits.pop()
        edited = self.tracks.pop(object_id, None)
        if before is not None:
            # What still waits in the middle of a pass is the edited track's; after a removal nothing of it waits.
            before.lineage = Lineage() if edited is None else edited.lineage
            self.tracks[object_id] = before
        if edited is not None:
            return self.take_back(object_id, frame, edited.prompted[frame])
        self.snapshots.drop_from(frame)
        return frame

    def take_back(self, object_id: int, frame: int, answer: MemoryEntry) -> int:
        """Forget what was tracked with an answer that no longer counts. Returns the frame to propagate from again."""
        begun = {way: self.snapshots.first_told(way, object_id, answer, frame) for way in reversed(SIGNS)}
        self.snapshots.drop_from(frame)
        for way, first in begun.items():
            # What was tracked before the frame knew of the answer too: the pass begins again.
            if first is not None and object_id in self.tracks:
                self.snapshots.clear(way)
                fresh = {name: track.fork() for name, track in self.tracks.items()}
                for track in fresh.values():
                    track.begin(copy.deepcopy(self._memory), self._course.stretch(way, first, frame).visit(first))
                self.snapshots.write(way, first - SIGNS[way], fresh)
                frame = first
        return frame

    def propagate(
        self,
        direction: Direction | Literal["both"] = "forward",
        start: int | None = None,
        stop: int | None = None,
        resume: bool = False,
    ) -> Propagation:
        """Track all objects; gives `FrameMasks` one by one, as they are made.

        Args:
            direction: "forward" from the first prompt, "backward" from the last, or "both": forward, then each object
                back from its first prompt. A source without an order is gone through once, all objects on every frame.
            start: go on from this frame with the memory of the frames before it; None tracks everything anew.
            stop: last frame visited; None for the end of the source.
            resume: go on where an interrupted session with the same prompts and snapshot folder ended.

        Raises:
            ValueError: there are no prompts, or `start` or `stop` lies outside the source.
        """
        if not self.tracks and self._finding is None:
            raise ValueError("there is nothing to track: add a prompt first")
        if self._finding is not None and direction == "both":
            raise ValueError("classes are looked for in one direction: choose forward or backward")
        length = len(self.source)
        for name, frame in (("start", start), ("stop", stop)):
            if frame is not None and not 0 <= frame < length:
                raise ValueError(f"{name} frame {frame} is outside {self.source.name}: frames are 0 to {length - 1}")
            if frame is not None and direction == "both":
                raise ValueError(f"{name} goes with one direction: propagate forward and backward one after the other")
        prompted = None  # what is found may be anywhere
        if self._finding is None:
            prompted = [(min(track.prompted), max(track.prompted)) for track in self.tracks.values()]
        passes = self._course.passes(direction, start, stop, prompted)
        if resume:
            self.snapshots.adopt()
            passes = [self._rest(one) for one in passes]
        passes = [one for one in passes if len(one)]
        made = (masks for one in passes for masks in self._run_pass(one, anew=start is None and one.is_whole))
        return Propagation(self.source, sum(len(one) + self._held_back(one) for one in passes), made)

    @property
    def found(self) -> dict[int, Found]:
        """The objects that the prompter has found so far, by id."""
        known = {} if self._finding is None else self._finding.found
        return {name: one for name, one in known.items() if name in self.tracks}

    @property
    def policy(self) -> MemoryPolicy:
        """What each object gets a copy of to remember with."""
        return self._memory

    @property
    def disk_bytes(self) -> int:
        """Disk that the snapshots take."""
        return self.snapshots.size_bytes

    def close(self) -> None:
        """Delete the temporary snapshots."""
        if self._temporary is not None:
            self._temporary.cleanup()

    def _rest(self, stretch: Pass) -> Pass:
        """What a pass still has to visit, as far as snapshots tell."""
        reached = self.snapshots.last(stretch.direction)
        if reached is None or (reached - stretch.start) * stretch.sign < 0:
            return stretch
        return replace(stretch, start=reached + stretch.sign, is_whole=False)

    def _held_back(self, stretch: Pass) -> int:
        """How many frames before a resumed pass still wait for their masks."""
        kept = None if stretch.is_whole else self.snapshots.before(stretch.direction, stretch.start)
        states = [state for name, state in kept.states.items() if name in self.tracks] if kept else []
        waiting = kept.found["waiting"] if kept and kept.found else 0
        return max((len(state["lineage"]) for state in states), default=waiting)

    def _run_pass(self, stretch: Pass, anew: bool) -> Iterator[FrameMasks]:
        """One pass: restore what precedes it, replay up to its start, then track and keep snapshots."""
        direction, sign = stretch.direction, stretch.sign
        kept = None if anew else self.snapshots.before(direction, stretch.start)
        if anew:
            self.snapshots.clear(direction)
        if self._finding is not None:
            self._finding.begin(self.tracks, kept and kept.found, adopt=not stretch.is_whole)
        for track in self.tracks.values():
            self._restore(track, kept, stretch)
        if kept is None:
            self._keep(direction, stretch.start - sign, 0)
        else:
            replay = replace(stretch, start=kept.frame + sign, stop=stretch.start - sign)
            for _ in self._loop(self.tracks, replay):
                pass
        yield from self._track(stretch)

    def _track(self, stretch: Pass) -> Iterator[FrameMasks]:
        """Visit the frames of a pass, hand masks out as soon as they are settled, and keep snapshots."""
        sign = stretch.sign
        lineages = [track.lineage for track in self.tracks.values()]
        if stretch.is_whole:  # what lies before was handed out by an earlier pass
            for lineage in lineages:
                lineage.clear()
        firsts = [lineage.stages[0].frame for lineage in lineages if lineage.stages]
        held = 0 if self._finding is None else self._finding.waiting
        oldest = min([*firsts, stretch.start - held * sign], key=lambda frame: frame * sign)
        waiting = deque(range(oldest, stretch.start, sign))
        lag = self._memory.spec.lag
        newest = stretch.start - sign
        for frame, outcomes in self._loop(self.tracks, stretch):
            if (frame - newest) * sign <= 0:  # of an object that was found, before it was believed
                if frame in waiting:
                    for outcome in outcomes:
                        self.tracks[outcome.object_id].lineage.amend(frame, outcome.entry)
                continue
            newest = frame
            waiting.append(frame)
            for outcome in outcomes:
                self.tracks[outcome.object_id].lineage.note(frame, outcome.records, lag)
            yield from self._hand_out(waiting, stretch, final=frame == stretch.stop)
            # Only after its masks have been taken: whoever goes on from a snapshot never misses a frame.
            if (abs(frame - stretch.start) + 1) % self.options.snapshot_every == 0 or frame == stretch.stop:
                self._keep(stretch.direction, frame, len(waiting))

    def _hand_out(self, waiting: deque[int], stretch: Pass, final: bool) -> Iterator[FrameMasks]:
        """The masks of the frames that are settled for all objects, in the order of the pass."""
        held = 0 if self._finding is None else self._finding.held
        for frame, found in settled_frames(self.tracks, waiting, final, held):
            # A frame may have been prompted while it waited.
            prompted = {name: self.tracks[name].prompted for name in found}
            answers = {name: known[frame] for name, known in prompted.items() if frame in known}
            yield replace(self._frame_masks(frame, found | answers), adds=stretch.unprompted_side)

    def _loop(self, tracks: dict[int, Track], stretch: Pass) -> Iterator[tuple[int, list[Outcome]]]:
        if self._finding is not None:
            return self._finding.follow(tracks, stretch)
        go = propagate_ahead if self.options.ahead else propagate
        return go(self._network, self._features, tracks, stretch, self.options.step)

    def _keep(self, direction: Direction, frame: int, waiting: int) -> None:
        """Write a snapshot; `waiting` frames up to it have not been handed out."""
        found = None if self._finding is None else self._finding.state(self.tracks, waiting)
        self.snapshots.write(direction, frame, self.tracks, found)
        give_back_memory()

    def _restore(self, track: Track, kept: Snapshot | None, stretch: Pass) -> None:
        if kept is not None and track.object_id in kept.states:
            track.restore(copy.deepcopy(self._memory), kept.states[track.object_id])
        else:
            track.begin(copy.deepcopy(self._memory), stretch.visit(stretch.start))

    def _answer(self, track: Track, frame: int) -> Outcome:
        """Decode the track's prompt of a frame, with its memory if the frame was tracked, and keep the answer."""
        found, memory = self._tracked(track, frame)
        if frame in track.prompted:
            found = track.prompted[frame].logits
        asked = prompt_input(track.prompts[frame], geometry_of(self.source, frame), self._input, found, self._device)
        visit = self._course.stretch("forward", frame, frame).visit(frame)
        reader = memory or track.fork()
        reader.next_id = track.next_id
        task = Task(reader, visit, asked, use_memory=memory is not None)
        outcome = step(self._network, self._features(frame), [task], self.options.step)[0]
        track.next_id = reader.next_id
        track.prompted[frame] = outcome.entry
        track.tell(visit, outcome.entry)
        return outcome

    def _tracked(self, track: Track, frame: int) -> tuple[Tensor | None, Track | None]:
        """The logits that tracking found on `frame`, and the object's memory just before it; None where it was not."""
        for direction, sign in SIGNS.items():
            reached = self.snapshots.last(direction)
            kept = self.snapshots.before(direction, frame)
            if reached is None or kept is None or (reached - frame) * sign < 0:
                continue
            if self._finding is None and track.object_id not in kept.states:
                continue
            shadow = track.fork()
            shadow.prompted.pop(frame, None)
            if not shadow.prompted:
                continue
            again = self._course.stretch(direction, kept.frame + sign, frame)
            self._restore(shadow, kept, again)
            memory = shadow.fork()
            for at, outcomes in self._replayed(shadow, kept, again):
                mine = [one.entry for one in outcomes if one.object_id == track.object_id]
                if at != frame:
                    memory = shadow.fork()
                elif mine:
                    return (mine[0].logits if mine[0].present else None), memory
        return None, None

    def _replayed(self, shadow: Track, kept: Snapshot, again: Pass) -> Iterator[tuple[int, list[Outcome]]]:
        """Track an object anew from a snapshot, beside the session: alone, or with all that a prompter weighs."""
        if self._finding is None:
            yield from self._loop({shadow.object_id: shadow}, again)
            return
        tracks = {name: one.fork() for name, one in self.tracks.items()} | {shadow.object_id: shadow}
        finding = self._finding.fork()
        finding.begin(tracks, kept.found)
        for one in tracks.values():
            if one is not shadow:
                self._restore(one, kept, again)
        newest = again.start - again.sign
        for frame, outcomes in finding.follow(tracks, again):
            if (frame - newest) * again.sign > 0:
                newest = frame
                yield frame, outcomes

    def _frame_masks(self, frame: int, entries: dict[int, MemoryEntry]) -> FrameMasks:
        said = {name: self.tracks[name].prompts.get(frame) for name in entries}
        exact = {name: one.mask for name, one in said.items() if one is not None and one.mask is not None}
        made = frame_masks(self._work, frame, entries, exact)
        named = {name: {one.name: one.presence} for name, one in self.found.items() if name in entries}
        return replace(made, classes={**named, **made.classes})
