"""Volumes with a prompt on some slices (MedSAM-2, table 1): Dice of each organ at a prompt frequency, in repeats.

Mode "clean" is the paper's text. What it leaves open, and what is done here:

* Each slice is prompted with probability `frequency`, drawn from the case, the slice and the repeat's seed; the first
  slice that shows an organ always prompts it. A prompted slice prompts every organ that it shows, and says nothing of
  those that it does not.
* Prompts are true masks, tight boxes, or clicks on a true pixel by chance. What users did cannot be repeated.
* Tracking goes both ways from the first prompted slice, in the axial plane, or in three planes ("independent" or
  "joint", see `trocar.track.volume`; the paper's six directions).
* Dice is of the whole volume, found where the probability is above one half. Where an organ is neither there nor found
  it has no score, and is counted as left out. "Dice unprompted" is of the slices on which the organ was not prompted.
* A figure is the mean over cases and repeats, "sd" the standard deviation of the repeats' means. Both adrenal glands
  are one column, and so are organs of the same name in several sets. Which cases the paper tests on is not known: here
  it is all of them.
* Networks see their own size unless `image_size` says otherwise: the paper has 256, its code 1024.

Mode "released" is what the code does: every second slice is prompted with boxes, and a prompted slice says of absent
organs that they are not there (an empty mask); only the first quarter of the slices with an organ is visited, forward;
Dice is the mean over slices of `trocar.metrics.medsam2`, in which absence scores 1. Nothing is drawn, so repeats differ
by their policy's streams alone. The released 3-D code has SAM 2's memory ("recent") and not the paper's bank. Its
random clicks, which have no seed, and its augmentations are not repeated.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.bench.challenge import Labels, Mode, pasted, seed_of, sources_of, truth_labels, worst_picture
from trocar.bench.protocol import Scored, Source
from trocar.bench.results import Cell, Row, average_over_subsets, mean_cells
from trocar.bench.trackers import AnnotatedFrames, OwnTracker, TrackerOptions
from trocar.datasets import Case
from trocar.load import load_memory
from trocar.metrics import dice
from trocar.metrics.medsam2 import released_scores
from trocar.metrics.score import mean
from trocar.model.network import Network
from trocar.prompts import MaskPrompt, Prompt, tight_box, uniform_click
from trocar.track.entries import StepSettings
from trocar.track.features import Features, input_of
from trocar.track.order import Pass
from trocar.track.planes import all_planes
from trocar.track.propagate import propagate
from trocar.track.volume import VolumeOptions, VolumeRun

Mask = NDArray[np.bool_]

SHORT = {
    "right kidney": "R.Kid.",
    "left kidney": "L.Kid.",
    "gallbladder": "Gall.",
    "esophagus": "Eso.",
    "stomach": "Stom.",
    "inferior vena cava": "IVC",
    "portal vein and splenic vein": "Veins",
    "pancreas": "Panc.",
    "right adrenal gland": "AG",
    "left adrenal gland": "AG",
}
"""Organs by their columns in the paper's table."""


