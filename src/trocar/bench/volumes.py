"""`acdc`: Dice in three dimensions of heart structures that are prompted on one slice (ACDC; Bernard et al. 2018).

Evaluation only: nothing is trained or chosen on these volumes. Each structure is prompted on the middle one of the
slices on which it lies, with its tight box or with its true mask there (two of the three beginnings in Ma et al. 2024,
section 2.4), and tracked both ways, in the axial plane alone or in three planes (MedSAM-2's six directions). The files
say no spacing: slices are stretched to squares, coronal and sagittal ones some twentyfold from head to foot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trocar.datasets import Case, acdc, read_clip
from trocar.datasets.location import locate
from trocar.frames import FrameSource
from trocar.load import load_memory
from trocar.machine import machine_record
from trocar.metrics import dice
from trocar.model.network import Network
from trocar.prompts import MaskPrompt, tight_box
from trocar.track.evidence import AGGREGATES, Aggregate
from trocar.track.features import Features
from trocar.track.planes import all_planes
from trocar.track.volume import VolumeOptions, VolumeRun

STRUCTURES = acdc.CLASSES


@dataclass(frozen=True)
class AcdcOptions:
    """What is scored.

    Args:
        memories: specs of `load_memory`.
        six: whether the three planes are scored too; they take nearly all the time.
        volumes: how many volumes, in the order of their names; None for all.
    """

    memories: tuple[str, ...] = ("recent", "self_sorting")
    six: bool = True
    volumes: int | None = None


@dataclass(frozen=True)
class _Setup:
    """One row of the table."""

    prompt: Literal["box", "true mask"]
    planes: Literal["axial", "six directions"]
    memory: str
    directions: Literal["independent", "joint"] = "independent"

    @property
    def aggregates(self) -> tuple[Aggregate | None, ...]:
        return (None,) if self.planes == "axial" else AGGREGATES

    def columns(self, aggregate: Aggregate | None) -> dict[str, str]:
        return {
            "prompt": self.prompt,
            "planes": self.planes,
            "memory": self.memory,
            "directions": self.directions if self.planes == "six directions" else "",
            "aggregate": aggregate or "",
        }


class _Run(VolumeRun):
    """A run that shares the features of slices with other runs on the same volume."""

    shared: dict[str, Features]

    def features(self, plane: str, shown: FrameSource) -> Features:
        if plane not in self.shared:
            self.shared[plane] = Features(self._network, shown, self._side, keep=len(shown))
        return self.shared[plane]


def run_acdc(
    network: Network,
    data_folder: Path | None,
    options: AcdcOptions,
    report: Callable[[str], object] = lambda message: None,
) -> dict[str, Any]:
    """Score and return the figures as plain data: mean Dice of each structure over the volumes, and each volume's.

    Args:
        network: what is scored.
        data_folder: holds acdc/*.h5 (`image`, and `label` with 1 RV, 2 MYO, 3 LV); None for the one TROCAR_DATA names.
        options: what is scored.
        report: told what is being done.

    Raises:
        FileNotFoundError: the volumes are not there.
    """
    cases = acdc.DATASET.read(locate("acdc", data_folder), "all")[: options.volumes]
    scores: dict[tuple[str, ...], dict[str, dict[str, float]]] = {}
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for number, case in enumerate(cases, start=1):
        shared: dict[str, Features] = {}
        truth = read_clip(case).labels
        for setup in _setups(options):
            report(f"{case.name} ({number} of {len(cases)}): {' '.join(filter(None, setup.columns(None).values()))}")
            for aggregate, found in _scored(network, case, truth, setup, shared):
                columns = setup.columns(aggregate)
                key = tuple(columns.values())
                rows[key] = columns
                scores.setdefault(key, {})[case.name] = found
    for key, row in rows.items():
        row["n"] = len(scores[key])
        for name in STRUCTURES.values():
            values = [volume[name] for volume in scores[key].values() if name in volume]
            row[name] = round(float(np.mean(values)), 3)
        row["mean"] = round(float(np.mean([row[name] for name in STRUCTURES.values()])), 3)
        row["volumes"] = {volume: {n: round(v, 4) for n, v in found.items()} for volume, found in scores[key].items()}
    return {
        "protocol": "acdc",
        "split": f"all {len(cases)} volumes, evaluation only: patients 1 to 10, end of diastole and of systole"
        if options.volumes is None
        else f"the first {len(cases)} volumes by name, evaluation only",
        "seed": 0,
        "prompted_slice": "the middle one of those on which the structure lies",
        "network_input": network.config.image_size,
        "machine": machine_record(network),
        "rows": list(rows.values()),
    }


def _setups(options: AcdcOptions) -> Iterator[_Setup]:
    for memory in options.memories:
        yield _Setup("box", "axial", memory)
        yield _Setup("true mask", "axial", memory)
        if options.six:
            yield _Setup("box", "six directions", memory, "independent")
            yield _Setup("box", "six directions", memory, "joint")


def _scored(
    network: Network, case: Case, truth: NDArray[np.uint8], setup: _Setup, shared: dict[str, Features]
) -> Iterator[tuple[Aggregate | None, dict[str, float]]]:
    """Dice of each structure, for each way of bringing planes together; truth is (slices, rows, columns) labels."""
    others = () if setup.planes == "axial" else all_planes("axial")
    run = _Run(
        network, case.open(), load_memory(setup.memory), VolumeOptions(others=others, directions=setup.directions)
    )
    run.shared = shared
    for number in STRUCTURES:
        where = np.flatnonzero((truth == number).any(axis=(1, 2)))
        if len(where):
            middle = int(where[len(where) // 2])
            mask = truth[middle] == number
            prompt = tight_box(mask) if setup.prompt == "box" else MaskPrompt(mask)
            run.add(prompt, frame=middle, object_id=number)
    run.track()
    for aggregate in setup.aggregates:
        masks = list(run.masks(aggregate))
        yield (
            aggregate,
            {
                STRUCTURES[number]: dice(np.stack([one.masks[number] for one in masks]), truth == number).value
                for number in run.objects
            },
        )


def acdc_table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    columns = ("prompt", "planes", "memory", "directions", "aggregate", "n", *STRUCTURES.values(), "mean")
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in figures["rows"]:
        cells = (f"{row[column]:.3f}" if isinstance(row[column], float) else str(row[column]) for column in columns)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
