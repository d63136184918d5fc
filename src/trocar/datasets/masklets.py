"""Masklets from masks without identity in time, as SA-SV reconstructs them (section 3, "dataset reconstruction").

Semantic masks become instances, instances get ids that last, class names come from one table, doubtful frames are
listed for a person, and what the person corrects is laid over and carried on. `MaskletBuilder` is the work, frame by
frame; `write_masklets` puts a case into a folder with where everything came from.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from trocar.datasets.association import AssociationSettings, Associator, Event, Link
from trocar.datasets.case import Mask
from trocar.datasets.class_names import ClassNames, StandardName, read_class_names
from trocar.datasets.corrections import Corrected, lay_over
from trocar.datasets.masklet_review import Flag
from trocar.datasets.pieces import PieceSettings, instances_of
from trocar.datasets.sighting import Instance, Sighting, View, overlap, sight
from trocar.frames import Frame
from trocar.masks import FrameMasks

Ids = Literal["classes", "instances", "masklets"]
"""What the input's ids stand for, see `trocar.datasets.Dataset`."""

NOTHING: Mapping[int, Mask] = {}
NO_CORRECTION: Mapping[int, Corrected] = {}


@dataclass(frozen=True)
class MaskletSettings:
    """How masklets are made.

    Args:
        pieces: how semantic masks become instances.
        association: how instances get ids in time.
        area_jump: a mask that grows or shrinks by more than this factor from one frame to the next is flagged.
        corrected: whether corrections replace the "objects" that they name, or the "whole" frame.
    """

    pieces: PieceSettings = field(default_factory=PieceSettings)
    association: AssociationSettings = field(default_factory=AssociationSettings)
    area_jump: float = 2.5
    corrected: Literal["objects", "whole"] = "objects"

    def __post_init__(self) -> None:
        if self.area_jump <= 1:
            raise ValueError(f"area_jump is a factor above 1, not {self.area_jump:g}")
        if self.corrected not in ("objects", "whole"):
            raise ValueError(f"corrected must be 'objects' or 'whole', not {self.corrected!r}")


DEFAULTS = MaskletSettings()


class Runs:
    """Frames as stretches of frames that follow one another in what was annotated."""

    def __init__(self) -> None:
        self.spans: list[list[int]] = []
        self._step = -2

    def add(self, frame: int, step: int) -> None:
        if step - self._step > 1:
            self.spans.append([frame, frame])
        self.spans[-1][1] = frame
        self._step = step


@dataclass(eq=False)
class MaskletRecord:
    """What is known of a masklet in the end.

    Args:
        classes: standard class name -> frames on which its input said so.
        frames: on how many frames it is seen.
        seen: [first, last] of each stretch of annotated frames on which it is seen.
        origins: input id -> stretches on which the masklet was made of it.
        corrected: frames on which a correction drew it.
    """

    classes: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    seen: Runs = field(default_factory=Runs)
    origins: dict[int, Runs] = field(default_factory=dict)
    corrected: list[int] = field(default_factory=list)
    decided: str = ""  # the class that a person gave it
    area: int = 0  # in the frame where it was seen last
    step: int = -2  # of that frame

    @property
    def class_name(self) -> str:
        """The class that the latest correction gave it, else that of most frames."""
        return self.decided or self.classes.most_common(1)[0][0]