@dataclass(frozen=True)
class MedSam2:
    """Volumes with a prompt on some slices.

    Args:
        subsets: NAME=DATASET/SPLIT each.
        mode: clean or released, see above.
        prompt: what a prompted slice is given in mode clean.
        frequency: share of the slices that are prompted in mode clean.
        repeats: with prompts and random streams of their own.
        directions: "axial", or how the six directions share a memory.
        memory: as for `load_memory`.
        image_size: side of the network's input in pixels; None for its own.
        seed: of the first repeat.
    """

    title: ClassVar[str] = "Medical volumes with a prompt on some slices"
    published: ClassVar[tuple[tuple[str, str], ...]] = (("MedSAM-2", "1"),)

    subsets: tuple[str, ...] = ("BTCV=btcv/all",)
    mode: Mode = "clean"
    prompt: Literal["mask", "box", "click"] = "mask"
    frequency: float = 0.25
    repeats: int = 5
    directions: Literal["axial", "independent", "joint"] = "axial"
    memory: str = "self_sorting"
    image_size: int | None = None
    seed: int = 0

    def sources(self) -> Sequence[Source]:
        """The sets."""
        return sources_of(self.subsets, "volume")

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Track a volume as often as there are repeats."""
        truth = truth_labels(case)
        view = AnnotatedFrames(case.open(), case.annotated_frames)
        rows: list[Row] = []
        picture = None
        for repeat in range(self.repeats):
            if self.mode == "released":
                rows += self._released(network, case, source, truth, repeat)
                continue
            chosen = prompted_slices(truth, self.frequency, [self.seed + repeat, *seed_of(case.name)])
            found = self._tracked(network, case, truth, chosen, repeat)
            setting = f"{self.prompt} {self.frequency:g}"
            own = volume_rows(found, truth, chosen, case, source, setting)
            rows += [replace(row, object=f"{row.object}/{repeat}") for row in own]
            if picture is None:
                picture = worst_picture(view, pasted(found, truth.shape), truth)
        defined = [row.value for row in rows if row.metric == "Dice" and not math.isnan(row.value)]
        return Scored(rows, mean(defined), picture)

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Means over cases and repeats of each organ, of organs, and of each set, and how much repeats differ."""
        organs = [replace(row, subset=SHORT.get(row.label, row.label)) for row in rows]
        cells = with_average(mean_cells(organs, "cases"))
        if self.repeats > 1:
            cells += deviations(
                [
                    with_average(mean_cells((row for row in organs if row.object.endswith(f"/{repeat}")), "cases"))
                    for repeat in range(self.repeats)
                ]
            )
        return cells + mean_cells(rows, "cases")

    def _tracked(
        self, network: Network, case: Case, truth: Labels, chosen: dict[int, list[int]], repeat: int
    ) -> dict[int, Mask]:
        """Object -> (slices, rows, columns) bool."""
        planes = () if self.directions == "axial" else all_planes("axial")
        memory: Literal["independent", "joint"] = "joint" if self.directions == "joint" else "independent"
        step = StepSettings(seed=self.seed + repeat)
        options = VolumeOptions(others=planes, directions=memory, step=step, image_size=self.image_size)
        run = VolumeRun(network, case.open(), load_memory(self.memory), options)
        frames = case.annotated_frames
        for number, slices in chosen.items():
            for place in slices:
                chance = np.random.default_rng([self.seed + repeat, *seed_of(case.name, place, number)])
                run.add(self._prompt(truth[place] == number, chance), frame=frames[place], object_id=number)
        found = {number: np.zeros(truth.shape, np.bool_) for number in chosen}
        if chosen:
            run.track()
            places = {frame: place for place, frame in enumerate(frames)}
            for masks in run.masks():
                for number, mask in masks.masks.items() if masks.frame in places else ():
                    found[number][places[masks.frame]] = mask
        run.close()
        return found

    def _prompt(self, mask: Mask, chance: np.random.Generator) -> Prompt:
        if self.prompt == "mask":
            return MaskPrompt(mask)
        click = uniform_click(mask, None, chance) if self.prompt == "click" else None
        return click or tight_box(mask)

    def _released(self, network: Network, case: Case, source: Source, truth: Labels, repeat: int) -> list[Row]:
        """The rows of one repeat as the released code scores it."""
        shown = np.flatnonzero(truth.any((1, 2))).tolist()
        shown = shown[: max(1, len(shown) // 4)]
        truth = truth[shown]
        view = AnnotatedFrames(case.open(), [case.annotated_frames[place] for place in shown])
        where = (source.dataset, source.subset, case.name)
        return [
            Row(*where, f"{number}/{repeat}", case.objects[number], "box every 2nd", "Dice", mean(values))
            for number, values in self._forward(network, view, truth, repeat).items()
        ]

    def _forward(self, network: Network, view: AnnotatedFrames, truth: Labels, repeat: int) -> dict[int, list[float]]:
        """Object -> its Dice on each slice, prompted, tracked and scored as the code does."""
        numbers = np.unique(truth[truth > 0]).tolist()
        own = OwnTracker(network, TrackerOptions(self.memory, self.image_size, seed=self.seed + repeat))
        session = own.session(view)
        for place in range(0, len(view), 2):
            for number in numbers:
                mask = truth[place] == number
                prompt: Prompt = tight_box(mask) if mask.any() else MaskPrompt(mask)
                session.add(prompt, frame=place, object_id=number)
        stretch = Pass("forward", 0, len(view) - 1, len(view), view.geometry.size)
        for track in session.tracks.values():
            track.begin(load_memory(self.memory), stretch.visit(0))
        shown = input_of(network.config, self.image_size)
        features = Features(network, view, shown.side)
        dices: dict[int, list[float]] = {number: [] for number in numbers}
        with torch.inference_mode():
            for place, outcomes in propagate(network, features, session.tracks, stretch, session.options.step):
                for one in outcomes:
                    logits = shown.to_frame(one.entry.logits[None].float(), view.geometry.size)[0].cpu().numpy()
                    dices[one.object_id].append(released_scores(logits, truth[place] == one.object_id)[1])
        session.close()
        return dices


def prompted_slices(truth: Labels, frequency: float, seed: Sequence[int]) -> dict[int, list[int]]:
    """Object -> the slices on which it is prompted, ascending: the first that shows it, and others by chance.

    Args:
        truth: (slices, rows, columns) ids.
        frequency: probability of each slice.
        seed: every slice has its own stream, keyed by its number.
    """
    drawn = {place for place in range(len(truth)) if np.random.default_rng([*seed, place]).random() < frequency}
    chosen = {}
    for number in np.unique(truth[truth > 0]).tolist():
        shown = np.flatnonzero((truth == number).any((1, 2))).tolist()
        chosen[number] = sorted({shown[0], *(drawn & set(shown))})
    return chosen


def volume_rows(
    found: dict[int, Mask], truth: Labels, prompted: dict[int, list[int]], case: Case, source: Source, setting: str
) -> list[Row]:
    """Dice of each object over all slices, and over those on which it was not prompted."""
    rows = []
    for number, name in case.objects.items():
        true = truth == number
        mask = found.get(number, np.zeros_like(true))
        others = np.setdiff1d(np.arange(len(truth)), prompted.get(number, []))
        for metric, score in (("Dice", dice(mask, true)), ("Dice unprompted", dice(mask[others], true[others]))):
            where = (source.dataset, source.subset, case.name, str(number), name, setting)
            rows.append(Row(*where, metric, score.value, score.status))
    return rows


def with_average(cells: list[Cell]) -> list[Cell]:
    """The cells, and the plain mean over their subsets that have a figure."""
    there = [cell for cell in cells if not np.isnan(cell.value)]
    return [*cells, *average_over_subsets(there, list(dict.fromkeys(cell.subset for cell in there)))]


def deviations(repeats: Sequence[Sequence[Cell]]) -> list[Cell]:
    """The cells of each repeat -> the standard deviation of each figure over repeats."""
    found: dict[tuple[str, str, str], list[Cell]] = {}
    for cell in (cell for cells in repeats for cell in cells):
        found.setdefault((cell.subset, cell.setting, cell.metric), []).append(cell)
    return [
        replace(
            cells[0],
            metric=f"{cells[0].metric} sd",
            value=float(np.std([cell.value for cell in cells], ddof=1)) if len(cells) > 1 else math.nan,
            low=None,
            high=None,
        )
        for cells in found.values()
    ]


PROTOCOL = MedSam2
