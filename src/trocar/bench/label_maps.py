"""What protocols of class maps have in common: EndoVis' instrument types, found frame by frame.

A map of class numbers comes from a folder of predictions, or from a method of `class_methods.py`: oracles, a detector's
boxes, tracked points, PerSAM, or class models. Masks are merged as SurgicalSAM merges its own (the highest predicted
quality on top). A class model has a row of the table for each of its files, such as one a seed, and then one for their
mean and one for their standard deviation.

Left open by the papers: pixels without a truth are background in both maps.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trocar.bench.class_methods import Asked, MethodName, class_maps
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
from trocar.metrics.endovis import (
    ClassCounts,
    challenge_iou,
    class_ious,
    count,
    iou,
    mean_class_iou,
)
from trocar.metrics.score import Average
from trocar.model.network import Network

Labels = NDArray[np.integer]

PIXELS = ("shared_px", "pred_px", "gt_px")
"""Metrics of the rows from which every figure is worked out: pixels of a class on a frame."""
OVER_CLASSES = ("mcIoU", "mcIoU MATIS", "MeanIoU")


@dataclass(frozen=True)
class LabelMaps:
    """Settings of such a protocol.

    Args:
        prompts: methods of `class_methods.py`, a row of the table each.
        predictions: a folder to score instead: DATASET/CASE/*.png, a map for each annotated frame in the natural order
            of their names, with classes as the data set numbers them.
        image_size: side of the network's input in pixels; None for its own.
        subsets: the table's columns, SUBSET=DATASET/SPLIT each.
        class_models: files of class models, {split} standing for the split that is scored.
        detections: folder of a detector's boxes, DATASET/CASE.json each (COCO).
        detector_score: boxes of a lower score are left out.
        memory: the policy that tracks points.
        references: where PerSAM gets a reference of each class, DATASET/SPLIT under the folder that TROCAR_DATA names,
            {split} standing for the split that is scored.
    """

    prompts: tuple[MethodName, ...] = ("oracle box", "oracle centroid")
    predictions: str = ""
    image_size: int | None = None
    subsets: tuple[str, ...] = ()
    class_models: tuple[str, ...] = ()
    detections: str = ""
    detector_score: float = 0.5
    memory: str = "recent"
    references: str = ""

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
        for setting, maps in self._settings(network, view, case, source):
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

    def _settings(
        self, network: Network, view: AnnotatedFrames, case: Case, source: Source
    ) -> Iterator[tuple[str, Iterable[Labels]]]:
        """The table's rows and the maps of each."""
        if self.predictions:
            yield "predictions", read_maps(Path(self.predictions) / source.dataset / case.name, len(view))
            return

        def truths(place: int) -> dict[int, NDArray[np.bool_]]:
            found = truth_of(case, view.frames[place]).masks
            return {number: mask for number, mask in sorted(found.items()) if mask.any()}

        asked = Asked(
            network,
            source.dataset,
            class_names(source.dataset),
            case.name,
            self.image_size,
            self.detections,
            self.detector_score,
            self.memory,
            self.references.format(split=source.split),
        )
        for name in self.prompts:
            if not name.startswith("class model"):
                yield name, class_maps(name, asked, view, truths)
                continue
            if not self.class_models:
                raise ValueError(f"the method {name!r} needs class models: name their files with class_models = ...")
            for number, pattern in enumerate(self.class_models, start=1):
                own = replace(asked, class_model=pattern.format(split=source.split))
                which = f"{name} {number}" if len(self.class_models) > 1 else name
                yield which, class_maps(name, own, view, truths)

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
        return cells + self.over_models(cells)

    def over_models(self, cells: Sequence[Cell]) -> list[Cell]:
        """Mean and standard deviation over the files of a class model, where there are several."""
        count = len(self.class_models)
        found: list[Cell] = []
        for first in cells if count > 1 else ():
            name = first.setting.removesuffix(" 1")
            if name == first.setting or not name.startswith("class model"):
                continue
            settings = {f"{name} {number}" for number in range(1, count + 1)}
            where = (first.subset, first.metric)
            values = [one.value for one in cells if one.setting in settings and (one.subset, one.metric) == where]
            for what, value in (("mean", np.mean(values)), ("sd", np.std(values, ddof=1))):
                found.append(replace(first, setting=f"{name}, {what} of {count}", value=float(value)))
        return found

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
