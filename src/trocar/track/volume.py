"""A volume tracked in several planes, both ways in each, and brought together voxel by voxel (MedSAM-2, section 3.3).

    prompts -> both ways through the prompted plane -> its result prompts the other planes -> both ways through those
            -> per voxel: the mean of the planes' probabilities, or their majority

The paper's six directions are three planes, each run from front to back and from back to front. Here prompts may lie on
any slice, so that the two directions of a plane part at the prompted one: every voxel is visited once a plane.
"""

from __future__ import annotations

import copy
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource
from trocar.masks import FrameMasks
from trocar.masks.cleanup import VolumeCleanup
from trocar.memory.recent import Recent
from trocar.memory.seam import MemoryEntry, MemoryPolicy
from trocar.model.network import Network
from trocar.prompts import Box, Box3d, MaskPrompt, PlacedPrompt, Prompt, check_prompt, tight_box
from trocar.track.entries import StepSettings, suppress_overlap
from trocar.track.evidence import (
    AGGREGATES,
    Aggregate,
    Spoken,
    Verdict,
    VoxelStore,
    evidence_name,
    evidence_of,
    largest_slice,
)
from trocar.track.features import Features, input_of
from trocar.track.order import SIGNS, Direction, Pass
from trocar.track.planes import ShownPlane, TrueAspect, plane_map, shown_planes
from trocar.track.propagate import propagate
from trocar.track.session import Session, SessionOptions
from trocar.track.track import FramePrompt, Track, settled_frames

APART = 1000
"""Steps of time between two directions that share a memory: what one ended with is not recent for the next."""

STATE = "directions.pt"

Report = Callable[[str, int, int], object]


