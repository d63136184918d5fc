"""Contrastive prototypes beside fixed ones on scenes whose instruments look alike; docs/explanation/class-prompts.md.

    python scripts/class_prompt_comparison.py prepare --out DIR     features of all scenes, once
    python scripts/class_prompt_comparison.py run --out DIR         train what is missing, seed by seed, and score it
    python scripts/class_prompt_comparison.py baselines --out DIR   oracle prompts, tracked points, PerSAM
    python scripts/class_prompt_comparison.py table --out DIR       tables, and the figures as JSON with --write FILE

What is done is kept in DIR and skipped; an interrupted run goes on. Two processes share the runs with --part 0 --of 2
and --part 1 --of 2. Scenes that are trained on, on which presence is calibrated, and that are scored have different
seeds. --plan pilot takes others, on which the recipe was chosen; --plan toy does everything once, very small.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trocar.bench.class_methods import Asked, Labels, MethodName, class_maps, first_references, persam_maps
from trocar.bench.class_scenes import METRICS, ask_clip, calibrate_on, compared, false_presence, figures
from trocar.bench.trackers import AnnotatedFrames
from trocar.classprompt import open_class_model
from trocar.classprompt.embeddings import EmbeddingCache
from trocar.classprompt.encoder import encoder_fingerprint
from trocar.classprompt.reference import Reference
from trocar.datasets.clip import Clip
from trocar.datasets.lookalike_scenes import LOOKALIKES, class_map, lookalike_scene
from trocar.formats import write_run_record
from trocar.formats.whole_file import whole_file
from trocar.frames import ArraySource
from trocar.machine import machine_record
from trocar.metrics.endovis import count
from trocar.model.network import Network
from trocar.settings import read_settings
from trocar.track.features import input_of
from trocar.train.checkpoint import LAST
from trocar.train.class_prompt_recipe import ClassPromptRecipe
from trocar.train.class_prompt_start import frozen_network, open_pictures
from trocar.train.class_prompts import ClassRun, train_classes

RECIPE = Path(__file__).parents[1] / "recipes" / "class-prompt-comparison.toml"
#: Condition -> changes of the recipe's head. The first is what the others are compared with. The fixed means are as
#: long as nano's features and share their mean, so that they have a scale of their own: with it their similarities have
#: the root mean square with which the others begin, about 1.
CONDITIONS: dict[str, dict[str, Any]] = {
    "contrastive, n = 4": {"tokens": 4},
    "fixed means, n = 4": {"tokens": 4, "prototypes": "mean", "contrast": "none", "scale": 0.0012},
    "stand-in for text, n = 4": {"tokens": 4, "prototypes": "stand-in", "contrast": "none"},
    "contrastive, n = 2": {"tokens": 2},
    "contrastive, n = 6": {"tokens": 6},
    "contrastive, n = 8": {"tokens": 8},
    "learned, no contrast, n = 4": {"tokens": 4, "contrast": "none"},
}
BASELINES: tuple[MethodName, ...] = (
    "oracle box",
    "oracle centroid",
    "5 points tracked (oracle start)",
    "1 point tracked (oracle start)",
    "PerSAM (oracle classes)",
    "PerSAM-F (oracle classes)",
)
TOLD, DECIDED = "told", "decided"
COUNTS = "counts.npz"
#: With the classes given Challenge IoU and IoU are one number.
COLUMNS = ((TOLD, "Challenge IoU"), (TOLD, "mcIoU"), (DECIDED, "Challenge IoU"), (DECIDED, "IoU"), (DECIDED, "mcIoU"))


@dataclass(frozen=True)
class Plan:
    """What is run.

    Args:
        seeds: of the runs.
        tuned: seed of the first clip on which presence is calibrated.
        held_out: seed of the first clip that is scored.
        tuned_clips: how many of the former.
        clips: how many of the latter.
        frames: of each clip.
        scenes: training clips; None for what the recipe says.
        epochs: None for what the recipe says.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    tuned: int = 800_000_000
    held_out: int = 900_000_000
    tuned_clips: int = 80
    clips: int = 120
    frames: int = 2
    scenes: int | None = None
    epochs: int | None = None


PLANS = {
    "frozen": Plan(),
    "pilot": Plan(seeds=(5,), tuned=700_100_000, held_out=700_200_000, tuned_clips=60, clips=60),
    "toy": Plan(seeds=(0,), tuned=700_100_000, held_out=700_200_000, tuned_clips=12, clips=4, scenes=40, epochs=1),
}


def recipe_of(condition: str, seed: int, plan: Plan, cache: Path, weights: str) -> ClassPromptRecipe:
    """The recipe of one run."""
    recipe = read_settings(ClassPromptRecipe, RECIPE)
    data = replace(recipe.data, cache=str(cache), scenes=plan.scenes or recipe.data.scenes)
    head = replace(recipe.head, **CONDITIONS[condition])
    epochs = plan.epochs or recipe.epochs
    return replace(recipe, seed=seed, epochs=epochs, data=data, head=head, weights=weights)


