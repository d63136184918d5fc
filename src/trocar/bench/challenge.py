"""What the protocols of the SAM 2 medical benchmark (Ma et al. 2024) have in common.

Objects are prompted one by one, their masks are pasted into one map in the order of their ids, and the case is scored
as the CVPR 2024 challenge scores it. Mode "released" keeps to what the scripts do, "clean" to what they should:

* released: a number that the truth leaves out makes the case's means NaN; figures are rounded to four decimals; a
  volume's spacing is taken as it is stored, (x, y, z), for the axes (slices, rows, columns).
* clean: the numbers that the truth has; no rounding; the spacing in the order of the axes.

In both NSD stands behind the challenge's gate (0 where the case's mean DSC is not above 0.2), "NSD ungated" does not.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trocar.bench.masklets import truth_of
from trocar.bench.pictures import Shown, draw_shown
from trocar.bench.protocol import Source, parse_sources
from trocar.bench.results import Cell, Row, mean_cells
from trocar.datasets import Case
from trocar.datasets.challenge_cases import PromptedCase
from trocar.frames import FrameSource
from trocar.geometry import Geometry
from trocar.load import load_dataset
from trocar.masks import FrameMasks, to_label_map
from trocar.memory import NoMemory
from trocar.metrics.multiclass import CVPR24, CVPR25, CaseRules, CaseScore
from trocar.model.network import Network
from trocar.prompts import Box, Box3d
from trocar.track.features import Features, input_of
from trocar.track.session import Session, SessionOptions

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint16]
Mode = Literal["released", "clean"]

PAPER = "SAM2-Med-Benchmark"
RULES: Mapping[Mode, CaseRules] = {"released": CVPR24, "clean": CVPR25}


def sources_of(texts: Sequence[str], kind: Literal["picture", "video", "volume"]) -> list[Source]:
    """The sources that settings name.

    Raises:
        ValueError: cases of a data set are of another kind, or its ids do not stay with their objects.
    """
    found = parse_sources(texts)
    for source in found:
        dataset = load_dataset(source.dataset)
        if dataset.frames != kind:
            raise ValueError(f"a case of {source.dataset} is a {dataset.frames}: this protocol scores {kind}s")
        if kind != "picture" and dataset.ids == "instances":
            raise ValueError(f"{source.dataset} numbers the objects of each frame anew: this protocol follows objects")
    return found


def truth_labels(case: Case) -> Labels:
    """(annotated frames, rows, columns) ids of the objects, 0 for the ground.

    Raises:
        ValueError: objects overlap, so that a map cannot hold them.
    """
    size = case.open().geometry.size
    labels = np.zeros((len(case.annotated_frames), *size), np.uint16)
    for place, frame in enumerate(case.annotated_frames):
        masks = truth_of(case, frame).masks
        labels[place] = to_label_map(FrameMasks(frame, masks), size)
        if sum(int(mask.sum()) for mask in masks.values()) != np.count_nonzero(labels[place]):
            raise ValueError(f"objects of {case.name} overlap on frame {frame}: this protocol scores maps of labels")
    return labels


def pasted(found: Mapping[int, Mask], shape: tuple[int, ...]) -> Labels:
    """Masks of one shape as a map of ids, larger ids on top."""
    labels = np.zeros(shape, np.uint16)
    for number, mask in sorted(found.items()):
        labels[mask] = number
    return labels


def stored_boxes(case: Case) -> dict[int, Box]:
    """The boxes that come with a case, those of volumes seen from above; {} where there are none."""
    boxes = case.boxes() if isinstance(case, PromptedCase) else {}
    return {number: box.outline if isinstance(box, Box3d) else box for number, box in boxes.items()}


class BoxPrompter:
    """A network that is asked for masks in boxes, frame by frame and without any memory.

    Args:
        network: any.
        source: gives the frames.
        image_size: side of the network's input in pixels; None for its own.
    """

    def __init__(self, network: Network, source: FrameSource, image_size: int | None = None) -> None:
        self.source = source
        self._network, self._options = network, SessionOptions(image_size=image_size)
        self._features = Features(network, source, input_of(network.config, image_size).side)

    def masks(self, frame: int, boxes: Mapping[int, Box]) -> dict[int, Mask]:
        """Object -> (rows, columns) bool, each by itself."""
        session = Session(self._network, self.source, NoMemory(), self._options, self._features)
        try:
            return {
                number: session.add(box, frame=frame, object_id=number).masks[number] for number, box in boxes.items()
            }
        finally:
            session.close()


def spacing_of(geometry: Geometry, mode: Mode) -> tuple[float, ...]:
    """Spacing of (slices, rows, columns) in mm as the mode has it; 1 where nothing is known of it."""
    spacing = geometry.spacing_mm
    if spacing is None or len(spacing) != 3:
        return (1.0, 1.0, 1.0)
    return spacing[::-1] if mode == "released" else spacing


def seed_of(*keys: str | int) -> list[int]:
    """A seed for `default_rng` that is the same for the same keys, and for others another one."""
    return [zlib.crc32(str(key).encode()) for key in keys]


def case_rows(score: CaseScore, case: Case, source: Source, setting: str, mode: Mode) -> list[Row]:
    """The rows of a case: its own figures, and those of each object."""
    where = (source.dataset, source.subset, case.name)
    figures = {"DSC": score.mean_dice, "NSD": score.nsd_as_scored, "NSD ungated": score.mean_nsd}
    if mode == "released":
        figures = {metric: round(value, 4) for metric, value in figures.items()}
    rows = [Row(*where, "", "", setting, metric, value) for metric, value in figures.items()]
    for metric, scores in (("DSC", score.dice), ("NSD", score.nsd)):
        for number, one in scores.items():
            label = case.objects.get(number, "")
            rows.append(Row(*where, str(number), label, setting, metric, one.value, one.status))
    return rows


def case_cells(rows: Iterable[Row]) -> list[Cell]:
    """Means over cases of their own figures."""
    return mean_cells((row for row in rows if not row.object), "cases")


def quality_of(rows: Iterable[Row]) -> float:
    """A case's DSC in its first setting; NaN where it has none."""
    return next((row.value for row in rows if row.metric == "DSC" and not row.object), math.nan)


def worst_slice(found: Labels, truth: Labels) -> Shown | None:
    """Of the slices that show an object the one on which the objects are found worst; None if there is none.

    Args:
        found, truth: (slices, rows, columns) ids.
    """
    shown = np.flatnonzero(truth.any((1, 2)))
    if not len(shown):
        return None
    right = np.count_nonzero((found == truth) & (truth > 0), (1, 2))
    both = np.count_nonzero(found, (1, 2)) + np.count_nonzero(truth, (1, 2))
    place = int(shown[(right[shown] / both[shown]).argmin()])
    return Shown(place, found[place] > 0, truth[place] > 0)


def worst_picture(source: FrameSource, found: Labels, truth: Labels) -> NDArray[np.uint8] | None:
    """The worst slice as a picture; see `worst_slice`."""
    shown = worst_slice(found, truth)
    return None if shown is None else draw_shown(source[shown.frame].image, shown)
