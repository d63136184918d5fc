"""What protocols of videos have in common whose objects are prompted once, tracked forward, and scored by J&F.

A run's headline is "J&F": all frames after an object's prompted one, the ends of the video included. "J&F SA-V" is the
default of SA-V's evaluator: the first and the last frame of the video are left out and the prompted one counts.
A frame without the object scores 1 where nothing is found, so long absences lift both; "absent accuracy" says in how
many of them nothing was found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trocar.bench.masklets import EVERY_FRAME, PromptKind, Series, track_case
from trocar.bench.pictures import Shown, draw_shown
from trocar.bench.protocol import Scored, Source
from trocar.bench.results import Cell, Row, average_over_subsets, mean_cells
from trocar.bench.trackers import OwnTracker, TrackerOptions, load_tracker
from trocar.datasets import Case
from trocar.metrics import SA_V
from trocar.model.network import Network

AREA = "prompt_area_px"
"""A row's metric: true pixels of the object where it was prompted."""


@dataclass(frozen=True)
class PromptedOnce:
    """Settings of such a protocol.

    Args:
        prompts: kinds of prompt, a row of the table each: 1-click, 3-click, 5-click, box, mask.
        tracker: "trocar", "dis-flow", or `module:Class` for one of yours, see `trocar.bench.trackers`.
        memory: our tracker's memory policy, as for `load_memory`.
        image_size: side of the network's input in pixels; None for its own.
        min_area_px: an object is prompted where it first has this many true pixels.
        seed: of the policy's random streams.
    """

    prompts: tuple[PromptKind, ...] = ("box",)
    tracker: str = "trocar"
    memory: str = "recent"
    image_size: int | None = None
    min_area_px: int = 1
    seed: int = 0

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Prompt, track and score a case with every kind of prompt."""
        own = OwnTracker(network, TrackerOptions(self.memory, self.image_size, seed=self.seed))
        tracker = load_tracker(self.tracker, own)
        rows: list[Row] = []
        timings: dict[str, Any] = {}
        worst: Shown | None = None
        for kind in self.prompts:
            tracked = track_case(case, own, tracker, kind, self.min_area_px)
            rows += masklet_rows(tracked.series, len(case.annotated_frames), case, source, kind)
            timings[kind] = tracked.timing
            worst = worst or tracked.worst
        return scored(case, rows, worst, timings)

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Means over masklets; of several subsets their plain mean too."""
        cells = mean_cells(row for row in rows if row.metric != AREA)
        subsets = list(dict.fromkeys(row.subset for row in rows))
        return cells + (average_over_subsets(cells, subsets) if len(subsets) > 1 else [])


def masklet_rows(series: Mapping[int, Series], length: int, case: Case, source: Source, setting: str) -> list[Row]:
    """The scores of each object of a video, from its frames' scores.

    Args:
        series: object id -> its frames.
        length: frames that the video has.
        case, source, setting: where the rows stand.
    """
    rows = []
    for number, one in sorted(series.items()):
        values: dict[str, float] = {AREA: float(one.area)}
        for name, rules, skip in (("", EVERY_FRAME, True), (" SA-V", SA_V, False)):
            score = one.score(length, rules, skip)
            values[f"J&F{name}"] = math.nan if score is None else score.j_and_f
            values[f"J{name}"] = math.nan if score is None else score.j
            values[f"F{name}"] = math.nan if score is None else score.f
            if rules is EVERY_FRAME:
                values["absent accuracy"] = math.nan if score is None else score.absent_accuracy
        rows += object_rows(values, number, case, source, setting)
    return rows


def object_rows(values: Mapping[str, float], number: int, case: Case, source: Source, setting: str) -> list[Row]:
    """A row for each metric of one object."""
    where = (source.dataset, source.subset, case.name, str(number), case.objects[number], setting)
    return [Row(*where, metric, value) for metric, value in values.items()]


def scored(case: Case, rows: Sequence[Row], worst: Shown | None, timings: Mapping[str, Any]) -> Scored:
    """Rows of a case with what else is kept of it: its mean J&F, and a picture of the worst frame."""
    counted = [row.value for row in rows if row.metric == "J&F" and not math.isnan(row.value)]
    picture = None if worst is None else draw_shown(case.open()[worst.frame].image, worst)
    return Scored(rows, float(np.mean(counted)) if counted else math.nan, picture, timings)
