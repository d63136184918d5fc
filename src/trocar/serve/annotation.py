"""A source being annotated: a session whose every edit and mask is stored before anybody hears of it.

The session can be dropped at any moment and rebuilt from the store: prompts, and the network's memory of their answers,
are stored with the edits; snapshots of tracking lie in the project folder. Undo and redo rebuild one object the same
way.
"""

from __future__ import annotations

import copy
import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from trocar.frames import Frame, FrameSource
from trocar.memory import MemoryPolicy
from trocar.memory.seam import MemoryEntry
from trocar.model.network import Network
from trocar.prompts import MaskPrompt, PlacedPrompt, prompts_from_json
from trocar.serve.errors import Refusal
from trocar.serve.ledger import Edit, Ledger
from trocar.track.features import Features
from trocar.track.prompter import Prompter
from trocar.track.session import Session, SessionOptions
from trocar.track.track import FramePrompt, Track, entry_state
from trocar.wire import Answer, MaskMessage, Patch, Propagating, apply_patch, make_patch, mask_version

IDS_AN_OPENING = 2**32
"""Which ids tracking gave to memories is not stored: each opening has a range of its own, so that none comes twice."""

KEPT_FEATURES = 4


class Cancelled(Exception):
    """Work was stopped because somebody asked for it."""


class StoppableSource:
    """A source that gives no frame once `stop` is set: whatever runs over it ends within one frame."""

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self.name, self.geometry, self.rate_hz = source.name, source.geometry, source.rate_hz
        self.stop: threading.Event | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)  # what else it says of itself: whether it is ordered, its frames' sizes

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Frame:
        if self.stop is not None and self.stop.is_set():
            raise Cancelled
        return self._source[index]


@dataclass(frozen=True)
class Equipment:
    """What sessions share: the network, and the memory policy that each object gets a copy of."""

    network: Network
    memory: MemoryPolicy | None


