"""What was said about one source and what came of it: objects, edits that can be undone, and masks.

Two layers of masks: those that tracking made, and over them the answers to the prompts that count. Undo and redo only
say which edits count; nothing is computed or deleted for them. Edits that were undone stand at the end, and go when
another edit is made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row, delete, insert, select, update

from trocar.masks import FrameMasks
from trocar.prompts import PlacedPrompt, prompts_to_json
from trocar.serve.database import Database, edits, tracked
from trocar.serve.errors import Refusal
from trocar.serve.objects import Objects, heads_of
from trocar.wire import (
    Confidence,
    EditMessage,
    History,
    MaskMessage,
    Patch,
    from_json,
    make_patch,
    mask_version,
    to_json,
)


class Given(NamedTuple):
    """A prompting that counts: where, what was said, and the stored memory of its answer."""

    frame: int
    prompts: str
    entry: bytes


@dataclass(frozen=True)
class Edit:
    """A new edit: a prompting with its answer, or the removal of an object.

    Args:
        object_id: whose.
        frame: on which.
        prompts: what was said; none for a removal.
        entry: the memory of the answer, None for a removal.
        mask: the answer, None for a removal.
    """

    object_id: int
    frame: int
    prompts: Sequence[PlacedPrompt] = ()
    entry: bytes | None = None
    mask: MaskMessage | None = None


class Ledger:
    """The stored side of one source."""

    def __init__(self, database: Database, source: int) -> None:
        self._database = database
        self.source = source
        self.objects = Objects(database, source)

    def record(self, edit: Edit) -> None:
        """Store an edit with its answer; what had been undone is gone for good."""
        values = {
            "source": self.source,
            "object": edit.object_id,
            "frame": edit.frame,
            "kind": "prompt" if edit.prompts else "remove",
            "prompts": json.loads(prompts_to_json(edit.prompts)),
            "entry": edit.entry,
            "mask": None if edit.mask is None else to_json(edit.mask),
        }
        with self._database.write() as connection:
            connection.execute(delete(edits).where(edits.c.source == self.source, edits.c.undone))
            connection.execute(insert(edits).values(**values))

    def flip(self, undo: bool) -> EditMessage:
        """Take the last edit back, or bring the first one back that was undone; says which it was.

        Raises:
            Refusal: there is none.
        """
        order = edits.c.id.desc() if undo else edits.c.id
        which = select(edits.c.id, edits.c.kind, edits.c.object, edits.c.frame, edits.c.undone)
        which = which.where(edits.c.source == self.source, edits.c.undone.is_(not undo)).order_by(order).limit(1)
        with self._database.write() as connection:
            row = connection.execute(which).first()
            if row is None:
                raise Refusal("invalid", f"there is nothing to {'undo' if undo else 'redo'}: make an edit first")
            connection.execute(update(edits).where(edits.c.id == row.id).values(undone=undo))
        return EditMessage(row.id, row.kind, row.object, row.frame)

    def history(self) -> History:
        """The edits that count, in order, and those that were undone, with what was said."""
        said = select(edits.c.id, edits.c.kind, edits.c.object, edits.c.frame, edits.c.undone, edits.c.prompts)
        with self._database.read() as connection:
            rows = list(connection.execute(said.where(edits.c.source == self.source).order_by(edits.c.id)))
        messages = [(row.undone, EditMessage(row.id, row.kind, row.object, row.frame, row.prompts)) for row in rows]
        return History([one for undone, one in messages if not undone], [one for undone, one in messages if undone])

    def given(self, object_id: int) -> list[Given]:
        """The promptings of an object that count, in order; none where it was removed."""
        said = select(edits.c.kind, edits.c.frame, edits.c.prompts, edits.c.entry)
        which = (edits.c.source == self.source) & (edits.c.object == object_id) & ~edits.c.undone
        with self._database.read() as connection:
            rows = list(connection.execute(said.where(which).order_by(edits.c.id)))
        if rows and rows[-1].kind == "remove":
            return []
        return [Given(row.frame, json.dumps(row.prompts), row.entry) for row in rows]

    def keep(self, masks: FrameMasks) -> None:
        """Store what tracking found on a frame; answers to prompts are stored already."""
        rows = []
        for object_id, mask in masks.masks.items():
            if object_id not in masks.prompted:
                patch = make_patch(mask)
                row = {"source": self.source, "frame": masks.frame, "object": object_id, "size": patch.size}
                row |= {"box": patch.box, "counts": patch.counts, "version": mask_version(mask)}
                rows.append(row | {"score": float(masks.scores.get(object_id, 0.0))})
        if rows:
            names = [row["object"] for row in rows]
            here = (tracked.c.source == self.source) & (tracked.c.frame == masks.frame) & tracked.c.object.in_(names)
            with self._database.write() as connection:
                connection.execute(delete(tracked).where(here))
                connection.execute(insert(tracked), rows)

    def masks(self, first: int, last: int) -> list[MaskMessage]:
        """The masks of a range of frames, last included, as they count now, by frame and object."""
        with self._database.read() as connection:
            heads = heads_of(connection, self.source)
            live = _live(heads)
            there = tracked.c.frame.between(first, last) & (tracked.c.source == self.source)
            found = {(row.frame, row.object): _tracked(row) for row in connection.execute(select(tracked).where(there))}
            newest = {(one.frame, one.object): one.id for one in heads if one.kind == "prompt" and not one.undone}
            wanted = [one for (frame, _), one in newest.items() if first <= frame <= last]
            for some in (wanted[at : at + 500] for at in range(0, len(wanted), 500)):
                for answer in connection.scalars(select(edits.c.mask).where(edits.c.id.in_(some))):
                    message = from_json(MaskMessage, answer)
                    found[message.frame, message.object] = message
        return [found[at] for at in sorted(found) if at[1] in live]

    def confidence(self) -> list[Confidence]:
        """The score of every mask, by object."""
        scores: dict[int, dict[int, tuple[float, bool]]] = {}
        with self._database.read() as connection:
            heads = heads_of(connection, self.source)
            scored = select(tracked.c.object, tracked.c.frame, tracked.c.score).where(tracked.c.source == self.source)
            for row in connection.execute(scored):
                scores.setdefault(row.object, {})[row.frame] = (row.score, False)
            answered = select(edits.c.object, edits.c.frame, edits.c.mask)
            counting = (edits.c.source == self.source) & (edits.c.kind == "prompt") & ~edits.c.undone
            for row in connection.execute(answered.where(counting).order_by(edits.c.id)):
                scores.setdefault(row.object, {})[row.frame] = (float(row.mask["score"]), True)
        return [_confidence(name, frames) for name, frames in sorted(scores.items()) if name in _live(heads)]


def _live(heads: Sequence[Row[Any]]) -> set[int]:
    """The objects whose last edit that counts is a prompt: an object without any has no masks."""
    last = {one.object: one.kind for one in heads if not one.undone}
    return {name for name, kind in last.items() if kind == "prompt"}


def _tracked(row: Row[Any]) -> MaskMessage:
    return MaskMessage(row.object, row.frame, Patch(row.size, row.box, row.counts), row.version, row.score)


def _confidence(name: int, frames: Mapping[int, tuple[float, bool]]) -> Confidence:
    order = sorted(frames)
    scores = [round(frames[frame][0], 4) for frame in order]
    return Confidence(name, order, scores, [frame for frame in order if frames[frame][1]])
