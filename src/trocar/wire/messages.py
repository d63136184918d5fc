"""The messages, as dataclasses that become JSON and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from trocar.wire.masks import Patch

T = TypeVar("T")

Direction = Literal["forward", "backward", "both"]
State = Literal["waiting", "running", "finished", "cancelled", "failed", "interrupted"]


@dataclass(frozen=True)
class Problem:
    """Why something was refused or failed: a kind for programs, a message and what to do for people."""

    kind: str
    message: str
    remedy: str = ""


@dataclass(frozen=True)
class NewProject:
    """Asks for a project."""

    name: str


@dataclass(frozen=True)
class ProjectMessage:
    """A project: sources that belong together."""

    id: int
    name: str
    sources: int


@dataclass(frozen=True)
class FileMessage:
    """A file of an upload: its name without folders, its size in bytes, and how many of them have arrived."""

    name: str
    size: int
    received: int = 0


@dataclass(frozen=True)
class NewUpload:
    """Announces files: one, or the pictures of a set or DICOM files of a series."""

    files: list[FileMessage]


@dataclass(frozen=True)
class UploadMessage:
    """An upload and how far it is."""

    id: str
    files: list[FileMessage]


@dataclass(frozen=True)
class NewSource:
    """Asks for a source to be opened: `path` under a folder that the server offers (`root`), or an upload.

    The other fields are those of `open_source`; `image_set` opens a folder as pictures that do not follow one another.
    """

    root: str | None = None
    path: str | None = None
    upload: str | None = None
    plane: str = "axial"
    window: str | list[float] = "auto"
    series: str | None = None
    key: str | None = None
    uneven: str = "refuse"
    image_set: bool = False


@dataclass(frozen=True)
class SourceMessage:
    """What a source is.

    Args:
        id: its number.
        project: its project's.
        name: for people.
        kind: "video", "volume" or "images".
        frames: how many frames, slices (in the plane it was opened in) or pictures there are.
        size: (rows, columns) of a frame in pixels.
        sizes: those of each picture where they differ, else empty.
        names: what pictures are called, where they have names.
        rate_hz: frames per second of a video, else None.
        plane: in which a volume is tracked, else "".
        shape: (slices, rows, columns) by plane, for volumes.
        spacing_mm: between (slices, rows, columns), where it is known.
        affine: 4x4, (slice, row, column, 1) to RAS+ mm, where it is known.
    """

    id: int
    project: int
    name: str
    kind: str
    frames: int
    size: list[int]
    sizes: list[list[int]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    rate_hz: float | None = None
    plane: str = ""
    shape: dict[str, list[int]] = field(default_factory=dict)
    spacing_mm: list[float] | None = None
    affine: list[list[float]] | None = None


@dataclass(frozen=True)
class NewObject:
    """Asks for an object; without a colour it gets one of its own."""

    name: str = ""
    colour: str | None = None


@dataclass(frozen=True)
class ObjectChange:
    """What is to be different about an object; None leaves it."""

    name: str | None = None
    colour: str | None = None


@dataclass(frozen=True)
class ObjectMessage:
    """An object: its id, name, colour ("#rrggbb"), and on which frames it is prompted."""

    id: int
    name: str
    colour: str
    prompted: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class PromptMessage:
    """One prompt, in source pixels: exactly one of box (x0, y0, x1, y1), point (x, y), scribble or mask.

    `positive` goes with points and scribbles. A mask (brush, lasso) is a patch, or a PNG in base64 (`png`) whose object
    is not 0.
    """

    box: list[float] | None = None
    point: list[float] | None = None
    scribble: list[list[float]] | None = None
    mask: Patch | None = None
    png: str | None = None
    positive: bool = True


@dataclass(frozen=True)
class Prompting:
    """Prompts of one object on one frame; `known` is the version of the mask that the client shows there."""

    object: int
    frame: int
    prompts: list[PromptMessage]
    known: str = ""


@dataclass(frozen=True)
class Known:
    """With an undo or redo: the version of the mask shown, by "object@frame"."""

    known: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class MaskMessage:
    """The mask of an object on a frame: the patch to apply, and the version it then is.

    Args:
        object: its id.
        frame: the number of the frame.
        patch: what differs from `patch.base`.
        version: of the mask after the patch.
        score: predicted IoU in 0..1, 0 where the object is judged absent.
        prompted: whether it answers a prompt rather than tracking.
    """

    object: int
    frame: int
    patch: Patch
    version: str
    score: float = 0.0
    prompted: bool = False


@dataclass(frozen=True)
class EditMessage:
    """An edit: a prompt, or the removal of an object."""

    id: int
    kind: str
    object: int
    frame: int
    prompts: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """What an edit led to: masks that are now different, and what undo and redo would take back or bring back.

    `frame` and `object` are the edit's; from that frame on the object should be propagated anew.
    """

    frame: int
    object: int
    masks: list[MaskMessage]
    undo: EditMessage | None = None
    redo: EditMessage | None = None


@dataclass(frozen=True)
class History:
    """The edits that count, in order, and those that redo would bring back, next first."""

    edits: list[EditMessage]
    undone: list[EditMessage]


@dataclass(frozen=True)
class Confidence:
    """Scores of one object by frame; `prompted` says which of these frames answer a prompt."""

    object: int
    frames: list[int]
    scores: list[float]
    prompted: list[int]


@dataclass(frozen=True)
class Propagating:
    """Asks for tracking, as `Session.propagate` takes it: `start` and `stop` are frames and go with one direction."""

    direction: Direction = "forward"
    start: int | None = None
    stop: int | None = None


@dataclass(frozen=True)
class NewExport:
    """Asks for a download: the name of a format that masks can be written in."""

    format: str


@dataclass(frozen=True)
class JobMessage:
    """Long work: how far it is. `file` is the name of what can be downloaded when it has finished."""

    id: int
    source: int
    kind: str
    state: State
    done: int = 0
    total: int = 0
    rate_hz: float = 0.0
    message: str = ""
    file: str = ""


@dataclass(frozen=True)
class ClassesWanted:
    """Asks for objects by the names of their classes."""

    names: list[str]


@dataclass(frozen=True)
class LeaseMessage:
    """Who may edit a source: `holder` for people, `yours` whether it is this client, seconds until it ends unless
    renewed. Nobody where `holder` is ""."""

    holder: str = ""
    yours: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class LeaseWanted:
    """Asks to edit a source; `holder` is what others are told."""

    holder: str = "somebody"


@dataclass(frozen=True)
class Places:
    """Points in patient coordinates, RAS+ mm."""

    mm: list[list[float]]


@dataclass(frozen=True)
class Located:
    """Where a point in mm lies: on which frame (slice of the plane that is tracked) and at which pixel (x, y)."""

    frame: int
    x: float
    y: float
    inside: bool


@dataclass(frozen=True)
class Grey:
    """The values of a volume that are shown as black and white; the other way round where `inverted`."""

    low: float
    high: float
    inverted: bool = False


def to_json(message: Any) -> dict[str, Any]:
    """A message as JSON values."""
    return asdict(message)


def from_json(kind: type[T], values: Mapping[str, Any]) -> T:
    """A message from JSON values; what a newer server says besides is passed over.

    Raises:
        ValueError: a field is missing.
    """
    hints = get_type_hints(kind)
    given = {one.name: _value(hints[one.name], values[one.name]) for one in fields(kind) if one.name in values}  # type: ignore[arg-type]
    try:
        return kind(**given)
    except TypeError as error:
        raise ValueError(f"the answer is no {kind.__name__}: {error}; use a client of the server's version") from error


def _value(hint: Any, value: Any) -> Any:
    if isinstance(value, list) and get_args(hint) and is_dataclass(get_args(hint)[0]):
        return [from_json(get_args(hint)[0], one) for one in value]
    for one in (hint, *get_args(hint)):
        if is_dataclass(one) and isinstance(value, Mapping):
            return from_json(one, value)  # type: ignore[arg-type]
    return value
