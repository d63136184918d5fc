"""A volume of the scene that is annotated with a server: segments are the server's objects.

What is asked for is collected here, in the window's thread, and given back as work for `Background`; what comes of it
is written into the segments here again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.wire import mask_version
from TrocarLib import remote, scene
from TrocarLib.background import Work
from TrocarLib.remote import MaskGiven, Opened, Prompts, Server

TAG = "trocar.object"


def opening(server: Server, volume: Any, plane: str = "axial", window: str = "auto") -> Work:
    """Work that opens a volume at the server, and gives (Opened, the masks that are there already).

    Raises:
        ValueError: there is no volume, or it has colours.
    """
    voxels = scene.voxels_of(volume)

    def work(tell: Any, stop: Any) -> tuple[Opened, list[Any], list[Any]]:
        opened = remote.open_volume(server, voxels, plane, window, tell)
        return opened, opened.source.objects.all(), remote.all_masks(opened)

    return work


class Annotation:
    """A volume, its segmentation, and where they are at the server.

    Args:
        volume, segmentation: nodes of the scene.
        opened: from the work of `opening`.

    Raises:
        ValueError: volume and segmentation stand under different transforms.
    """

    def __init__(self, volume: Any, segmentation: Any, opened: Opened) -> None:
        if volume.GetTransformNodeID() != segmentation.GetTransformNodeID():
            raise ValueError("volume and segmentation stand under different transforms: give both the same one")
        self.volume, self.segmentation, self.opened = volume, segmentation, opened
        self._here = f"{opened.source.told.name}#{opened.source.told.id}"
        self._versions: dict[tuple[int, int], str] = {}
        self._arrays: dict[str, NDArray[np.uint8]] = {}
        self._asked = ""
        self._sending: list[tuple[Any, int]] = []
        self._sent: list[tuple[Any, int]] = []
        self._undone: list[tuple[Any, int]] = []
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)

    @property
    def slices(self) -> int:
        """How many slices the tracked plane has."""
        return int(self.opened.grid.lengths[0])

    @property
    def plane(self) -> str:
        """The tracked plane: axial, coronal or sagittal."""
        return str(self.opened.source.told.plane)

    def slice_at(self, world: Iterable[float]) -> int:
        """The slice on which a point in scene mm lies, or beside which.

        Raises:
            ValueError: it lies beyond the first or the last slice.
        """
        return self.opened.grid.slice_of(self._local(np.array(list(world)))[0].tolist())

    def prompting(self, segment: str, on: Any = None, beside: Any = None, roi: Any = None) -> Work:
        """Work that prompts a segment: with a box, then with the points of two lists that were not sent yet.

        Args:
            segment: its id.
            on: markups with points on the object.
            beside: markups with points beside it.
            roi: a box around it; its outline on its middle slice counts.

        Raises:
            ValueError: there is nothing new, or something lies outside the volume.
        """
        grid = self.opened.grid
        said: list[tuple[int, Any]] = []
        marks: list[tuple[Any, int]] = []
        if roi is not None:
            frame, box = grid.box(self._local(scene.roi_corners(roi)))
            said.append((frame, {"box": box}))
            marks.append((None, 0))
        for markups, positive in ((on, True), (beside, False)):
            for number, world in scene.new_points(markups):
                frame, x, y = grid.place(self._local(world)[0].tolist())
                said.append((frame, {"point": [x, y], "positive": positive}))
                marks.append((markups, number))
        if not said:
            raise ValueError("there is nothing new to send: place points, or choose a box")
        return self._prompts(segment, said, marks)

    def prompting_mask(self, segment: str, number: int) -> Work:
        """Work that prompts a segment with what it is on a slice now: painted by hand, or brought from elsewhere.

        Raises:
            ValueError: it is empty there.
        """
        mask = self.opened.grid.view(scene.segment_voxels(self.segmentation, segment, self.volume))[number] > 0
        if not mask.any():
            raise ValueError(f"the segment is empty on slice {number}: paint it there, or choose another slice")
        return self._prompts(segment, [(number, MaskGiven(np.ascontiguousarray(mask)))], [(None, 0)])

    def tracking(self, direction: str, first: int, last: int) -> Work:
        """Work that tracks all objects from slice `first` to slice `last`; see `remote.propagate`."""
        opened = self.opened
        return lambda tell, stop: remote.propagate(opened, direction, (first, last), tell, stop)

    def flipping(self, undo: bool) -> Work:
        """Work that takes the last prompt back, or brings it again, and tells all masks as they are then."""
        opened = self.opened

        def work(tell: Any, stop: Any) -> None:
            (opened.source.undo if undo else opened.source.redo)()
            tell("flipped", undo)
            tell("all", remote.all_masks(opened))

        return work

    def take(self, kind: str, value: Any) -> None:
        """Bring something that work told into the scene; `flush` shows it."""
        if kind == "object":
            scene.set_tag(self.segmentation, self._asked, TAG, f"{self._here}:{value}")
        elif kind == "masks":
            for object_id, mask in value.masks.items():
                self._write(object_id, value.frame, mask)
        elif kind == "all":
            self._write_all(value)
        elif kind == "sent" and self._sending:
            self._sent.append(self._sending.pop(0))
            self._undone.clear()
            self._note(self._sent[-1], scene.SENT)
        elif kind == "flipped":
            taken, given = (self._sent, self._undone) if value else (self._undone, self._sent)
            if taken:
                given.append(taken.pop())
                self._note(given[-1], scene.TAKEN_BACK if value else scene.SENT)

    def adopt(self, objects: Iterable[Any], masks: list[Any]) -> None:
        """Show what the server has of this volume from earlier, in segments that are made where they are missing."""
        known = self._segments()
        for one in objects:
            if one.id not in known:
                made = scene.add_segment(self.segmentation, one.name, one.colour)
                scene.set_tag(self.segmentation, made, TAG, f"{self._here}:{one.id}")
        self._write_all(masks)
        self.flush()

    def flush(self) -> None:
        """Write what came into the segments; copies are let go, so that what is painted by hand is seen next time."""
        for segment, values in self._arrays.items():
            if segment in scene.segment_ids(self.segmentation):
                scene.set_segment_voxels(self.segmentation, segment, self.volume, values)
        self._arrays.clear()

    def _local(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        return scene.moved(scene.world_to_volume(self.volume), world)

    def _prompts(self, segment: str, said: list[tuple[int, Any]], marks: list[tuple[Any, int]]) -> Work:
        name, colour = scene.name_and_colour(self.segmentation, segment)
        known = {one: number for number, one in self._segments().items()}
        asked, opened = Prompts(known.get(segment), name, colour, said), self.opened
        self._asked, self._sending = segment, marks
        return lambda tell, stop: remote.prompt(opened, asked, tell)

    def _segments(self) -> dict[int, str]:
        """The segment of each object of this volume at this server."""
        found = {}
        for segment in scene.segment_ids(self.segmentation):
            here, _, number = scene.tag(self.segmentation, segment, TAG).rpartition(":")
            if here == self._here:
                found[int(number)] = segment
        return found

    def _write(self, object_id: int, frame: int, mask: NDArray[np.bool_]) -> None:
        segment = self._segments().get(object_id)
        if segment is None:  # somebody deleted it here
            return
        if segment not in self._arrays:
            self._arrays[segment] = scene.segment_voxels(self.segmentation, segment, self.volume)
        self.opened.grid.view(self._arrays[segment])[frame] = mask
        self._versions[object_id, frame] = mask_version(mask)

    def _write_all(self, masks: Iterable[Any]) -> None:
        """Only what differs from what came last is written, so that slices painted by hand stay."""
        found = {(name, one.frame): mask for one in masks for name, mask in one.masks.items()}
        _, rows, columns = self.opened.grid.lengths
        for place in sorted({*found, *self._versions}):
            mask = found.get(place, np.zeros((rows, columns), np.bool_))
            if mask_version(mask) != self._versions.get(place, ""):
                self._write(*place, mask)

    def _note(self, mark: tuple[Any, int], note: str) -> None:
        markups, number = mark
        if markups is not None and number < markups.GetNumberOfControlPoints():
            scene.note_point(markups, number, note)
