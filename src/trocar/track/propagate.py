"""The product: `step`, all objects on one frame, and `propagate`, the loop around it.

    memory.read -> network.attend -> network.decode -> memory.choose -> overlap -> network.encode_memory -> memory.write

Where `StepSettings.economy` allows it an object is not looked for on some frames (`carry.py`).

`step` works on tensors and is differentiable; training calls it with its own order of visits. Everybody else calls
`propagate`. Nothing here detaches or enters inference mode; `Session` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trocar.memory.seam import FrameView, MemoryEntry, ReadPlan, Record
from trocar.model.network import Network
from trocar.model.tensors import Decoded, ImageFeatures
from trocar.track.carry import carried, note_latest, view_of
from trocar.track.entries import StepSettings, choose_rows, chosen_logits, encode_rows, make_entries
from trocar.track.order import Pass
from trocar.track.rows import Row, Task, attend_rows, decode_rows
from trocar.track.track import Track


@dataclass(frozen=True, eq=False)
class Outcome:
    """One object on one frame.

    Args:
        object_id: whose.
        records: what is remembered of it, one a surviving hypothesis, best first.
        decoded: the best one's candidates, if it was decoded now rather than answered by an earlier prompt.
    """

    object_id: int
    records: list[Record]
    decoded: Decoded | None = None

    @property
    def entry(self) -> MemoryEntry:
        """The best hypothesis' entry, mask logits included."""
        return self.records[0].entry


def step(network: Network, features: ImageFeatures, tasks: Sequence[Task], settings: StepSettings) -> list[Outcome]:
    """Take the object of each task one frame on.

    Tracked entries go to the track's memory; the answer to a prompt is stored in `track.prompted` and reaches the
    memory when its driver says so (`Track.tell`).
    """
    rows = [Row(task, plan) for task in tasks for plan in read_plans(task, features, settings.seed)]
    fused, classes = attend_rows(network, features, rows, settings.economy)
    decoded = decode_rows(network, features, fused, rows, settings.stability_fallback)
    survivors = choose_rows(rows, fused, decoded, classes)
    logits = chosen_logits(survivors)
    spatial = encode_rows(network, features, survivors, logits, settings)
    entries = make_entries(network, features, survivors, logits, spatial, settings.entry_dtype)
    outcomes = []
    for task in tasks:
        own = [(one, entry) for one, entry in zip(survivors, entries, strict=True) if one.task is task]
        if task.prompt is None:
            records = [Record(entry, one.choice, one.candidates) for one, entry in own]
            task.track.remember(task.visit, records)
        else:
            records = [Record(own[0][1])]
            task.track.prompted[task.visit.frame] = own[0][1]
        outcomes.append(Outcome(task.track.object_id, records, own[0][0].decoded))
    return outcomes


def read_plans(task: Task, features: ImageFeatures, seed: int) -> list[ReadPlan]:
    """What the task's policy wants to read: a plan for each of its hypotheses, one where there is a prompt."""
    if not task.use_memory:
        return [ReadPlan()]
    visit, track = task.visit, task.track
    rng = np.random.default_rng((seed, track.object_id, visit.direction + 1, visit.frame))
    plans = track.policy.read(visit, FrameView(features.stride16[task.image], track.entries, rng))
    return plans if task.prompt is None else plans[:1]


def propagate(
    network: Network,
    features: Callable[[int], ImageFeatures],
    tracks: Mapping[int, Track],
    stretch: Pass,
    settings: StepSettings,
) -> Iterator[tuple[int, list[Outcome]]]:
    """Visit the frames of a pass and yield (frame, outcomes by object id).

    Prompted frames keep the answer to their prompt. Objects may come to and go from `tracks` between frames.
    """
    look = view_of(features) if settings.economy.spares_frames else None
    for visit in stretch.visits():
        active = [tracks[name] for name in sorted(tracks)]
        active = [track for track in active if stretch.takes_part(visit.frame, list(track.prompted))]
        found: list[Outcome] = []  # looked for here, or prompted
        spared: list[Outcome] = []
        for track in active:
            if visit.frame in track.prompted:
                track.tell(visit, track.prompted[visit.frame])
                found.append(Outcome(track.object_id, [Record(track.prompted[visit.frame])]))
            elif look and (records := carried(track, visit, look, settings.economy)):
                spared.append(Outcome(track.object_id, records))
        standing = {outcome.object_id: outcome.entry.logits for outcome in (*found, *spared)}
        left = [track for track in active if track.object_id not in standing]
        if left:
            tasks = [Task(track, visit, standing=tuple(standing.items())) for track in left]
            found += step(network, features(visit.frame), tasks, settings)
        if look:
            for outcome in found:
                note_latest(tracks[outcome.object_id], visit, [record.entry for record in outcome.records])
        yield visit.frame, sorted((*found, *spared), key=lambda outcome: outcome.object_id)