@dataclass(frozen=True)
class VolumeOptions:
    """How a volume is tracked.

    Args:
        plane: the one that the source shows and prompts belong to.
        others: further planes.
        directions: "independent" begins each direction with a fresh memory; "joint" keeps one memory an object over
            all of them (the paper's bank), in which time counts visits.
        aggregate: how planes are brought together, by "mean" probability or "majority" of their votes.
        carry: what of the prompted plane's result prompts the others, on the slice where its area is largest: its
            "mask", or the tight "box" around it.
        true_aspect: show slices in their true proportion, see `TrueAspect`, rather than stretched to a square.
        cleanup: of the masks in three dimensions, see `VolumeCleanup`.
        step: overlap, storage and randomness, see `StepSettings`.
        image_size: side of the network's square input in pixels; None for the network's own.
        folder: where probabilities and the memory after each direction are kept, so that an interrupted run can go
            on; None to keep probabilities in memory.

    Raises:
        ValueError: a choice that there is not.
    """

    plane: str = "axial"
    others: tuple[str, ...] = ()
    directions: Literal["independent", "joint"] = "independent"
    aggregate: Aggregate = "mean"
    carry: Literal["mask", "box"] = "mask"
    true_aspect: bool = False
    cleanup: VolumeCleanup = field(default_factory=VolumeCleanup)
    step: StepSettings = field(default_factory=StepSettings)
    image_size: int | None = None
    folder: Path | None = None

    def __post_init__(self) -> None:
        choices = {"directions": ("independent", "joint"), "aggregate": AGGREGATES, "carry": ("mask", "box")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        if len({self.plane, *self.others}) <= len(self.others):
            raise ValueError(f"planes are named once each, not {', '.join((self.plane, *self.others))}")


class VolumeRun:
    """Prompt objects of a volume in one plane, and track them through several.

    Args:
        network: see `trocar.load`.
        source: the volume's slices in the prompted plane, see `trocar.open_source`.
        memory: a policy, copied for each object; SAM 2's own where it is not given.
        options: see `VolumeOptions`.
    """

    def __init__(
        self,
        network: Network,
        source: FrameSource,
        memory: MemoryPolicy | None = None,
        options: VolumeOptions | None = None,
    ) -> None:
        self.source = source
        self.options = options or VolumeOptions()
        for plane in self.options.others:
            plane_map(self.options.plane, plane)
        if self.options.true_aspect:
            TrueAspect(source)  # refuses a source without spacing, before anything is done
        self._network = network.eval()
        self._memory = Recent() if memory is None else memory
        self._side = self.options.image_size or network.config.image_size
        self._input = input_of(network.config, self._side)
        self._device = next(network.parameters()).device
        self._prompts: list[PlacedPrompt] = []
        self._boxes: dict[int, Box3d] = {}
        self._tracks: dict[int, Track] = {}
        self._clock = 0
        self._visited = 0
        self._scores: dict[int, dict[int, float]] = {}  # of the prompted plane, by slice and object
        self._store = VoxelStore(None)

    def add(self, *prompts: Prompt, frame: int = 0, object_id: int = 1) -> None:
        """Prompt an object on a slice of the prompted plane.

        Raises:
            ValueError: a prompt does not fit the slice, there is no such slice, or the object's number is below 1.
        """
        if object_id < 1:
            raise ValueError(f"object ids are whole numbers from 1 on, not {object_id}")
        for prompt in prompts:
            check_prompt(prompt, self.source.geometry, frame, len(self.source))
            self._prompts.append(PlacedPrompt(prompt, frame, object_id))

    def add_box(self, box: Box3d, object_id: int = 1) -> None:
        """Prompt an object by a box in three dimensions: its outline prompts the slice in its middle, in every plane.

        Raises:
            ValueError: the box reaches beyond the volume.
        """
        check_prompt(box.outline, self.source.geometry, box.z1, len(self.source))
        self.add(box.outline, frame=box.middle, object_id=object_id)
        self._boxes[object_id] = box

    @property
    def objects(self) -> list[int]:
        return sorted({placed.object_id for placed in self._prompts})

    def __len__(self) -> int:
        """Slices of the prompted plane."""
        return len(self.source)

    def track(self, report: Report = lambda what, done, total: None, resume: bool = False) -> None:
        """Run all directions.

        Args:
            report: told ("tracking", slices visited, slices to visit).
            resume: go on after the last direction that an earlier run in the same folder finished.

        Raises:
            ValueError: nothing is prompted.
            OSError: the disk has no room for the probabilities.
        """
        if not self._prompts:
            raise ValueError("there is nothing to track: add a prompt first")
        folder = self.options.folder
        resume = resume and folder is not None and (folder / STATE).exists()
        self._store = VoxelStore(folder, keep=resume)
        with torch.inference_mode():
            done = self._taken_up() if resume else self._begun()
            for number, (plane, direction) in enumerate(product(self._planes, SIGNS)):
                if number < done:
                    continue
                if direction == "forward":
                    self._tracks = self._prompted(plane)
                if self._tracks:
                    self._run(plane, self._stretch(plane, direction), report)
                self._keep(number + 1)

    def masks(self, aggregate: Aggregate | None = None) -> Iterator[FrameMasks]:
        """The masks of all objects, slice by slice in the prompted plane; their scores are those of that plane.

        A mask that was given as a prompt stays as it was given, unless overlap is resolved.

        Args:
            aggregate: how planes are brought together, if not as the options say.
        """
        options = self.options
        spoken = [Spoken(plane.name, plane.change, plane.shape) for plane in self._planes]
        verdict = Verdict(self._store, spoken, self.objects, aggregate or options.aggregate, options.step.non_overlap)
        for at, found in verdict.slabs(options.cleanup, self.source.geometry.spacing_mm):
            for index in range(at.start, at.stop):
                masks = {name: mask[index - at.start] for name, mask in found.items()}
                if not options.step.non_overlap:
                    masks |= {name: mask for (name, frame), mask in self._given.items() if frame == index}
                prompted = frozenset(placed.object_id for placed in self._prompts if placed.frame == index)
                yield FrameMasks(index, masks, dict(self._scores.get(index, {})), prompted)

    def features(self, plane: str, shown: FrameSource) -> Features:
        """What encodes the slices of a plane; each is asked for once."""
        return Features(self._network, shown, self._side, views=self.options.step.economy.spares_frames)

    @property
    def disk_bytes(self) -> int:
        """Disk that the probabilities and memories take."""
        folder = self.options.folder
        return sum(path.stat().st_size for path in folder.glob("*")) if folder else 0

    def close(self) -> None:
        """Forget the probabilities; files stay."""
        self._store = VoxelStore(None)

    @cached_property
    def _planes(self) -> list[ShownPlane]:
        return shown_planes(self.source, self.options.plane, self.options.others, self.options.true_aspect)

    @cached_property
    def _given(self) -> dict[tuple[int, int], NDArray[np.bool_]]:
        """The masks that the user gave, by object and slice; clicks after a mask make it the network's again."""
        said: defaultdict[tuple[int, int], FramePrompt] = defaultdict(FramePrompt)
        for placed in self._prompts:
            key = placed.object_id, placed.frame
            said[key] = said[key].merged((placed.prompt,))
        return {key: prompt.mask for key, prompt in said.items() if prompt.mask is not None}

    def _begun(self) -> int:
        if self.options.folder is not None:
            (self.options.folder / STATE).unlink(missing_ok=True)
        self._tracks, self._scores, self._visited = {}, {}, 0
        self._clock = min(placed.frame for placed in self._prompts)  # so that time is the slice's number at first
        return 0

    def _prompted(self, plane: ShownPlane) -> dict[int, Track]:
        """The objects with the answers to their prompts in a plane; in joint mode with the memory they have so far."""
        session = Session(self._network, plane.shown, self._memory, SessionOptions(self.options.step, self._side))
        for placed in self._said(plane):
            session.add(plane.fitted(placed.prompt), frame=placed.frame, object_id=placed.object_id)
        session.close()
        if self.options.directions == "joint" and session.tracks:
            start = min(min(track.prompted) for track in session.tracks.values())
            for name, track in session.tracks.items():
                before = self._tracks.get(name) or Track(name, copy.deepcopy(self._memory))
                track.policy, track.entries, track.next_id = before.policy, before.entries, before.next_id
                for frame, entry in track.prompted.items():
                    time = self._clock + frame - start
                    track.prompted[frame] = replace(entry, id=track.new_id(), time=time)
        return session.tracks

    def _said(self, plane: ShownPlane) -> Iterator[PlacedPrompt]:
        """The prompts of a plane: the user's, or what the user's box or the prompted plane's result makes of them."""
        if plane.name == self.options.plane:
            yield from self._prompts
            return
        shape = (len(self.source), *self.source.geometry.size)
        for name in self.objects:
            if name in self._boxes:
                (low, high), (top, bottom), (left, right) = plane.change.ranges(self._boxes[name].spans, shape)
                yield PlacedPrompt(Box(left, top, right, bottom), int((low + high) / 2), name)
                continue
            said = self._store.array(evidence_name(self.options.plane, name), shape)
            frame = largest_slice(said, plane.change)
            mask = np.ascontiguousarray(plane.change.apply(said)[frame] > 0)
            self._store.let_go()
            if mask.any():
                prompt = MaskPrompt(mask) if self.options.carry == "mask" else tight_box(mask)
                yield PlacedPrompt(prompt, frame, name)

    def _stretch(self, plane: ShownPlane, direction: Direction) -> Pass:
        """A direction: forward from the first prompt on, or back from each object's first prompt."""
        firsts = [min(track.prompted) for track in self._tracks.values()]
        forward = direction == "forward"
        start, stop = (min(firsts), len(plane.shown) - 1) if forward else (max(firsts) - 1, 0)
        clock = self._clock if self.options.directions == "joint" else None
        size = plane.shown.geometry.size
        return Pass(direction, start, stop, len(plane.shown), size, unprompted_side=not forward, clock=clock)

    def _run(self, plane: ShownPlane, stretch: Pass, report: Report) -> None:
        """One direction."""
        if not len(stretch):
            return
        for track in self._tracks.values():
            self._begin(track, stretch)
        features = self.features(plane.name, plane.shown)
        waiting: deque[int] = deque()
        total = self._to_visit(plane, stretch)
        for frame, outcomes in propagate(self._network, features, self._tracks, stretch, self.options.step):
            waiting.append(frame)
            for outcome in outcomes:
                lineage = self._tracks[outcome.object_id].lineage
                lineage.note(frame, outcome.records, self._memory.spec.lag)
            for settled, entries in settled_frames(self._tracks, waiting, final=frame == stretch.stop):
                if entries:
                    self._say(plane, settled, entries)
            self._visited += 1
            report("tracking", self._visited, total)
            if self._visited % 16 == 0:
                self._store.let_go()
        self._clock += len(stretch) + APART

    def _begin(self, track: Track, stretch: Pass) -> None:
        visit = stretch.visit(stretch.start)
        if self.options.directions == "independent":
            track.begin(copy.deepcopy(self._memory), visit)
            return
        track.lineage.clear()
        for frame in sorted(track.prompted):
            track.tell(visit, track.prompted[frame])

    def _to_visit(self, plane: ShownPlane, stretch: Pass) -> int:
        """Slices to visit in all, as far as the prompts are known."""
        later = sum(len(other.shown) for other in self._planes[self._planes.index(plane) + 1 :])
        back = len(self._stretch(plane, "backward")) if stretch.sign > 0 else 0
        return self._visited + len(stretch) + back + later

    def _say(self, plane: ShownPlane, frame: int, entries: Mapping[int, MemoryEntry]) -> None:
        """Note the probabilities of a slice."""
        size = plane.shown.geometry.size
        large = torch.cat([self._input.to_frame(entry.finest[None].float(), size) for entry in entries.values()])
        rows, columns = plane.size
        large = large[:, :rows, :columns]
        if self.options.step.non_overlap:
            large = suppress_overlap(large)
        for (name, entry), said in zip(entries.items(), evidence_of(large), strict=True):
            prompt = self._tracks[name].prompts.get(frame)
            if prompt is not None and prompt.mask is not None and not self.options.step.non_overlap:
                said = np.where(prompt.mask[:rows, :columns], np.float16(0.5), np.float16(-0.5))
            self._store.array(evidence_name(plane.name, name), plane.shape)[frame] = said
            if plane.name == self.options.plane:
                self._scores.setdefault(frame, {})[name] = min(max(entry.iou, 0.0), 1.0) if entry.present else 0.0

    def _keep(self, done: int) -> None:
        """Note on disk that so many directions are done, with the memory after the last one."""
        if self.options.folder is None:
            return
        tracks = {
            name: {
                "memory": track.state(),
                "prompted": {frame: entry.id for frame, entry in track.prompted.items()},
                "next_id": track.next_id,
            }
            for name, track in self._tracks.items()
        }
        state = {"done": done, "clock": self._clock, "visited": self._visited, "scores": self._scores, "tracks": tracks}
        with whole_file(self.options.folder / STATE) as temporary:
            torch.save(state, temporary)

    def _taken_up(self) -> int:
        """How many directions an earlier run finished; its memory is restored."""
        assert self.options.folder is not None
        path = self.options.folder / STATE
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location=self._device)
        self._clock, self._visited, self._scores = state["clock"], state["visited"], state["scores"]
        self._tracks = {}
        for name, kept in state["tracks"].items():
            track = Track(name, self._memory)
            track.restore(copy.deepcopy(self._memory), kept["memory"])
            track.prompted = {frame: track.entries[entry] for frame, entry in kept["prompted"].items()}
            track.next_id = kept["next_id"]
            self._tracks[name] = track
        return int(state["done"])