class MaskletBuilder:
    """Takes the masks of a sequence frame by frame and gives them back as masklets.

    It keeps one small mask and histogram for each masklet that may come back, and what it tells of each in the end.

    Args:
        names: input id -> class name as the data set says it.
        ids: what the input's ids stand for: "classes" (pieces are found first), "instances" (one thing on one frame),
            or "masklets" (kept as they are; names, flags and corrections remain).
        settings: see there.
        table: the standard class names.
        reserved: ids that new masklets do not get, as those of an earlier result.

    Raises:
        ValueError: `ids` is none of them.
    """

    def __init__(
        self,
        names: Mapping[int, str],
        ids: Ids,
        settings: MaskletSettings = DEFAULTS,
        table: ClassNames | None = None,
        reserved: frozenset[int] = frozenset(),
    ) -> None:
        if ids not in ("classes", "instances", "masklets"):
            raise ValueError(f"ids stand for 'classes', 'instances' or 'masklets', not {ids!r}")
        self._table = table or read_class_names()
        self.names: dict[int, StandardName] = {i: self._table(name) for i, name in names.items()}
        """Input id -> what became of its name."""
        self.records: dict[int, MaskletRecord] = {}
        """Masklet id -> what is known of it so far."""
        self._ids, self.settings = ids, settings
        self._associator = Associator(settings.association, self._number, parts=ids == "classes")
        self._free: int = max((0, *reserved, *(names if ids == "masklets" else ()))) + 1
        self._before: Mapping[int, Mask] = NOTHING
        self._flags: list[Flag] = []
        self._running: dict[tuple[int, str], Flag] = {}
        self._step = -1

    def add(
        self,
        frame: Frame,
        masks: Mapping[int, Mask],
        corrected: Mapping[int, Corrected] = NO_CORRECTION,
        before: Mapping[int, Mask] = NOTHING,
    ) -> FrameMasks:
        """The masklets on the next frame.

        Args:
            frame: the picture; frames come in ascending order.
            masks: input id -> (rows, columns) bool mask.
            corrected: masklet id -> corrected mask.
            before: masklet id -> mask on this frame in the result that was corrected: masklets that begin here take
                their id from it, so that corrections of later frames mean what they meant.

        Returns:
            The masks that are not empty; those of a correction count as prompted.

        Raises:
            ValueError: an id without a name, or a mask that is not of the picture's size.
        """
        self._step += 1
        self._before = before
        for i, mask in masks.items():
            if i not in self.names:
                raise ValueError(f"frame {frame.index} has the id {i}, which no class name belongs to: name it")
            if mask.shape != frame.image.shape[:2]:
                raise ValueError(f"frame {frame.index} is {frame.image.shape[:2]} and its mask {i} {mask.shape}")
        instances = [] if corrected and self.settings.corrected == "whole" else self._instances(masks)
        if corrected:
            instances = lay_over(instances, corrected, before, self.classes, self._table)
        view = View(frame.image)
        links = self._associator.step(view, [sight(one, view) for one in instances])
        found = {link.masklet.number: link.mask() for link in links}
        found = {i: mask for i, mask in found.items() if mask.any()}
        running: dict[tuple[int, str], Flag] = {}
        for link in links:
            if link.masklet.number in found:
                events = self._note(frame.index, link, int(np.count_nonzero(found[link.masklet.number])))
                running |= self._flag(frame.index, link.masklet.number, events)
        self._running = running
        drawn = frozenset(i for i in found if i in corrected)
        for i in drawn:
            self.records[i].corrected.append(frame.index)
        return FrameMasks(frame.index, found, prompted=drawn)

    @property
    def classes(self) -> dict[int, str]:
        """Masklet id -> its class as far as it is known, ascending."""
        return {i: record.class_name for i, record in sorted(self.records.items())}

    def flags(self) -> list[Flag]:
        """What to look at, in the order of frames, now that all are known."""
        alone = [
            Flag(record.seen.spans[0][0], record.seen.spans[0][0], i, "one frame", 0.6)
            for i, record in self.records.items()
            if record.frames == 1 and self._step > 0
        ]
        return sorted([*self._flags, *alone], key=lambda flag: (flag.frame, flag.masklet))

    def _instances(self, masks: Mapping[int, Mask]) -> list[Instance]:
        if self._ids == "classes":
            return instances_of(masks, self.names, self.settings.pieces)
        certain = self._ids == "masklets"
        found = [
            Instance(self.names[i].standard, mask, (i,), masklet=i if certain else None)
            for i, mask in masks.items()
            if mask.any()
        ]
        # In an order that does not come from the ids: those of instances mean nothing.
        return sorted(found, key=lambda one: (one.class_name, int(one.mask.argmax()), np.count_nonzero(one.mask)))

    def _number(self, sighting: Sighting) -> int:
        """The id of a masklet that begins: that of the earlier result, or a new one."""
        mask = sighting.instance.mask
        known = {i: overlap(before, mask) for i, before in self._before.items() if i not in self.records}
        same = max(known, key=lambda i: known[i], default=None)
        if same is not None and known[same] >= 0.5:
            return same
        self._free += 1
        return self._free - 1

    def _note(self, frame: int, link: Link, area: int) -> list[Event]:
        """Add a frame to a masklet's record; what is doubtful about it."""
        record = self.records.setdefault(link.masklet.number, MaskletRecord())
        events = list(link.events)
        if record.step == self._step - 1:
            jump = abs(math.log(area / record.area)) / math.log(self.settings.area_jump)
            if jump > 1:
                events.append(Event("area jump", min(0.9, 0.4 * jump), f"{record.area} to {area} pixels"))
        for sighting in link.sightings:
            instance = sighting.instance
            if instance.class_name == "unknown":
                events.append(Event("no class", 0.9, "name it in the correction"))
            for origin in instance.origins:
                record.origins.setdefault(origin, Runs()).add(frame, self._step)
        said = link.sightings[0].instance
        record.classes[said.class_name] += 1
        if not said.origins:  # only a correction is made of no input
            record.decided = said.class_name
        record.seen.add(frame, self._step)
        record.frames += 1
        record.area, record.step = area, self._step
        return events

    def _flag(self, frame: int, masklet: int, events: list[Event]) -> dict[tuple[int, str], Flag]:
        """Begin flags, or let those that hold since the frame before go on; those that hold now."""
        running: dict[tuple[int, str], Flag] = {}
        for event in events:
            key: tuple[int, str] = (masklet, event.reason)
            flag = self._running.get(key) or running.get(key)
            if flag is None:
                flag = Flag(frame, frame, masklet, event.reason, round(event.suspicion, 3), event.note)
                self._flags.append(flag)
            flag.last = frame
            running[key] = flag
        return running
