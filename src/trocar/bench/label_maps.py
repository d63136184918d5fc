"""What protocols of class maps have in common: EndoVis' instrument types, found frame by frame.

A map of class numbers comes from a folder of predictions, or from a network that is told where each class of the frame
is, and that means which classes there are: an oracle, as in SurgicalSAM's rows "GT Centroid" and "GT Bbox". The
prompted masks are merged as SurgicalSAM merges its own (the highest predicted quality on top).

Left open by the papers: the centroid is the mean of a class's pixels, whether or not it is on one of them; a class in
several pieces has one prompt; pixels without a truth are background in both maps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trocar.bench.masklets import truth_of
from trocar.bench.pictures import Shown, draw_shown
from trocar.bench.protocol import Scored, Source, parse_sources
from trocar.bench.results import Cell, Row
from trocar.bench.trackers import AnnotatedFrames
from trocar.datasets import Case, FrameTruth
from trocar.formats.images import natural_key
from trocar.formats.label_png import read_png
from trocar.load import load_dataset
from trocar.masks import FrameMasks, to_label_map
from trocar.memory import NoMemory
from trocar.metrics.endovis import (
    ClassCounts,
    challenge_iou,
    class_ious,
    count,
    iou,
    mean_class_iou,
    merge_classes,
)
from trocar.metrics.score import Average
from trocar.model.network import Network
from trocar.prompts import Box, Point, tight_box
from trocar.track.session import Session, SessionOptions

Labels = NDArray[np.integer]
Oracle = Literal["oracle box", "oracle centroid"]

PIXELS = ("shared_px", "pred_px", "gt_px")
"""Metrics of the rows from which every figure is worked out: pixels of a class on a frame."""
OVER_CLASSES = ("mcIoU", "mcIoU MATIS", "MeanIoU")


@dataclass(frozen=True)
class LabelMaps:
    """Settings of such a protocol.

    Args:
        prompts: what the network is told of each class, a row of the table each.
        predictions: a folder to score instead: DATASET/CASE/*.png, a map for each annotated frame in the natural order
            of their names, with classes as the data set numbers them.
        image_size: side of the network's input in pixels; None for its own.
        subsets: the table's columns, SUBSET=DATASET/SPLIT each.
    """

    prompts: tuple[Oracle, ...] = ("oracle box", "oracle centroid")
    predictions: str = ""
    image_size: int | None = None
    subsets: tuple[str, ...] = ()

    def sources(self) -> Sequence[Source]:
        """The subsets.

        Raises:
            ValueError: the ids of a data set are not classes.
        """
        found = parse_sources(self.subsets)
        for source in found:
            if load_dataset(source.dataset).ids != "classes":
                raise ValueError(f"{source.dataset} has other ids than classes: this protocol scores maps of classes")
        return found

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Make or read the maps of a case, and count."""
        rows: list[Row] = []
        picture: NDArray[np.uint8] | None = None
        view = AnnotatedFrames(case.open(), case.annotated_frames)
        names = class_names(source.dataset)
        for setting in ("predictions",) if self.predictions else self.prompts:
            if self.predictions:
                maps = read_maps(Path(self.predictions) / source.dataset / case.name, len(view))
            else:
                maps = self._prompted(network, view, case, setting)
            counted: list[ClassCounts] = []
            worst, shown = math.inf, None
            for place, found in enumerate(maps):
                truth = truth_map(truth_of(case, view.frames[place]), found.shape)
                counted.append(count([np.where(truth < 0, 0, found)], [np.maximum(truth, 0)], len(names)))
                if (value := challenge_iou(counted[-1]).value) < worst:
                    worst, shown = value, Shown(place, found > 0, truth > 0)
            counts = joined_counts(counted)
            rows += self.rows(counts, case, source, setting)
            if picture is None and shown is not None:
                picture = draw_shown(view[shown.frame].image, shown)
        quality = next((row.value for row in rows if row.metric in ("ChallengeIoU", "MeanIoU")), math.nan)
        return Scored(rows, quality, picture)

    def _prompted(self, network: Network, view: AnnotatedFrames, case: Case, kind: str) -> Iterator[Labels]:
        session = Session(network, view, NoMemory(), SessionOptions(image_size=self.image_size))
        for place, frame in enumerate(view.frames):
            true = {number: mask for number, mask in sorted(truth_of(case, frame).masks.items()) if mask.any()}
            answers = []
            for number, mask in true.items():
                prompt: Box | Point = tight_box(mask) if kind == "oracle box" else centroid(mask)
                answers.append(session.add(prompt, frame=place, object_id=number))
                session.remove(number)
            if not true:
                yield np.zeros(view[place].image.shape[:2], np.uint8)
                continue
            masks = [answer.masks[number] for answer, number in zip(answers, true, strict=True)]
            qualities = [answer.scores[number] for answer, number in zip(answers, true, strict=True)]
            yield merge_classes(masks, list(true), qualities)
        session.close()

    def rows(self, counts: ClassCounts, case: Case, source: Source, setting: str) -> list[Row]:
        """The figures of one case, and the pixels of every frame that has any."""
        names = class_names(source.dataset)
        where = (source.dataset, source.subset, case.name)
        found = [
            Row(*where, "", "", setting, metric, figure.value) for metric, figure in self.figures(counts, names).items()
        ]
        table = np.stack([counts.shared, counts.in_pred, counts.in_gt])
        for frame, one in zip(*np.nonzero(table.sum(0)), strict=True):
            place = (*where, f"{case.annotated_frames[frame]:05d}", names[one], setting)
            found += [Row(*place, metric, float(table[part, frame, one])) for part, metric in enumerate(PIXELS)]
        return found

    def figures(self, counts: ClassCounts, names: Sequence[str]) -> dict[str, Average]:
        """Every figure of some frames."""
        per_class = {f"IoU_{initials(name)}": one for name, one in zip(names, class_ious(counts), strict=True)}
        return {
            "ChallengeIoU": challenge_iou(counts),
            "IoU": iou(counts),
            "mcIoU": mean_class_iou(counts),
            "mcIoU MATIS": mean_class_iou(counts, "matis"),
            **per_class,
        }

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Each subset by itself: its frames as one."""
        cells = []
        for subset in dict.fromkeys(row.subset for row in rows):
            cells += self.subset_cells([row for row in rows if row.subset == subset], subset)
        return cells

    def subset_cells(self, rows: Sequence[Row], subset: str) -> list[Cell]:
        """The figures of rows as of one subset of this name."""
        cells = []
        for setting in dict.fromkeys(row.setting for row in rows):
            own = [row for row in rows if row.setting == setting]
            names = class_names(own[0].dataset)
            cases = len({row.case for row in own})
            for metric, one in self.figures(counts_of(own, names), names).items():
                level: Literal["frames", "classes"] = "classes" if metric in OVER_CLASSES else "frames"
                cells.append(
                    Cell(subset, setting, metric, one.value, one.counted, one.left_out, None, None, level, cases)
                )
        return cells


def class_names(dataset: str) -> list[str]:
    """The names of a data set's classes, class 1 first."""
    classes = load_dataset(dataset).classes
    return [classes.get(number, f"class {number}") for number in range(1, max(classes) + 1)]


def initials(name: str) -> str:
    """A class's name as tables print it: "bipolar forceps" is BF, EndoVis 2017's other instruments are UP."""
    return "UP" if name == "other" else "".join(word[0] for word in name.replace("-", " ").split()).upper()


def centroid(mask: NDArray[np.bool_]) -> Point:
    """The mean of a mask's pixels as a click."""
    rows, columns = np.nonzero(mask)
    return Point(float(columns.mean()), float(rows.mean()))


def truth_map(truth: FrameTruth, size: tuple[int, ...]) -> NDArray[np.int32]:
    """(rows, columns) class numbers, -1 where there is no truth."""
    labels = to_label_map(FrameMasks(0, truth.masks), (size[0], size[1])).astype(np.int32)
    return labels if truth.ignore is None else np.where(truth.ignore, -1, labels).astype(np.int32)


def read_maps(folder: Path, frames: int) -> Iterator[Labels]:
    """The class maps in a folder, one at a time.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it does not hold one for each of so many frames, or one cannot be read.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: predictions lie in DATASET/CASE/*.png")
    files = sorted(folder.glob("[!.]*.png"), key=lambda file: natural_key(file.name))
    if len(files) != frames:
        raise ValueError(f"{folder} holds {len(files)} maps, and {frames} frames are annotated: each needs one")
    return (read_png(file) for file in files)


def joined_counts(parts: Sequence[ClassCounts]) -> ClassCounts:
    """The frames of several counts, one after the other."""
    columns = zip(*((part.shared, part.in_pred, part.in_gt) for part in parts), strict=True)
    return ClassCounts(*map(np.concatenate, columns))


def counts_of(rows: Iterable[Row], names: Sequence[str]) -> ClassCounts:
    """The pixels in rows of a case or several; frames without any are left out, which no figure notices."""
    frames: dict[tuple[str, str], Mapping[str, NDArray[np.int64]]] = {}
    place = {name: index for index, name in enumerate(names)}
    for row in rows:
        if row.metric in PIXELS:
            empty = {metric: np.zeros(len(names), np.int64) for metric in PIXELS}
            frames.setdefault((row.case, row.object), empty)[row.metric][place[row.label]] = int(row.value)
    stacked = [[frame[metric] for frame in frames.values()] for metric in PIXELS]
    return ClassCounts(*(np.array(part, np.int64).reshape(-1, len(names)) for part in stacked))
