"""What people do with a class model, measured on the scenes of scripts/class_prompt_comparison.py.

    python scripts/class_prompt_uses.py added --out DIR     a class from five labelled frames, beside full training
    python scripts/class_prompt_uses.py tracked --out DIR   what is found by name over clips, and what is found wrongly
    python scripts/class_prompt_uses.py confused --out DIR  what the name of a class that is not there finds

DIR is the folder of the comparison, whose first condition, seed 0, has to be trained. --write FILE keeps the figures.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from class_prompt_comparison import CONDITIONS, PLANS, Plan, cache_of, folder_of, recipe_of, rendered
from numpy.typing import NDArray

from trocar.bench.class_scenes import calibrate_on
from trocar.classprompt import ClassModel, open_class_model
from trocar.classprompt.embeddings import EmbeddingCache
from trocar.classprompt.few_frames import add_class
from trocar.classprompt.finder import ClassFinder
from trocar.classprompt.presence import believed
from trocar.datasets.clip import Clip
from trocar.datasets.lookalike_scenes import LOOKALIKES, class_map, lookalike_scene
from trocar.formats import write_run_record
from trocar.frames import ArraySource
from trocar.load import load_memory
from trocar.machine import machine_record
from trocar.model.network import Network
from trocar.track.features import input_of
from trocar.track.session import Session
from trocar.train.class_prompt_pictures import TRAIN_SEED
from trocar.train.class_prompt_start import frozen_network
from trocar.train.class_prompts import WEIGHTS, ClassRun, train_classes

ADDED = ("large needle driver", "ultrasound probe")
FRAMES, DRAWS, STEPS = 5, 5, (0, 60)
LEAST = 0.01  # part of a picture that the class takes on the frames that it is learned from
CLIPS, LENGTH = 20, 16  # of the clips that are tracked
FIRST = next(iter(CONDITIONS))


def added(plan: Plan, out: Path, weights: str) -> dict[str, Any]:
    """The IoU of a class's own mask on held-out frames that show it, learned with all others or from five frames."""
    recipe = recipe_of(FIRST, 0, plan, out / "features", weights)
    network = frozen_network(recipe)
    cache = cache_of(network, out / "features")
    held = rendered(plan.held_out, plan.clips, plan.frames)
    full = open_class_model(folder_of(out, FIRST, 0) / WEIGHTS, network)
    found: dict[str, Any] = {}
    for name in ADDED:
        others = tuple(one for one in LOOKALIKES if one != name)
        folder = out / f"without-{name.replace(' ', '-')}"
        if not (folder / WEIGHTS).is_file():
            without = replace(recipe, data=replace(recipe.data, names=others))
            train_classes(ClassRun(without, out / "made", folder, threads=1, quiet=True))
        six = open_class_model(folder / WEIGHTS, network)
        own: dict[str, Any] = {"full training": own_iou(full, network, held, cache, name)}
        for steps in STEPS:
            values = []
            for draw in range(DRAWS):
                images, masks = five_frames(name, TRAIN_SEED + 100 * draw)
                features = cache.encode(images)
                seven = add_class(six, network, name, features, masks, steps)
                values.append(own_iou(seven, network, held, cache, name))
            own[f"five frames, {steps} steps"] = values
        found[name] = own
        print(name, json.dumps(own), flush=True)
    return found | {"machine": machine_record(network)}


def five_frames(name: str, seed: int) -> tuple[list[NDArray[np.uint8]], torch.Tensor]:
    """The first training scenes from a seed on which enough of a class shows, and where it is."""
    number = LOOKALIKES.index(name) + 1
    images: list[NDArray[np.uint8]] = []
    masks = []
    while len(images) < FRAMES:
        clip = lookalike_scene(seed, 1)
        seed += 1
        mask = class_map(clip)[0] == number
        if mask.mean() >= LEAST:
            images.append(clip.images[0])
            masks.append(torch.from_numpy(mask))
    return images, torch.stack(masks)


@torch.no_grad()
def own_iou(model: ClassModel, network: Network, clips: Sequence[Clip], cache: EmbeddingCache, name: str) -> float:
    """The mean IoU of a class's mask over the frames that show it."""
    shown = input_of(network.config)
    [index] = model.config.numbers([name])
    values = []
    for clip in clips:
        truth = class_map(clip) == LOOKALIKES.index(name) + 1
        for image, mask in zip(clip.images, truth, strict=True):
            if mask.any():
                answer = model.masks(network, cache.read(cache.add([image])), [index])
                found = (shown.to_frame(answer.logits[0].float(), mask.shape) > 0)[0].cpu().numpy()
                values.append((found & mask).sum() / (found | mask).sum())
    return float(np.mean(values))


