"""The demo sequence that comes with the package: a few frames of laryngeal surgery with their truth.

The frames are patient 2, sequence 6 of the vocal folds data set (Laves et al. 2019, CC BY 4.0). `nano` was not trained
on them; its recipe was chosen with them, so their score is no held-out figure.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trocar.formats import open_source
from trocar.formats.label_png import read_label_pngs
from trocar.frames import FrameSource
from trocar.masks import FrameMasks
from trocar.metrics import SequenceRules, SequenceScore, j_and_f
from trocar.prompts import PlacedPrompt, prompts_from_json

FOLDER = Path(__file__).resolve().parent.parent / "assets" / "demo"
NAMES = {1: "vocal folds", 2: "glottal space", 3: "intubation tube"}


def demo_source() -> FrameSource:
    """The frames."""
    return open_source(FOLDER / "frames")


def demo_prompts() -> list[PlacedPrompt]:
    """One box for each object, on frame 0."""
    return prompts_from_json((FOLDER / "prompts.json").read_text(encoding="utf-8"))


def demo_scores(folder: Path) -> SequenceScore:
    """J and F of the label maps in `folder` against the truth, the prompted frame left out."""
    found, truth = (_labels(list(read_label_pngs(where))) for where in (folder, FOLDER / "truth"))
    return j_and_f(found, truth, SequenceRules(skip_ends=False), prompt_frames=dict.fromkeys(NAMES, 0))


def _labels(frames: list[FrameMasks]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    size = next(mask.shape for one in frames for mask in one.masks.values())
    labels = np.zeros((len(frames), *size), np.uint8)
    for place, one in zip(labels, frames, strict=True):
        for object_id, mask in one.masks.items():
            place[mask] = object_id
    return labels