class Annotation:
    """One source's session. Everything but `ledger` is the model's thread's.

    Args:
        equipment: network and memory.
        source: original frames, read by this session alone.
        ledger: where edits and masks are stored.
        folder: where snapshots lie.
        opening: how many sessions of this source there were before.
    """

    def __init__(
        self, equipment: Equipment, source: FrameSource, ledger: Ledger, folder: Path, opening: int = 0
    ) -> None:
        self.ledger = ledger
        self._equipment = equipment
        self._folder = folder
        self._first_id = opening * IDS_AN_OPENING
        self._source = StoppableSource(source)
        network = equipment.network
        self._features = Features(network, self._source, network.config.image_size, KEPT_FEATURES)
        self._device = next(network.parameters()).device
        self._next_ids: dict[int, int] = {}
        self._begin()

    def prepare(self, frame: int) -> None:
        """Look at a frame ahead of the first click on it."""
        with torch.inference_mode():
            self._features(frame)

    def prompt(self, prompts: list[PlacedPrompt], known: str = "") -> Answer:
        """Prompt an object on a frame; all prompts are of one object and frame.

        Raises:
            ValueError: a prompt that does not fit.
            Refusal: there is no such object.
        """
        frame, object_id = prompts[0].frame, prompts[0].object_id
        self.ledger.objects.get(object_id)
        before = self._shown(object_id, frame)
        try:
            masks = self._session.add(*(one.prompt for one in prompts), frame=frame, object_id=object_id)
            mask = masks.masks[object_id]
            track = self._session.tracks[object_id]
            self._next_ids[object_id] = track.next_id
            score = round(float(masks.scores.get(object_id, 0.0)), 6)
            answer = MaskMessage(object_id, frame, make_patch(mask), mask_version(mask), score, True)
            entry = entry_bytes(track.prompted[frame])
            self.ledger.record(Edit(object_id, frame, prompts, entry, answer))
        except BaseException:
            self._rebuild(object_id)
            raise
        return self._answer(frame, object_id, [relative(answer, before, known)])

    def remove(self, object_id: int) -> Answer:
        """Remove an object."""
        self.ledger.objects.get(object_id)
        frames = [one.frame for one in self.ledger.given(object_id)]
        frame = min(frames, default=0)
        self.ledger.record(Edit(object_id, frame))
        self._rebuild(object_id)
        return self._answer(frame, object_id, [])

    def flip(self, undo: bool, known: Mapping[str, str]) -> Answer:
        """Undo the last edit, or redo the first one that was undone."""
        history = self.ledger.history()
        turned = history.edits[-1:] if undo else history.undone[:1]
        before = self._shown(turned[0].object, turned[0].frame) if turned else None
        edit = self.ledger.flip(undo)
        track = self._session.tracks.get(edit.object)
        self._rebuild(edit.object)
        if undo and track is not None and edit.frame in track.prompted:
            self._session.take_back(edit.object, edit.frame, track.prompted[edit.frame])
        else:
            self._session.snapshots.drop_from(edit.frame)
        after = self._shown(edit.object, edit.frame)
        if after is None:
            size = [] if before is None else before.patch.size
            after = MaskMessage(edit.object, edit.frame, Patch(size, [0, 0, 0, 0], ""), "")
        changed = [relative(after, before, known.get(f"{edit.object}@{edit.frame}", ""))] if after.patch.size else []
        return self._answer(edit.frame, edit.object, changed)

    def propagate(self, asked: Propagating, resume: bool, stop: threading.Event) -> Iterator[tuple[int, int]]:
        """Track; yields (frame, how many frames in all) as soon as a frame's masks are stored.

        Raises:
            ValueError: nothing is prompted, or the frames do not fit.
            Cancelled: `stop` was set.
        """
        self._source.stop = stop
        try:
            frames = self._session.propagate(asked.direction, asked.start, asked.stop, resume)
            for masks in frames:
                self.ledger.keep(masks)
                yield masks.frame, len(frames)
                if stop.is_set():
                    raise Cancelled
        finally:
            self._source.stop = None
            for object_id, track in self._session.tracks.items():
                self._next_ids[object_id] = track.next_id

    def find(self, prompter: Prompter, stop: threading.Event) -> Iterator[tuple[int, int]]:
        """Track forward anew and look for classes on the way; yields as `propagate` does.

        An object that is found is stored as if it had been prompted with the mask that was seen, as an edit of its own.

        Raises:
            ValueError: the class model does not fit the source.
            Cancelled: `stop` was set.
        """
        self._source.stop = stop
        self._begin(prompter)
        stored: set[int] = set()
        try:
            frames = self._session.propagate("forward")
            for masks in frames:
                for object_id in sorted(self._session.found.keys() - stored):
                    self._store_found(object_id)
                    stored.add(object_id)
                self.ledger.keep(masks)
                yield masks.frame, len(frames)
                if stop.is_set():
                    raise Cancelled
        finally:
            self._source.stop = None
            for object_id, track in self._session.tracks.items():
                self._next_ids[object_id] = track.next_id
            self._begin()

    def _begin(self, prompter: Prompter | None = None) -> None:
        """Begin a session that is what the store and the snapshots say."""
        options = SessionOptions(snapshot_folder=self._folder, first_found_id=self.ledger.objects.next_id)
        equipment = self._equipment
        self._session = Session(equipment.network, self._source, equipment.memory, options, self._features, prompter)
        self._session.snapshots.adopt()
        for one in self.ledger.objects.all():
            self._rebuild(one.id)

    def _store_found(self, object_id: int) -> None:
        found, track = self._session.found[object_id], self._session.tracks[object_id]
        names = [one.name for one in self.ledger.objects.all() if one.name.startswith(found.name)]
        made = self.ledger.objects.add(found.name if not names else f"{found.name} {len(names) + 1}")
        if made.id != object_id:
            raise Refusal("conflict", "objects were added while classes were looked for: look for them again")
        mask, entry = found.prompt.mask, track.prompted[found.frame]
        assert mask is not None
        answer = MaskMessage(
            object_id, found.frame, make_patch(mask), mask_version(mask), round(min(max(entry.iou, 0.0), 1.0), 6), True
        )
        said = [PlacedPrompt(MaskPrompt(mask), found.frame, object_id)]
        self.ledger.record(Edit(object_id, found.frame, said, entry_bytes(entry), answer))

    def _answer(self, frame: int, object_id: int, masks: list[MaskMessage]) -> Answer:
        history = self.ledger.history()
        last, following = history.edits[-1:], history.undone[:1]
        ends = [replace(one, prompts=[]) for one in (*last, *following)]
        return Answer(frame, object_id, masks, ends[0] if last else None, ends[-1] if following else None)

    def _shown(self, object_id: int, frame: int) -> MaskMessage | None:
        return next((one for one in self.ledger.masks(frame, frame) if one.object == object_id), None)

    def _rebuild(self, object_id: int) -> None:
        """Make one object what the store says it is."""
        self._session.tracks.pop(object_id, None)
        given = self.ledger.given(object_id)
        if not given:
            return
        track = Track(object_id, copy.deepcopy(self._session.policy))
        for one in given:
            prompts = [placed.prompt for placed in prompts_from_json(one.prompts)]
            track.prompts[one.frame] = track.prompts.get(one.frame, FramePrompt()).merged(tuple(prompts))
            track.prompted[one.frame] = entry_from(one.entry, self._device)
        track.entries = {entry.id: entry for entry in track.prompted.values()}
        track.next_id = max(self._next_ids.get(object_id, self._first_id), *(name + 1 for name in track.entries))
        self._session.tracks[object_id] = track


def relative(mask: MaskMessage, before: MaskMessage | None, known: str) -> MaskMessage:
    """The same mask as a change of `before`, where that is what the client says it knows."""
    if before is None or not known or known != before.version or not mask.patch.size:
        return mask
    old, new = apply_patch(before.patch), apply_patch(mask.patch)
    return replace(mask, patch=make_patch(new, old, known))


def entry_bytes(entry: MemoryEntry) -> bytes:
    """A memory as it is stored with the edit that it answers."""
    buffer = io.BytesIO()
    torch.save(entry_state(entry), buffer)
    return buffer.getvalue()


def entry_from(stored: bytes, device: torch.device) -> MemoryEntry:
    """What `entry_bytes` stored."""
    return MemoryEntry(**torch.load(io.BytesIO(stored), weights_only=True, map_location=device))