def prepare(plan: Plan, out: Path, weights: str) -> None:
    """Encode what is trained on, calibrated on and scored."""
    recipe = recipe_of(next(iter(CONDITIONS)), plan.seeds[0], plan, out / "features", weights)
    network = frozen_network(recipe)
    open_pictures(recipe, network, out / "made")
    cache = cache_of(network, out / "features")
    for clip in rendered(plan.tuned, plan.tuned_clips, plan.frames) + rendered(plan.held_out, plan.clips, plan.frames):
        cache.add(list(clip.images))


def run(plan: Plan, out: Path, weights: str, part: int, of: int) -> None:
    """Train and score, seed by seed; what is scored already is skipped."""
    clips: dict[str, list[Clip]] = {}
    for seed, condition in order_of(plan)[part::of]:
        folder = folder_of(out, condition, seed)
        if not (folder / COUNTS).is_file():
            recipe = recipe_of(condition, seed, plan, out / "features", weights)
            resume = (folder / LAST).is_file()
            path = train_classes(ClassRun(recipe, out / "made", folder, resume, threads=1, quiet=True))
            if not clips:
                clips = {
                    "tuned": rendered(plan.tuned, plan.tuned_clips, plan.frames),
                    "held out": rendered(plan.held_out, plan.clips, plan.frames),
                }
            score(path, frozen_network(recipe), clips, out / "features", folder)
            scored = {asked: figures(counts) for asked, counts in read_counts(folder).items()}
            print(condition, seed, json.dumps(scored), flush=True)


def order_of(plan: Plan) -> list[tuple[int, str]]:
    """Seed by seed; the condition that the paper does not have comes last."""
    *first, last = CONDITIONS
    return [(seed, one) for seed in plan.seeds for one in first] + [(seed, last) for seed in plan.seeds]


def rendered(first: int, clips: int, frames: int) -> list[Clip]:
    return [lookalike_scene(seed, frames) for seed in range(first, first + clips)]


def score(path: Path, network: Network, clips: Mapping[str, Sequence[Clip]], features: Path, out: Path) -> None:
    """Calibrate presence on the tuned clips, and count pixels on the others."""
    model = open_class_model(path, network)
    cache = cache_of(network, features)
    calibrate_on(model, network, clips["tuned"], cache)
    told, decided = [], []
    for clip in clips["held out"]:
        answers = ask_clip(model, network, clip, cache)
        told.append(answers.told)
        decided.append(answers.decided)
    _keep(out, told=np.stack(told), decided=np.stack(decided))


def cache_of(network: Network, folder: Path) -> EmbeddingCache:
    """The cache that training fills too."""
    side = network.config.image_size
    return EmbeddingCache(folder, network, side, input_of(network.config).pixels, f"{network.config.input} {side}")


def _keep(folder: Path, **arrays: NDArray[Any]) -> None:
    with whole_file(folder / COUNTS) as part:
        np.savez_compressed(part, allow_pickle=False, **arrays)


def read_counts(folder: Path) -> dict[str, NDArray[np.int64]]:
    """(clips, frames, 3, C) each."""
    with np.load(folder / COUNTS) as held:
        return {name: held[name] for name in (TOLD, DECIDED) if name in held}


def folder_of(out: Path, condition: str, seed: int) -> Path:
    return out / f"{condition.replace(', ', '-').replace(' ', '')}-{seed}"


def baselines(plan: Plan, out: Path, weights: str) -> None:
    """What is told where a class is on some frame, on the same clips; and PerSAM, told the classes."""
    recipe = recipe_of(next(iter(CONDITIONS)), 0, plan, out / "features", weights)
    network = frozen_network(recipe)
    torch.set_num_threads(1)
    shots = [
        (image, {int(number): labels == number for number in np.unique(labels) if number})
        for clip in rendered(plan.tuned, plan.tuned_clips, plan.frames)
        for image, labels in zip(clip.images, class_map(clip), strict=True)
    ]
    shown = input_of(network.config)
    references = {tuned: first_references(network, shots, len(LOOKALIKES), shown, tuned) for tuned in (False, True)}
    for name in BASELINES:
        folder = out / name.replace(" ", "-")
        if (folder / COUNTS).is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        found = [_counted(name, network, clip, references) for clip in rendered(plan.held_out, plan.clips, plan.frames)]
        _keep(folder, decided=np.stack(found))
        print(name, json.dumps(figures(np.stack(found))), flush=True)


