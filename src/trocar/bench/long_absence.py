"""`long-absence`: every memory policy on scenes that ask what was remembered.

The target leaves the picture for 10 to 1000 frames and returns changed (`absence`), look-alikes enter (`distractor`),
the camera draws back and comes close again (`zoom`), an image set has no order (`unordered`), a volume is seen in six
directions (`volume`). The target is prompted once, on the first frame, with its tight box; J and F are SA-V's, ends not
skipped. Each clip's figures are written as soon as it is done, and a run that is started again goes on from there.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trocar.bench.remembering import follow_scene
from trocar.datasets.absence_scenes import RememberingScene, absence_scene, distractor_scene
from trocar.datasets.view_scenes import unordered_scene, volume_scene, zoom_scene
from trocar.formats import write_run_record
from trocar.formats.whole_file import whole_file
from trocar.load import load_memory, memory_settings
from trocar.machine import machine_record
from trocar.memory import POLICIES
from trocar.model.network import Network
from trocar.settings import to_toml

#: Kind of scene -> renderer(seed, gap, size) of the kinds with an absence, renderer(seed, size) of the others.
WITH_GAP: dict[str, Callable[[int, int, int], RememberingScene]] = {
    "absence": absence_scene,
    "distractor": distractor_scene,
}
WITHOUT_GAP: dict[str, Callable[[int, int], RememberingScene]] = {
    "zoom": zoom_scene,
    "unordered": unordered_scene,
    "volume": volume_scene,
}
#: Figure -> its heading and the digits that are shown.
FIGURES = {
    "j_and_f": ("J&F", 3),
    "j_and_f_returned": ("J&F returned", 3),
    "switched_frames": ("switched frames", 1),
    "switches": ("switches", 1),
    "false_presence": ("false presence", 3),
    "false_area_px": ("false area px", 0),
    "rows_per_second": ("rows/s", 1),
    "policy_ms": ("policy ms", 2),
    "read_mean": ("read", 1),
    "read_max": ("read max", 0),
    "kept_max": ("kept max", 0),
}


@dataclass(frozen=True)
class Recipe:
    """What is run.

    Args:
        model: a name of `trocar models`, or a weights file.
        seeds: of the scenes; every kind is rendered once for each.
        kinds: of scenes.
        gaps: frames without the target, in the scenes of kind `absence`.
        distractor_gaps: the same in those of kind `distractor`.
        policies: as `--memory` takes them; none for all that there are.
        size: rows and columns of a frame, pixels.
    """

    model: str = "nano"
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    kinds: tuple[str, ...] = (*WITH_GAP, *WITHOUT_GAP)
    gaps: tuple[int, ...] = (10, 50, 200, 1000)
    distractor_gaps: tuple[int, ...] = (50,)
    policies: tuple[str, ...] = ()
    size: int = 256

    def __post_init__(self) -> None:
        known = (*WITH_GAP, *WITHOUT_GAP)
        for kind in self.kinds:
            if kind not in known:
                raise ValueError(f"unknown kind of scene {kind!r}: choose from {', '.join(known)}")
        if not self.seeds or not self.kinds or min(self.seeds) < 0:
            raise ValueError("a recipe needs at least one seed, each 0 or more, and one kind of scene")
        if min((*self.gaps, *self.distractor_gaps), default=1) < 1 or self.size < 64:
            raise ValueError("gaps are 1 frame or more, and size is 64 pixels or more")
        for policy in self.policies:
            memory_settings(policy)

    @property
    def all_policies(self) -> tuple[str, ...]:
        return self.policies or tuple(POLICIES)

    def clips(self) -> list[tuple[str, int | None, int]]:
        """(kind, gap, seed) of every clip; those of one seed follow one another."""
        gaps = {"absence": self.gaps, "distractor": self.distractor_gaps}
        kinds = [(kind, gap) for kind in self.kinds for gap in gaps.get(kind, (None,))]
        return [(kind, gap, seed) for seed in self.seeds for kind, gap in kinds]


def run_long_absence(
    network: Network,
    recipe: Recipe,
    out: Path,
    report: Callable[[str, int, int], object] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Run what `out` does not hold yet, and sum up.

    Writes to `out`: clips/*.json as they are done, then long-absence.json (what is returned), recipe.toml and
    long-absence.md.

    Args:
        network: the recipe's model.
        recipe: what is run.
        out: a folder, perhaps with clips of an interrupted run.
        report: told "3/40 absence-200-0", the frames of that clip that are done, and how many it has.

    Returns:
        Plain JSON values: `rows` (mean and standard deviation over seeds, see `FIGURES`), `clips`, what ran and where.

    Raises:
        ValueError: `out` holds figures of other weights.
    """
    weights, clips = _fingerprint(network), []
    todo = recipe.clips()
    for place, (kind, gap, seed) in enumerate(todo, 1):
        name = "-".join(str(part) for part in (kind, gap, seed) if part is not None)
        file = out / "clips" / f"{name}-{recipe.size}px.json"
        record = {"kind": kind, "gap": gap, "seed": seed} | _record(file, recipe.model, weights)
        done = {policy: made["settings"] for policy, made in record["policies"].items()}
        missing = [policy for policy in recipe.all_policies if done.get(policy) != _settings(policy)]
        if missing:
            scene = WITHOUT_GAP[kind](seed, recipe.size) if gap is None else WITH_GAP[kind](seed, gap, recipe.size)
            show = partial(report, f"{place}/{len(todo)} {name}")
            record["frames"] = len(scene)
            record["policies"] |= _follow(network, scene, missing, show)
            write_run_record(file, record)
        clips.append(record)
    figures = {
        "protocol": "long-absence",
        "recipe": asdict(recipe),
        "weights": weights,
        "machine": machine_record(network),
        "rows": _rows(clips, recipe.all_policies),
        "clips": clips,
    }
    _write_text(out / "recipe.toml", to_toml(recipe))
    _write_text(out / "long-absence.md", markdown(table_rows(figures)))
    write_run_record(out / "long-absence.json", figures)
    return figures


