"""The Session's verbs for one source of a server."""

from __future__ import annotations

import io
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.client.connection import Connection, ServerError, events
from trocar.wire import (
    Answer,
    ClassesWanted,
    Confidence,
    Direction,
    History,
    JobMessage,
    LeaseMessage,
    Located,
    MaskMessage,
    ObjectMessage,
    Prompting,
    PromptMessage,
    Propagating,
    SourceMessage,
    apply_patch,
    from_json,
    make_patch,
    to_json,
)

KNOWN_MASKS = 256
UNDER_WAY = ("waiting", "running")


@dataclass(frozen=True)
class FrameMasks:
    """All masks of a frame: as trocar's own FrameMasks, which cannot be imported where only the client is installed.

    Args:
        frame: its number.
        masks: object id -> (rows, columns) bool.
        scores: object id -> predicted IoU in 0..1.
        prompted: ids whose mask answers a prompt.
    """

    frame: int
    masks: Mapping[int, NDArray[np.bool_]]
    scores: Mapping[int, float] = field(default_factory=dict)
    prompted: frozenset[int] = frozenset()


class Source:
    """A source of a server: the Session's verbs.

    Args:
        connection: to its server.
        told: what it is: frames, size, geometry.
    """

    def __init__(self, connection: Connection, told: SourceMessage) -> None:
        self._connection = connection
        self.told = told
        self._path = f"/api/sources/{told.id}"
        self._known: OrderedDict[tuple[int, int], tuple[str, NDArray[np.bool_]]] = OrderedDict()

    def add(self, *prompts: Any, frame: int = 0, object_id: int = 1) -> FrameMasks:
        """Prompt an object on a frame, or correct it there, and see the answer.

        Args:
            prompts: Point, Box, Scribble and MaskPrompt of trocar (or anything with their fields), or messages such as
                {"point": [450, 340], "positive": False}.
            frame: its number.
            object_id: an object that `objects.add` made; id 1 is made if need be, as are those that follow it.

        Raises:
            ServerError: as `Connection.ask`.
        """
        self.objects.ensure(object_id)
        known = self._known.get((object_id, frame), ("", None))
        said = [prompt_message(one, known) for one in prompts]
        asked = to_json(Prompting(object_id, frame, said, known[0]))
        return self._answered(self._connection.ask("POST", f"{self._path}/prompts", asked))

    def remove(self, object_id: int) -> None:
        """Remove an object; `undo` brings it back."""
        self._connection.ask("DELETE", f"{self._path}/objects/{object_id}")

    def undo(self) -> FrameMasks:
        """Take the last prompt or removal back; gives what is shown on its frame now."""
        return self._answered(self._connection.ask("POST", f"{self._path}/undo", {"known": self._versions()}))

    def redo(self) -> FrameMasks:
        """Bring back what was undone."""
        return self._answered(self._connection.ask("POST", f"{self._path}/redo", {"known": self._versions()}))

    def propagate(
        self, direction: Direction = "forward", start: int | None = None, stop: int | None = None
    ) -> Propagation:
        """Track all objects, as `Session.propagate` does; iterate to get the masks of frames as they are made."""
        asked = to_json(Propagating(direction, start, stop))
        return Propagation(
            self._connection, from_json(JobMessage, self._connection.ask("POST", f"{self._path}/propagate", asked))
        )

    def find(self, *names: str) -> Propagation:
        """Look for objects by the names of their classes (`Client.about` lists them), from the first frame to the last.

        They become objects of the source, with the names of their classes; what is prompted is tracked forward anew.

        Raises:
            ServerError: as `Connection.ask`; kind "not_available" where the server has no class model.
        """
        said = self._connection.ask("POST", f"{self._path}/classes", to_json(ClassesWanted(list(names))))
        return Propagation(self._connection, from_json(JobMessage, said))

    def masks(self, first: int = 0, last: int | None = None) -> list[FrameMasks]:
        """The masks of a range of frames as they count now, last included."""
        found = self._connection.ask(
            "GET", f"{self._path}/masks?first={first}" + ("" if last is None else f"&last={last}")
        )
        return frames_of([from_json(MaskMessage, one) for one in found])

    def frame(self, number: int, width: int | None = None) -> NDArray[np.uint8]:
        """(rows, columns, 3) uint8 RGB of a frame."""
        more = "" if width is None else f"&width={width}"
        data = self._connection.raw("GET", f"{self._path}/frames/{number}?format=npy{more}").content
        picture: NDArray[np.uint8] = np.load(io.BytesIO(data), allow_pickle=False)
        return picture

    def export(self, format: str, path: str | Path) -> Path:
        """Download the masks in a format to a file, or into a folder under the server's name for it."""
        told = from_json(JobMessage, self._connection.ask("POST", f"{self._path}/exports", {"format": format}))
        while told.state in UNDER_WAY:
            time.sleep(0.1)
            told = from_json(JobMessage, self._connection.ask("GET", f"/api/jobs/{told.id}"))
        if told.state != "finished":
            raise ServerError("invalid", told.message)
        data = self._connection.raw("GET", f"/api/jobs/{told.id}/file").content
        target = Path(path) / told.file if Path(path).is_dir() else Path(path)
        part = target.with_name(f".part-{target.name}")
        part.write_bytes(data)
        return part.replace(target)

    @property
    def objects(self) -> Objects:
        """Its objects, with names and colours."""
        return Objects(self._connection, self._path)

    @property
    def records(self) -> Records:
        """What is known about it besides masks."""
        return Records(self._connection, self._path)

    def _versions(self) -> dict[str, str]:
        return {f"{name}@{frame}": version for (name, frame), (version, _) in self._known.items()}

    def _answered(self, said: dict[str, Any]) -> FrameMasks:
        """Apply the changed boxes of an answer to what is known here."""
        answer = from_json(Answer, said)
        masks = {}
        for one in answer.masks:
            place = (one.object, one.frame)
            masks[one.object] = apply_patch(one.patch, self._known.get(place, ("", None))[1])
            self._known[place] = (one.version, masks[one.object])
            self._known.move_to_end(place)
        while len(self._known) > KNOWN_MASKS:
            self._known.popitem(last=False)
        scores = {one.object: one.score for one in answer.masks}
        return FrameMasks(answer.frame, masks, scores, frozenset(one.object for one in answer.masks if one.prompted))


