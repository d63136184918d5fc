"""How measured values are prepared for the network: what users and the papers call it, and the window it comes to.

MedSAM (CT in the abdomen's window, all else between percentiles of its positive voxels), "Segment Anything in Medical
Images and Videos" (the SAM 2 benchmark, Methods) and MedSAM-2 (appendix C.1) are presets by name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trocar.formats.voxel_statistics import CHOICES, Slabs, extremes, mean_and_deviation, percentiles
from trocar.formats.window import PRESETS, Window, level_and_width

AIR_HU = -500
"""Below this only CT goes in practice: MR intensities start near zero, air is -1000 HU."""

TAILS = (0.5, 99.5)
"""Percentiles between which both papers, and MedSAM, keep what is not CT."""

LARGE_CROP = 0.25
"""MedSAM-2 leaves zeros out of its statistics where cropping takes away at least this part of the picture."""

NETWORK_MEAN, NETWORK_DEVIATION = 0.485, 0.229
"""What SAM 2's input is normalised with (first channel): standard scores are stored so that this gives them back."""


@dataclass(frozen=True)
class Preparation:
    """What is done to the values of a source before the network sees them.

    Args:
        window: "auto" (CT, told by its modality or by air in Hounsfield units: the abdomen's window; pictures that are
            grey levels already: "none"; else "percentile"), "percentile" (the 0.5 to 99.5 percentiles become 0 and
            255), "minmax", "none" (values are grey levels), a CT preset, (level, width), or a Window.
        voxels: which voxels statistics are of: "positive", "nonzero", "all", or "cropped" ("nonzero" where cropping
            takes a quarter or more away, else "all").
        zscore: after clipping to the window, subtract the mean and divide by the standard deviation: stored in grey
            levels from which the network's own normalisation makes exactly these scores, in -2.1..2.2.
        scope: statistics of each "frame" or of the whole "source"; "" is what suits it (frames of an image set, a
            volume as a whole).
        crop: cut a volume down to the box of its non-zero voxels; masks come back on the full grid.

    Raises:
        ValueError: a name that is not known, or a width that is not positive.
    """

    window: str | tuple[float, float] | Window = "auto"
    voxels: str = "positive"
    zscore: bool = False
    scope: str = ""
    crop: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.window, str):
            if self.window not in (*RULES, *PRESETS):
                names = ", ".join(("auto", "percentile", *PRESETS, "minmax", "none", *PREPARATIONS))
                raise ValueError(f"no window is called {self.window!r}: use {names}, or level and width")
        elif not isinstance(self.window, Window):
            level_and_width(*self.window)
        for value, known in ((self.voxels, (*CHOICES, "cropped")), (self.scope, ("", "source", "frame"))):
            if value not in known:
                raise ValueError(f"{value!r} is not one of {', '.join(map(repr, known))}")


RULES = ("auto", "percentile", "minmax", "none")

PREPARATIONS = {
    "medsam": Preparation(),
    "benchmark": Preparation(voxels="nonzero"),
    "medsam-2": Preparation(voxels="cropped", zscore=True, crop=True),
}
"""What the papers do, by name. MedSAM-2 also clips CT to percentiles of the labelled foreground of a whole data set,
which takes labels: measure them with `choose_window` and give the Window."""

WindowChoice = str | tuple[float, float] | Window | Preparation
"""All that `window=` takes: a name of a window or of a paper's preparation, (level, width), a Window, or the whole."""


@dataclass(frozen=True)
class Values:
    """What a source says about its values.

    Args:
        modality: DICOM's code (CT, MR, PT, US ...), "" where it is not known.
        grey_levels: whether they are 0..255 already, made to be looked at.
        inverted: whether the highest is to be shown black (DICOM's MONOCHROME1).
    """

    modality: str = ""
    grey_levels: bool = False
    inverted: bool = False


UNKNOWN = Values()


def preparation(choice: WindowChoice) -> Preparation:
    """What a user asked for, as a whole Preparation.

    Raises:
        ValueError: see Preparation.
    """
    if isinstance(choice, Preparation):
        return choice
    if isinstance(choice, str) and choice in PREPARATIONS:
        return PREPARATIONS[choice]
    return Preparation(window=choice)


def picture_preparation(choice: WindowChoice, name: str) -> Preparation:
    """The same for a source of pictures, which cannot be cropped.

    Raises:
        ValueError: see Preparation; or it crops.
    """
    wanted = preparation(choice)
    if wanted.crop:
        raise ValueError(f"{name} is no volume, and only volumes are cropped: give a Preparation with crop=False")
    return wanted


def choose_window(wanted: Preparation, slabs: Slabs, values: Values = UNKNOWN, cropped: float = 0.0) -> Window:
    """The window that a preparation comes to for some voxels; those of several sources give global statistics.

    Args:
        wanted: what to do.
        slabs: begins a pass over all voxels.
        values: what is known about them.
        cropped: the part, 0..1, of the voxels that cropping took away.
    """
    voxels = wanted.voxels
    if voxels == "cropped":
        voxels = "nonzero" if cropped >= LARGE_CROP else "all"
    window = _limits(wanted, slabs, values, voxels)
    if not wanted.zscore:
        return window
    clip = (window.low, window.high)
    mean, deviation = mean_and_deviation(slabs, voxels, clip)
    unit = (deviation or 1.0) / NETWORK_DEVIATION
    return Window(mean - NETWORK_MEAN * unit, mean + (1 - NETWORK_MEAN) * unit, clip)


def describe(wanted: Preparation, values: Values, window: Window | None) -> dict[str, Any]:
    """What is applied, for run.json: what was asked for and, where one holds for all frames, the window it came to."""
    named = {name for name, known in PREPARATIONS.items() if known == wanted}
    said: dict[str, Any] = asdict(wanted) | asdict(values)
    if named:
        said["preset"] = named.pop()
    if window is not None:
        said |= {"low": window.low, "high": window.high}
        if window.clip is not None:
            said["clip"] = list(window.clip)
    return said


def _limits(wanted: Preparation, slabs: Slabs, values: Values, voxels: str) -> Window:
    window = wanted.window
    if window == "auto":
        window = _automatic(slabs, values)
    if isinstance(window, Window):
        return window
    if not isinstance(window, str):
        return level_and_width(*window)
    if window in PRESETS:
        return level_and_width(*PRESETS[window])
    if window == "none":
        return Window(0.0, 255.0)
    ends = percentiles(slabs, TAILS, voxels) if window == "percentile" else extremes(slabs, voxels)
    if not ends:
        return Window(0.0, 1.0)
    low, high = ends
    # A picture of one single value keeps it bright rather than turning all black.
    return Window(low, high) if high > low else Window(min(0.0, high - 1), high)


def _automatic(slabs: Slabs, values: Values) -> str:
    if values.grey_levels:
        return "none"
    if values.modality:
        return "abdomen" if values.modality == "CT" else "percentile"
    lows = (np.asarray(slab) for slab in slabs())
    return "abdomen" if any(slab.size and float(np.nanmin(slab)) <= AIR_HU for slab in lows) else "percentile"