def _counted(
    name: MethodName, network: Network, clip: Clip, references: Mapping[bool, Mapping[int, Reference]]
) -> NDArray[np.int64]:
    """(frames, 3, C) counts of a baseline on a clip."""
    truth = class_map(clip)
    view = AnnotatedFrames(ArraySource(clip.images, clip.name), range(len(truth)))

    def truths(place: int) -> dict[int, NDArray[np.bool_]]:
        return {int(number): truth[place] == number for number in np.unique(truth[place]) if number}

    maps: Iterator[Labels]
    if name.startswith("PerSAM"):
        shown = input_of(network.config)
        maps = persam_maps(network, references[name.startswith("PerSAM-F")], shown, view, truths)
    else:
        maps = class_maps(name, Asked(network, "", LOOKALIKES, clip.name), view, truths)
    with torch.inference_mode():
        counted = count(maps, truth, len(LOOKALIKES))
    return np.stack([counted.shared, counted.in_pred, counted.in_gt], axis=1)


def table(plan: Plan, out: Path, weights: str, draws: int = 2000) -> dict[str, Any]:
    """Every figure with its interval, and the differences to the first condition."""
    found: dict[str, Any] = {}
    first: dict[str, list[NDArray[np.int64]]] = {}
    for condition in CONDITIONS:
        folders = [folder_of(out, condition, seed) for seed in plan.seeds]
        if not all((folder / COUNTS).is_file() for folder in folders):
            print(f"{condition}: not all seeds are scored yet; it is left out", file=sys.stderr)
            continue
        counts = {asked: [read_counts(folder)[asked] for folder in folders] for asked in (TOLD, DECIDED)}
        first = first or counts
        own: dict[str, Any] = {"false presence": float(np.mean([false_presence(one) for one in counts[DECIDED]]))}
        for asked, metric in COLUMNS:
            own[f"{metric}, {asked}"] = {
                "mean": asdict(compared(counts[asked], None, metric, draws)),
                "seeds": [figures(one)[metric] for one in counts[asked]],
                "difference": asdict(compared(counts[asked], first[asked], metric, draws)),
            }
        found[condition] = own
    told = {name: read_counts(out / name.replace(" ", "-"))[DECIDED] for name in BASELINES}
    others = {name: figures(one) | {"false presence": false_presence(one)} for name, one in told.items()}
    network = frozen_network(recipe_of(next(iter(CONDITIONS)), 0, plan, out / "features", weights))
    recipe = read_settings(ClassPromptRecipe, RECIPE)
    return {
        "plan": asdict(plan),
        "recipe": asdict(recipe),
        "conditions": found,
        "baselines": others,
        "encoder": encoder_fingerprint(network),
        "machine": machine_record(network),
    }


def markdown(result: Mapping[str, Any]) -> str:
    """The page's tables, in percent."""
    heads = [f"{metric}, {'given' if asked == TOLD else 'decided'}" for asked, metric in COLUMNS]
    lines = [f"| | {' | '.join(heads)} | false presence |", "|---|" + "---|" * (len(heads) + 1)]
    for name, own in result["conditions"].items():
        cells = [_cell(own[f"{metric}, {asked}"]) for asked, metric in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} | {100 * own['false presence']:.1f} |")
    for name, one in result["baselines"].items():
        challenge, iou, mean = (f"{100 * one[metric]:.1f}" for metric in METRICS)
        tracked = "tracked" in name  # only these decide for themselves where a class is no longer seen
        values = ["", "", challenge, iou, mean] if tracked else [challenge, mean, "", "", ""]
        lines.append(f"| {name} | {' | '.join(values)} | {100 * one['false presence']:.1f} |")
    lines += ["", f"| less {next(iter(result['conditions']))} | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for name, own in list(result["conditions"].items())[1:]:
        cells = [_difference(own[f"{metric}, {asked}"]["difference"]) for asked, metric in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(one: Mapping[str, Any]) -> str:
    spread = f" ± {100 * np.std(one['seeds'], ddof=1):.1f}" if len(one["seeds"]) > 1 else ""
    return f"{100 * one['mean']['mean']:.1f}{spread}"


def _difference(one: Mapping[str, float]) -> str:
    return f"{100 * one['mean']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prepare", "run", "baselines", "table"])
    parser.add_argument("--out", type=Path, required=True, help="folder for everything that is made")
    parser.add_argument("--plan", choices=list(PLANS), default="frozen")
    parser.add_argument("--weights", default="published", help="nano's weights file (the one in the package)")
    parser.add_argument("--part", type=int, default=0, help="which share of the runs, from 0 (0)")
    parser.add_argument("--of", type=int, default=1, help="how many processes share them (1)")
    parser.add_argument("--write", type=Path, help="figures as JSON")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    plan, out = PLANS[given.plan], given.out / given.plan
    out.mkdir(parents=True, exist_ok=True)
    if given.step == "prepare":
        prepare(plan, out, given.weights)
    elif given.step == "run":
        run(plan, out, given.weights, given.part, given.of)
    elif given.step == "baselines":
        baselines(plan, out, given.weights)
    else:
        result = table(plan, out, given.weights)
        print(markdown(result))
        if given.write:
            write_run_record(given.write, result)


if __name__ == "__main__":
    main()
