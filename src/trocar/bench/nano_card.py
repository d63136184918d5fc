"""`nano-card`: every figure of nano's model card, from one command.

Scenes are fresh: seeds from `HELD_OUT_SEED` on, which training never draws. `tune` scores what the recipe was chosen
with (other fresh scenes, vocal folds patient 2 sequence 6); `held_out` is scored once per released card.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trocar.bench.prompt_baselines import score_image_baselines, score_tracking_baselines
from trocar.datasets import Clip, read_clip
from trocar.datasets.location import locate
from trocar.datasets.scenes import SCENES, scene
from trocar.load import load_dataset
from trocar.machine import machine_record
from trocar.memory import MemoryPolicy
from trocar.model.network import Network
from trocar.promptable import score_images, score_tracking
from trocar.prompts import MaskPrompt

HELD_OUT_SEED = 900_000_000
TUNE_SEED = 800_000_000
Split = Literal["held_out", "tune"]
COLUMNS = ("box", "1 click", "3 clicks", "J&F, box", "J&F, mask")


@dataclass(frozen=True)
class CardOptions:
    """What is scored.

    Args:
        split: "held_out" for a card, "tune" while a recipe is being chosen.
        clips_per_kind: scenes of each kind.
        frames: of each scene.
        baselines: whether the offline baselines run too; GrabCut takes most of the time.
        data_folder: holds vocalfolds/; None for the folder that TROCAR_DATA names.
    """

    split: Split = "held_out"
    clips_per_kind: int = 4
    frames: int = 8
    baselines: bool = True
    data_folder: Path | None = None


def run_card(
    network: Network,
    memory: Callable[[], MemoryPolicy],
    options: CardOptions,
    report: Callable[[str], object] = lambda message: None,
) -> dict[str, Any]:
    """Score and return the figures as plain data.

    Args:
        network: what is scored.
        memory: makes the policy it tracks with.
        options: what is scored on.
        report: told what is being done.
    """
    results: dict[str, Any] = {}
    for name, clips in _sets(options).items():
        report(f"{name}: reading")
        counted = list(clips())
        report(f"{name}: {len(counted)} clips, images")
        images = score_images(network, counted)
        report(f"{name}: tracking")
        from_box = score_tracking(network, counted, memory)
        from_mask = score_tracking(network, counted, memory, MaskPrompt)
        rows = [_row("trocar", images.means(), {"J&F, box": from_box.j_and_f, "J&F, mask": from_mask.j_and_f})]
        if options.baselines:
            report(f"{name}: baselines")
            for baseline, scores in score_image_baselines(counted).items():
                rows.append(_row(baseline, scores.means(), {}))
            for baseline, sequence in score_tracking_baselines(counted).items():
                rows.append(_row(baseline, {}, {"J&F, mask": sequence.j_and_f}))
        results[name] = {
            "clips": len(counted),
            "object_frames": images.object_frames,
            "tracked_objects": len(from_box.objects),
            "rows": rows,
        }
    return {
        "protocol": "nano-card",
        "split": options.split,
        "scene_seed": _seed(options.split),
        "machine": machine_record(network),
        "results": results,
    }


def _sets(options: CardOptions) -> dict[str, Callable[[], list[Clip]]]:
    def scenes() -> list[Clip]:
        first = _seed(options.split)
        return [
            scene(first + 1000 * place + number, kind, options.frames)
            for place, kind in enumerate(sorted(SCENES))
            for number in range(options.clips_per_kind)
        ]

    def larynx() -> list[Clip]:
        folds = load_dataset("vocalfolds")
        return [read_clip(case) for case in folds.read(locate(folds.folder, options.data_folder), options.split)]

    patient = "patient 1" if options.split == "held_out" else "patient 2, sequence 6"
    return {"synthetic scenes": scenes, f"vocal folds, {patient}": larynx}


def _seed(split: Split) -> int:
    return HELD_OUT_SEED if split == "held_out" else TUNE_SEED


def _row(method: str, ious: dict[str, float], tracked: dict[str, float]) -> dict[str, Any]:
    figures = ious | tracked
    return {"method": method, **{kind: round(figures[kind], 3) for kind in COLUMNS if kind in figures}}


def card_table(figures: dict[str, Any]) -> str:
    """The figures as a Markdown table, as it stands in the model card."""
    lines = [
        "| data | method | IoU, box | IoU, 1 click | IoU, 3 clicks | J&F, box once | J&F, true mask once |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, result in figures["results"].items():
        size = f"{name} ({result['object_frames']} object-frames, {result['tracked_objects']} tracked objects)"
        for row in result["rows"]:
            cells = " | ".join(f"{row[column]:.3f}" if column in row else "" for column in COLUMNS)
            lines.append(f"| {size} | {row['method']} | {cells} |")
    return "\n".join(lines)
