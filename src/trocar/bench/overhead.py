"""What a memory policy costs: milliseconds a frame, measured in one run beside `recent`.

All policies track the same object through the same frames. Each frame is decoded and encoded once, then every policy
takes its step on it, in an order that turns from frame to frame. So whatever slows the machine for a while slows all of
them, and figures that compare a policy with `recent` are taken frame by frame before they are summed up.

A step has two parts: the policy's own work (its read, choose and write) and the network's (attention, decoder, memory
encoder), which grows with what is read and with the number of hypotheses.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.bench.looped import LoopedSource
from trocar.bench.watched import WatchedPolicy
from trocar.frames import FrameSource
from trocar.machine import machine_record
from trocar.memory import POLICIES, MemoryPolicy, Recent
from trocar.model.network import Network
from trocar.prompts import Box
from trocar.track.features import Features
from trocar.track.order import Pass
from trocar.track.propagate import Outcome, propagate
from trocar.track.session import Session, SessionOptions

REFERENCE = "recent"
MIDDLE = (0.3, 0.7)  # of rows and columns: the box that is prompted; what is in it does not matter here


@dataclass(frozen=True)
class OverheadOptions:
    """What is measured.

    Args:
        policies: by the name they have in the report; None for all of the table with their defaults. Under the name
            `recent` stands in any case the reference, with its defaults.
        frames: how many frames count.
        warm_up: how many go before them; from the 17th on windows and pointers are full.
        session: input size, storage and seed. Masks are not resized and no snapshots are written: that is no policy's.
    """

    policies: Mapping[str, MemoryPolicy] | None = None
    frames: int = 100
    warm_up: int = 20
    session: SessionOptions = field(default_factory=SessionOptions)


@dataclass(eq=False)
class Runner:
    """One policy on its way through the frames, and its figures of each frame that counts, in seconds."""

    policy: WatchedPolicy
    outcomes: Iterator[tuple[int, list[Outcome]]]
    step: list[float] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    read: list[tuple[int, int, int]] = field(default_factory=list)  # hypotheses, spatial items and pointers of one

    def advance(self, now: Callable[[], float], counts: bool) -> None:
        before, start = self.policy.seconds, now()
        next(self.outcomes)
        taken, plans = now() - start, self.policy.plans
        if counts:
            self.step.append(taken)
            self.own.append(self.policy.seconds - before)
            self.read.append((len(plans), len(plans[0].spatial), len(plans[0].pointers)))


def measure_overhead(
    network: Network,
    source: FrameSource,
    options: OverheadOptions | None = None,
    report: Callable[[int], object] = lambda done: None,
) -> dict[str, Any]:
    """Track one object with every policy at once through the looped source, and compare what each costs.

    Returns:
        A report that JSON takes. `encode_ms` is resizing and the image encoder, once a frame. For every policy:
        `step_ms`, of it `policy_ms` its own work and `network_ms` the rest; `step_over_recent_ms` and
        `frame_over_recent`, a whole frame (encode and step) as a multiple of the same frame with `recent`: 1.05 is 5 %
        on top. Each is a median with its quartiles. `hypotheses`, `spatial` and `pointers` are medians of what one
        frame reads, the latter two of its first hypothesis: a policy whose memory has not filled up is cheaper.

    Raises:
        ValueError: fewer than one frame is to count, or the warm-up is negative.
    """
    options = options or OverheadOptions()
    if options.frames < 1 or options.warm_up < 0:
        raise ValueError("overhead needs frames >= 1 and warm_up >= 0")
    total = 1 + options.warm_up + options.frames  # the first is the prompt's, on which no policy takes a step
    looped = LoopedSource(source, total)
    policies = dict(options.policies or {name: policy() for name, policy in POLICIES.items()})
    policies.pop(REFERENCE, None)
    now = _clock(next(network.parameters()).device)
    encode: list[float] = []
    with torch.inference_mode():
        features = Features(network, looped, options.session.image_size or network.config.image_size, keep=1)
        runners = {
            name: _runner(network, looped, policy, features, options, now)
            for name, policy in {REFERENCE: Recent(), **policies}.items()
        }
        for frame in range(total):
            decoding, start = looped.seconds, now()
            features(frame)
            taken = now() - start - (looped.seconds - decoding)
            counts = frame > options.warm_up
            if counts:
                encode.append(taken)
            for name in _turned(list(runners), frame):
                runners[name].advance(now, counts)
            report(frame + 1)
    rows, columns = source.geometry.size
    return {
        "frames": options.frames,
        "warm_up": options.warm_up,
        "source": {"name": source.name, "frames": len(source), "size": [rows, columns]},
        "network": {"name": network.config.name, "input_px": options.session.image_size or network.config.image_size},
        "machine": machine_record(network),
        "encode_ms": _spread(np.array(encode) * 1000),
        "policies": {name: _figures(one, runners[REFERENCE], np.array(encode)) for name, one in runners.items()},
    }


def _runner(
    network: Network,
    source: FrameSource,
    policy: MemoryPolicy,
    features: Features,
    options: OverheadOptions,
    now: Callable[[], float],
) -> Runner:
    """A policy with one prompted object, before the first frame."""
    rows, columns = source.geometry.size
    low, high = MIDDLE
    session = Session(network, source, policy, options.session)
    session.add(Box(columns * low, rows * low, columns * high, rows * high))
    session.close()
    track, stretch = session.tracks[1], Pass("forward", 0, len(source) - 1, None, source.geometry.size)
    timed = WatchedPolicy(copy.deepcopy(policy), now)
    track.begin(timed, stretch.visit(0))
    return Runner(timed, propagate(network, features, {1: track}, stretch, options.session.step))


def _clock(device: torch.device) -> Callable[[], float]:
    """Seconds, after all that the device still had to do."""
    if device.type != "cuda":
        return time.perf_counter

    def now() -> float:
        torch.cuda.synchronize(device)
        return time.perf_counter()

    return now


def _turned(names: list[str], frame: int) -> list[str]:
    """Each frame another policy goes first: the first one finds the caches as the encoder has left them."""
    first = frame % len(names)
    return names[first:] + names[:first]


def _figures(one: Runner, reference: Runner, encode: NDArray[np.float64]) -> dict[str, Any]:
    step, own, beside = (np.array(values) for values in (one.step, one.own, reference.step))
    hypotheses, spatial, pointers = (median(values) for values in zip(*one.read, strict=True))
    return {
        "hypotheses": hypotheses,
        "spatial": spatial,
        "pointers": pointers,
        "step_ms": _spread(step * 1000),
        "policy_ms": _spread(own * 1000),
        "network_ms": _spread((step - own) * 1000),
        "step_over_recent_ms": _spread((step - beside) * 1000),
        "frame_over_recent": _spread((encode + step) / (encode + beside)),
    }


def _spread(values: NDArray[np.float64]) -> dict[str, float]:
    low, middle, high = np.percentile(values, (25, 50, 75))
    return {"median": round(float(middle), 4), "q25": round(float(low), 4), "q75": round(float(high), 4)}