@torch.no_grad()
def confused(plan: Plan, out: Path, weights: str) -> dict[str, Any]:
    """The IoU with a class's truth of what its own name finds, and of what the names of absent classes find there."""
    network = frozen_network(recipe_of(FIRST, 0, plan, out / "features", weights))
    cache = cache_of(network, out / "features")
    shown = input_of(network.config)
    held = rendered(plan.held_out, plan.clips, plan.frames)
    figures: dict[str, Any] = {}
    for condition in CONDITIONS:
        model = open_class_model(folder_of(out, condition, 0) / WEIGHTS, network)
        own: list[float] = []
        others: list[float] = []
        for clip in held:
            for image, truth in zip(clip.images, class_map(clip), strict=True):
                there = {int(number) - 1 for number in np.unique(truth) if number}
                if not there:
                    continue
                answer = model.masks(network, cache.read(cache.add([image])), range(7))
                masks = (shown.to_frame(answer.logits[0].float(), truth.shape) > 0).cpu().numpy()
                for number in there:
                    mask = truth == number + 1
                    values = [float((found & mask).sum() / (found | mask).sum()) for found in masks]
                    own.append(values[number])
                    others.append(float(np.mean([value for one, value in enumerate(values) if one not in there])))
        figures[condition] = {"own name": float(np.mean(own)), "absent classes' names": float(np.mean(others))}
        print(condition, json.dumps(figures[condition]), flush=True)
    return figures | {"machine": machine_record(network)}


def tracked(plan: Plan, out: Path, weights: str) -> dict[str, Any]:
    """Classes found by name over clips: frame by frame, and as masklets with memory."""
    network = frozen_network(recipe_of(FIRST, 0, plan, out / "features", weights))
    cache = cache_of(network, out / "features")
    model = open_class_model(folder_of(out, FIRST, 0) / WEIGHTS, network)
    calibrate_on(model, network, rendered(plan.tuned, plan.tuned_clips, plan.frames), cache)
    tables: dict[str, list[NDArray[np.bool_]]] = {"frame by frame": [], "tracked": [], "truth": []}
    for number in range(CLIPS):
        clip = lookalike_scene(plan.held_out + 50_000 + number, LENGTH)
        truth = class_map(clip)
        tables["truth"].append(np.stack([[(one == k).any() for k in range(1, 8)] for one in truth]))
        with torch.inference_mode():
            features = cache.encode(list(clip.images))
            answers = model.masks(network, features, range(7))
            found = believed(model, features, answers, range(7)).logits > 0
            tables["frame by frame"].append(found.flatten(2).any(-1).cpu().numpy())
        tables["tracked"].append(np.stack(list(_by_name(network, model, clip))))
        print(number, {name: int(rows[-1].sum()) for name, rows in tables.items()}, flush=True)
    there = np.stack(tables.pop("truth"))  # (clips, frames, classes)
    figures: dict[str, Any] = {"clips": CLIPS, "frames": LENGTH}
    for name, rows in tables.items():
        found = np.stack(rows)
        never: NDArray[np.bool_] = np.logical_not(np.any(there, axis=1))
        ever: NDArray[np.bool_] = np.asarray(np.any(found, axis=1))
        figures[name] = {
            "absent class on a frame found": float(found[~there].mean()),
            "shown class on a frame found": float(found[there].mean()),
            "class that a clip never shows found in it": float(ever[never].mean()),
            "class that a clip shows found in it": float(ever[~never].mean()),
        }
    return figures | {"machine": machine_record(network)}


def _by_name(network: Network, model: ClassModel, clip: Clip) -> Iterator[NDArray[np.bool_]]:
    """(classes,) of each frame: whether a masklet of the class is seen."""
    session = Session(
        network, ArraySource(clip.images, clip.name), load_memory("recent"), prompter=ClassFinder(model, network)
    )
    rows = np.zeros((len(clip.images), len(LOOKALIKES)), np.bool_)
    for answer in session.propagate():
        for number, mask in answer.masks.items():
            if mask.any():
                rows[answer.frame, LOOKALIKES.index(session.found[number].name)] = True
    session.close()
    yield from rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["added", "tracked", "confused"])
    parser.add_argument("--out", type=Path, required=True, help="the comparison's folder")
    parser.add_argument("--plan", choices=list(PLANS), default="frozen")
    parser.add_argument("--weights", default="published", help="nano's weights file (the one in the package)")
    parser.add_argument("--write", type=Path, help="figures as JSON")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    steps = {"added": added, "tracked": tracked, "confused": confused}
    result = steps[given.step](PLANS[given.plan], given.out / given.plan, given.weights)
    print(json.dumps(result, indent=1))
    if given.write:
        write_run_record(given.write, result)


if __name__ == "__main__":
    main()