def _settings(policy: str) -> dict[str, Any]:
    """A policy's knobs as JSON gives them back."""
    settings: dict[str, Any] = json.loads(json.dumps(memory_settings(policy)))
    return settings


def _follow(
    network: Network, scene: RememberingScene, policies: Sequence[str], show: Callable[[int, int], object]
) -> dict[str, dict[str, Any]]:
    """Settings and figures of each policy on a scene."""
    fresh = {name: load_memory(name) for name in policies}
    found = follow_scene(network, scene, fresh, lambda done: show(done, len(scene)))
    return {name: {"settings": _settings(name), "figures": figures} for name, figures in found.items()}


def _fingerprint(network: Network) -> str:
    """A checksum of the weights, since a name such as `nano` outlives them."""
    total = 0
    for values in network.state_dict().values():
        total = zlib.crc32(values.detach().cpu().contiguous().flatten().view(torch.uint8).numpy(), total)
    return f"{total:08x}"


def _record(file: Path, model: str, weights: str) -> dict[str, Any]:
    """What an earlier run has found on a clip."""
    if not file.is_file():
        return {"model": model, "weights": weights, "policies": {}}
    record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if record["weights"] != weights:
        raise ValueError(f"{file} holds figures of other weights ({record['model']}): choose another folder for --out")
    return record


def _rows(clips: Sequence[dict[str, Any]], policies: Sequence[str]) -> list[dict[str, Any]]:
    """A row a kind, gap and policy: the mean of each figure over seeds, and its standard deviation (n - 1)."""
    rows = []
    for kind, gap in dict.fromkeys((clip["kind"], clip["gap"]) for clip in clips):
        group = [clip for clip in clips if (clip["kind"], clip["gap"]) == (kind, gap)]
        for policy in policies:
            row: dict[str, Any] = {"kind": kind, "gap": gap, "policy": policy, "seeds": len(group)}
            for name in FIGURES:
                found = [clip["policies"][policy]["figures"][name] for clip in group]
                values = [value for value in found if value is not None]
                row[name] = float(np.mean(values)) if values else None
                row[f"{name}_sd"] = float(np.std(values, ddof=1)) if len(values) > 1 else None
            rows.append(row)
    return rows


def table_rows(figures: dict[str, Any]) -> list[dict[str, str]]:
    """The rows as text, a column a figure; J&F with its standard deviation over seeds."""
    return [
        {"kind": row["kind"], "gap": "" if row["gap"] is None else str(row["gap"]), "policy": row["policy"]}
        | {heading: _cell(row, name, digits) for name, (heading, digits) in FIGURES.items()}
        for row in figures["rows"]
    ]


def _cell(row: dict[str, Any], name: str, digits: int) -> str:
    if row[name] is None:
        return ""
    spread = row[f"{name}_sd"] if name.startswith("j_and_f") else None
    return f"{row[name]:.{digits}f}" + ("" if spread is None else f" ± {spread:.{digits}f}")


def markdown(rows: Sequence[dict[str, str]]) -> str:
    """The rows as a Markdown table."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _write_text(path: Path, text: str) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
