"""Who carries masks through a video: our own session, optical flow, or anybody's tracker.

A protocol prompts each object with a network (clicks need answers to be refined), and a tracker takes it from there.
Ours goes on from the prompts themselves; others are given the mask that the prompts gave, as "SAM2+Cutie" is in
SAM2S's tables. A tracker of your own, such as Cutie or XMem, is a class like `DisFlow` in a module that Python can
import, made without arguments: name it `module:Class`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.bench.baselines import FlowCarrier
from trocar.frames import Frame, FrameSource, geometry_of
from trocar.load import load_memory
from trocar.masks import FrameMasks
from trocar.model.network import Network
from trocar.prompts import Prompt
from trocar.track.entries import StepSettings
from trocar.track.session import Session, SessionOptions

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Begun:
    """An object where it is prompted.

    Args:
        frame: on which frame of the source.
        prompts: one after the other, each given after the answer to the one before.
        mask: (rows, columns) bool: what the prompts gave.
    """

    frame: int
    prompts: Sequence[Prompt]
    mask: Mask


class Tracker(Protocol):
    """Carries objects forward through a video."""

    name: str

    def track(self, source: FrameSource, objects: Mapping[int, Begun]) -> Iterator[FrameMasks]:
        """The masks of every frame from the first prompted one to the end, in order.

        Each object (id -> how it begins) has a mask on every frame from its own prompted one on, there too, and an
        empty one where it is not seen. Masks may overlap.
        """


@dataclass(frozen=True)
class TrackerOptions:
    """How our own tracker works.

    Args:
        memory: as for `load_memory`.
        image_size: side of the network's input in pixels; None for its own.
        non_overlap: every pixel belongs to one object at most, in the masks and in the memory.
        seed: of the policy's random streams.
    """

    memory: str = "recent"
    image_size: int | None = None
    non_overlap: bool = False
    seed: int = 0


class OwnTracker:
    """A network with a memory policy."""

    name = "trocar"

    def __init__(self, network: Network, options: TrackerOptions | None = None) -> None:
        self.network, self._options = network, options or TrackerOptions()

    def session(self, source: FrameSource) -> Session:
        """A session as this tracker runs it."""
        step = StepSettings(non_overlap=self._options.non_overlap, seed=self._options.seed)
        memory = load_memory(self._options.memory)
        return Session(self.network, source, memory, SessionOptions(step, self._options.image_size))

    def track(self, source: FrameSource, objects: Mapping[int, Begun]) -> Iterator[FrameMasks]:
        session = self.session(source)
        try:
            for number, begun in objects.items():
                for prompt in begun.prompts:
                    session.add(prompt, frame=begun.frame, object_id=number)
            yield from session.propagate()
        finally:
            session.close()


class DisFlow:
    """The first mask carried from frame to frame by DIS optical flow, see `trocar.bench.baselines`."""

    name = "dis-flow"

    def track(self, source: FrameSource, objects: Mapping[int, Begun]) -> Iterator[FrameMasks]:
        carriers: dict[int, FlowCarrier] = {}  # by the frame on which their objects begin
        members: dict[int, list[int]] = {}
        for number, begun in objects.items():
            members.setdefault(begun.frame, []).append(number)
        for frame in range(min(members), len(source)):
            image = source[frame].image
            masks: dict[int, Mask] = {}
            for start, carrier in carriers.items():
                masks |= dict(zip(members[start], carrier.carry(image), strict=True))
            if frame in members:
                first = np.stack([objects[number].mask for number in members[frame]])
                carriers[frame] = FlowCarrier(image, first)
                masks |= dict(zip(members[frame], first, strict=True))
            yield FrameMasks(frame, masks)


def load_tracker(name: str, own: OwnTracker) -> Tracker:
    """A tracker by name: "trocar", "dis-flow", or `module:Class` for one of yours.

    Raises:
        ValueError: there is none of that name.
    """
    if name == own.name:
        return own
    if name == DisFlow.name:
        return DisFlow()
    module, _, attribute = name.partition(":")
    try:
        made: Tracker = getattr(import_module(module), attribute)()
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"there is no tracker {name!r} ({error}): choose trocar, dis-flow, or module:Class for your own"
        ) from error
    return made


class AnnotatedFrames:
    """Some frames of a source as a source of its own, which notes how long they take to decode.

    Args:
        source: gives the frames.
        frames: which of them, ascending; frame i of this source is frames[i] of the other.
    """

    def __init__(self, source: FrameSource, frames: Sequence[int]) -> None:
        self.name, self.geometry = source.name, source.geometry
        self.rate_hz: float | None = None  # annotated frames need not be evenly spaced
        self.seconds = 0.0
        self.frames = tuple(frames)
        self._source = source
        if hasattr(source, "geometries"):
            self.geometries = [geometry_of(source, frame) for frame in frames]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {len(self) - 1}")
        start = time.perf_counter()
        frame = self._source[self.frames[index]]
        self.seconds += time.perf_counter() - start
        return Frame(index, frame.image, frame.time_s, frame.name)


@dataclass
class Stopwatch:
    """Seconds that add up."""

    seconds: float = 0.0


@contextmanager
def network_clock(network: Network) -> Iterator[Stopwatch]:
    """Note the time that a network's four verbs take, with its device waited for before and after."""
    watch = Stopwatch()
    verbs = ("encode_image", "attend", "decode", "encode_memory")

    def timed(verb: str) -> Any:
        run = getattr(network, verb)

        def call(*given: Any, **named: Any) -> Any:
            start = clock(network)
            answer = run(*given, **named)
            watch.seconds += clock(network) - start
            return answer

        return call

    for verb in verbs:
        object.__setattr__(network, verb, timed(verb))
    try:
        yield watch
    finally:
        for verb in verbs:
            object.__delattr__(network, verb)


def clock(network: Network) -> float:
    """The time in seconds, after the network's device has done what it was given."""
    if network.absent_pointer.is_cuda:
        torch.cuda.synchronize(network.absent_pointer.device)
    return time.perf_counter()