class Objects:
    """The objects of a source."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._path = f"{path}/objects"

    def all(self) -> list[ObjectMessage]:
        """Those that have not been removed."""
        return [from_json(ObjectMessage, one) for one in self._connection.ask("GET", self._path)]

    def add(self, name: str = "", colour: str | None = None) -> ObjectMessage:
        """A new one."""
        return from_json(ObjectMessage, self._connection.ask("POST", self._path, {"name": name, "colour": colour}))

    def change(self, object_id: int, name: str | None = None, colour: str | None = None) -> ObjectMessage:
        """Another name or colour ("#rrggbb")."""
        said = self._connection.ask("PATCH", f"{self._path}/{object_id}", {"name": name, "colour": colour})
        return from_json(ObjectMessage, said)

    def ensure(self, object_id: int) -> None:
        """Make objects until there is one of this id; ids are given in order."""
        highest = max((one.id for one in self.all()), default=0)
        while highest < object_id:
            highest = self.add().id


class Records:
    """What is known about a source besides masks, and who edits it."""

    def __init__(self, connection: Connection, path: str) -> None:
        self._connection = connection
        self._path = path

    def history(self) -> History:
        """The edits that count, and those that redo would bring back."""
        return from_json(History, self._connection.ask("GET", f"{self._path}/history"))

    def confidence(self) -> list[Confidence]:
        """The score of every mask, by object."""
        return [from_json(Confidence, one) for one in self._connection.ask("GET", f"{self._path}/confidence")]

    def jobs(self) -> list[JobMessage]:
        """Long work on it, newest first."""
        return [from_json(JobMessage, one) for one in self._connection.ask("GET", f"{self._path}/jobs")]

    def locate(self, mm: Sequence[Sequence[float]]) -> list[Located]:
        """Points in RAS+ mm as frames and pixels, for volumes."""
        said = self._connection.ask("POST", f"{self._path}/locate", {"mm": [list(one) for one in mm]})
        return [from_json(Located, one) for one in said]

    def take_lease(self, holder: str) -> LeaseMessage:
        """Keep others from editing, or renew that; `holder` is what they are told."""
        return from_json(LeaseMessage, self._connection.ask("PUT", f"{self._path}/lease", {"holder": holder}))

    def release_lease(self) -> LeaseMessage:
        """Let others edit."""
        return from_json(LeaseMessage, self._connection.ask("DELETE", f"{self._path}/lease"))


class Propagation(Iterator[FrameMasks]):
    """The masks of a propagation as they are made. It goes on at the server whether or not anybody iterates."""

    def __init__(self, connection: Connection, told: JobMessage) -> None:
        self._connection = connection
        self.told = told
        self._masks = self._stream()

    def __next__(self) -> FrameMasks:
        return next(self._masks)

    def cancel(self) -> JobMessage:
        """Stop it within a frame; what was made stays, and iterating ends."""
        return from_json(JobMessage, self._connection.ask("POST", f"/api/jobs/{self.told.id}/cancel"))

    def wait(self) -> JobMessage:
        """Until it has ended."""
        for _ in self:
            pass
        return self.told

    def _stream(self) -> Iterator[FrameMasks]:
        for name, data in events(self._connection, self.told.id):
            if name == "masks":
                found = [from_json(MaskMessage, one) for one in data["masks"]]
                yield from frames_of(found) or [FrameMasks(int(data["frame"]), {})]
            else:
                self.told = from_json(JobMessage, data)
        if self.told.state == "failed":
            raise ServerError("invalid", self.told.message)


def prompt_message(prompt: Any, known: tuple[str, NDArray[np.bool_] | None] = ("", None)) -> PromptMessage:
    """A prompt as it travels, told by its fields; a mask as what differs from the one the server has.

    Raises:
        ValueError: it has the fields of no prompt.
    """
    if isinstance(prompt, PromptMessage):
        return prompt
    if isinstance(prompt, Mapping):
        return from_json(PromptMessage, prompt)
    if hasattr(prompt, "mask"):
        return PromptMessage(mask=make_patch(prompt.mask, known[1], known[0]))
    if hasattr(prompt, "points"):
        return PromptMessage(scribble=[[float(x), float(y)] for x, y in prompt.points], positive=bool(prompt.positive))
    if hasattr(prompt, "x0"):
        return PromptMessage(box=[float(getattr(prompt, name)) for name in ("x0", "y0", "x1", "y1")])
    if hasattr(prompt, "x"):
        return PromptMessage(point=[float(prompt.x), float(prompt.y)], positive=bool(prompt.positive))
    raise ValueError(f"{type(prompt).__name__} is no prompt: give a Point, Box, Scribble, MaskPrompt or a message")


def frames_of(masks: Sequence[MaskMessage]) -> list[FrameMasks]:
    """Whole masks, with patches to empty ones, by frame."""
    frames: dict[int, list[MaskMessage]] = {}
    for one in masks:
        frames.setdefault(one.frame, []).append(one)
    return [
        FrameMasks(
            frame,
            {one.object: apply_patch(one.patch) for one in found},
            {one.object: one.score for one in found},
            frozenset(one.object for one in found if one.prompted),
        )
        for frame, found in sorted(frames.items())
    ]
