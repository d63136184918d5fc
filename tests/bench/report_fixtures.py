"""Folders of runs that never ran: numbers from a generator, titles that say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from trocar.bench.results import ResultFolder, Row, average_over_subsets, mean_cells, write_json

SA_SV = {
    "EV17": 3,
    "EV18-I": 4,
    "RARP50": 10,
    "Hyst-YT": 6,
    "CIS-Test": 4,
    "EV18-T": 4,
    "SurgAI3.8k": 51,
    "PolypGen": 21,
}


@dataclass(frozen=True)
class Made:
    """What is made up.

    Args:
        lost: so many cases of each subset are not there.
        failed: so many of those fail by name.
        partial: what the run says of itself.
    """

    subsets: dict[str, int]
    settings: tuple[str, ...] = ("3-click", "1-click")
    metrics: tuple[str, ...] = ("J&F", "J", "F")
    published: tuple[tuple[str, str], ...] = (("SAM2S", "2"), ("SAM2S", "3"), ("SAM2S", "4"))
    title: str = "FIXTURE: made-up numbers for SA-SV"
    model: str = "made-up"
    seed: int = 0
    lost: int = 0
    failed: int = 0
    partial: tuple[str, ...] = ()


def write_run(folder: Path, made: Made) -> Path:
    """Write a run's folder as `ResultFolder` does, from a generator instead of a network."""
    rng = np.random.default_rng(made.seed)
    rows = []
    for subset, count in made.subsets.items():
        for number in range(count - made.lost):
            skill = rng.uniform(0.3, 0.95)
            for object_id in range(rng.integers(1, 4)):
                for setting in made.settings:
                    for metric in made.metrics:
                        value = float(np.clip(skill + rng.normal(0, 0.08), 0, 1)) if rng.random() > 0.04 else np.nan
                        status = "both_empty" if np.isnan(value) else "ok"
                        row = Row(
                            subset, subset, f"video{number:02}", str(object_id), "grasper", setting, metric, value
                        )
                        rows.append(Row(**{**vars(row), "status": status}))
    cells = mean_cells(rows)
    if len(made.subsets) > 1:
        cells += average_over_subsets(cells, list(made.subsets))
    record = {"protocol": "Fixture", "title": made.title, "mode": "clean", "model": made.model, "memory": "recent"}
    record |= {"settings": {"clicks": 3, "weights": "none"}, "seed": made.seed, "expected": made.subsets}
    record |= {"network_input": 256, "machine": {"system": "nowhere", "threads": 1}, "versions": {"trocar": "0"}}
    record |= {"published": [{"paper": paper, "table": table} for paper, table in made.published]}
    write = ResultFolder(folder, {"made": made.model})
    write_json(folder / "run.json", {**record, "partial": list(made.partial)})
    gone = {
        f"{subset}/video{count - 1 - number:02}": "the file of frame 17 is damaged: fetch it again"
        for subset, count in made.subsets.items()
        for number in range(made.failed)
    }
    write.finish(rows, cells, gone)
    _pictures(folder, rng, list(made.subsets)[:2])
    return folder


def _pictures(folder: Path, rng: np.random.Generator, subsets: list[str]) -> None:
    (folder / "pictures").mkdir(exist_ok=True)
    listed: list[dict[str, Any]] = []
    for kind, value in (("best", 0.97), ("worst", 0.11)):
        for number, subset in enumerate(subsets):
            picture = cv2.resize(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8), (800, 450))
            cv2.circle(picture, (400, 225), 120, (80, 220, 120), 6)
            cv2.putText(picture, f"fixture {kind}", (40, 80), cv2.FONT_HERSHEY_SIMPLEX, 2, (255, 255, 255), 4)
            name = f"{kind}-{number}.png"
            cv2.imwrite(str(folder / "pictures" / name), picture)
            listed.append({"file": name, "case": "video00", "subset": subset, "value": value, "kind": kind})
    write_json(folder / "pictures.json", listed)
