"""Every figure of a class model's card, from one command; docs/reference/nano-classes.md.

    python scripts/class_card.py --out docs/results/nano-classes.json             held out: once a card
    python scripts/class_card.py --split tune                                       while a recipe is being chosen

Frame by frame: "told" gives a frame's classes as prompts, as SurgicalSAM's release does; "decided" asks for every class
and believes what the model believes. "By name" tracks the classes of a data set through its sequences with
`Session`, as `trocar segment --class` does. All classes that a source labels are counted, absent ones too.
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
from numpy.typing import NDArray

from trocar.bench.class_scenes import figures
from trocar.classprompt import ClassModel, open_class_model
from trocar.classprompt.finder import ClassFinder
from trocar.classprompt.presence import believed
from trocar.classprompt.registry import find_class_model
from trocar.datasets.location import locate
from trocar.formats import write_run_record
from trocar.load import load, load_dataset, load_memory
from trocar.machine import machine_record
from trocar.metrics import endovis
from trocar.model.network import Network
from trocar.settings import read_settings
from trocar.track.features import input_of
from trocar.track.session import Session
from trocar.train.class_prompt_pictures import NO_TRUTH, SCENES, Shots, list_shots
from trocar.train.class_prompt_recipe import ClassData, ClassPromptRecipe

RECIPE = Path(__file__).parents[1] / "recipes" / "nano-classes.toml"
DATASET = "vocalfolds"
SEEDS = {"held_out": 900_000_000, "tune": 800_000_000}
Map = NDArray[np.uint8]
Pair = tuple[Map, Map]  # what is found and what is true, in numbers of classes from 1


def frame_by_frame(model: ClassModel, network: Network, shots: Shots, asked: Sequence[int]) -> dict[str, list[Pair]]:
    """The maps of each frame, told and decided."""
    shown = input_of(network.config, model.config.side)
    pairs: dict[str, list[Pair]] = {"told": [], "decided": []}
    for shot in shots.shots:
        image, labels = shot.read()
        pixels = shown.pixels(image)[None].to(next(network.prompt_encoder.parameters()))
        features = network.encode_image(pixels)
        found = model.masks(network, features, asked)
        there = [place for place, number in enumerate(asked) if (labels == number + 1).any()]
        for name, masks in (("told", found), ("decided", believed(model, features, found, asked))):
            every = (shown.to_frame(masks.logits[0].float(), labels.shape) > 0).numpy()
            places = there if name == "told" else [place for place, mask in enumerate(every) if mask.any()]
            numbers, quality = [asked[place] + 1 for place in places], found.quality[0, places].tolist()
            merged = endovis.merge_classes(list(every[places]), numbers, quality) if places else np.zeros_like(labels)
            pairs[name].append(_known(merged, labels))
    return pairs


def by_name(model: ClassModel, network: Network, data: ClassData, split: str, asked: Sequence[int]) -> Iterator[Pair]:
    """The maps of the annotated frames of each sequence, tracked from its classes' names alone."""
    dataset = load_dataset(DATASET)
    names = model.config.names
    for case in dataset.read(locate(dataset.folder, None), split):
        finder = ClassFinder(model, network, [names[number] for number in asked])
        session = Session(network, case.open(), load_memory("recent"), prompter=finder)
        found: dict[int, Map] = {}
        for answer in session.propagate():
            merged = np.zeros(next(iter(answer.masks.values())).shape, np.uint8) if answer.masks else None
            for number, mask in answer.masks.items():
                assert merged is not None
                merged[mask] = names.index(session.found[number].name) + 1
            if merged is not None:
                found[answer.frame] = merged
        session.close()
        for frame in case.annotated_frames:
            truth = case.truth(frame)
            assert truth is not None
            size = next(iter(truth.masks.values())).shape
            labels = np.zeros(size, np.uint8)
            for number, mask in truth.masks.items():
                name = data.rename.get(case.objects[number], case.objects[number])
                labels[mask] = names.index(name) + 1
            if truth.ignore is not None:
                labels[truth.ignore] = NO_TRUTH
            yield _known(found.get(frame, np.zeros_like(labels)), labels)


def _known(found: Map, labels: Map) -> Pair:
    """Pixels without a truth are ground in both."""
    known = labels != NO_TRUTH
    return np.where(known, found, 0).astype(np.uint8), np.where(known, labels, 0).astype(np.uint8)


def summary(pairs: Sequence[Pair], names: Sequence[str], asked: Sequence[int]) -> dict[str, Any]:
    """ISINet's figures, those of each class, and how often absent and shown classes are found."""
    counted = endovis.count([one for one, _ in pairs], [one for _, one in pairs], len(names))
    counts = np.stack([counted.shared, counted.in_pred, counted.in_gt], axis=1)
    found, true = (counts[:, row][:, list(asked)] > 0 for row in (1, 2))
    each = {names[number]: one.value for number, one in enumerate(endovis.class_ious(counted)) if one.counted}
    return {
        "frames": len(pairs),
        **{name: round(value, 4) for name, value in figures(counts[:, None]).items()},
        "absent class found on a frame": round(float(found[~true].mean()), 4) if (~true).any() else None,
        "shown class found on a frame": round(float(found[true].mean()), 4),
        "IoU of each class": {name: round(value, 4) for name, value in each.items()},
    }


@torch.no_grad()
def card(split: str, scenes: int) -> dict[str, Any]:
    """All figures of a split."""
    network = load("nano", device="cpu")
    model = open_class_model(find_class_model("nano-classes"), network)
    data = read_settings(ClassPromptRecipe, RECIPE).data
    names = model.config.names
    result: dict[str, Any] = {}
    for source in (f"{DATASET}/{split}", *SCENES):
        one = replace(data, sources=(source,), scene_frames=2)
        shots = list_shots(one, [source], scenes, SEEDS[split], names)
        asked = sorted(shots.labelled[source])
        for way, pairs in frame_by_frame(model, network, shots, asked).items():
            result[f"{source}, {way}"] = summary(pairs, names, asked)
            print(source, way, json.dumps(result[f"{source}, {way}"]), flush=True)
        if source not in SCENES:
            result[f"{source}, by name"] = summary(list(by_name(model, network, data, split, asked)), names, asked)
            print(source, "by name", json.dumps(result[f"{source}, by name"]), flush=True)
    return {"split": split, "scene_seed": SEEDS[split], "figures": result, "machine": machine_record(network)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=list(SEEDS), default="held_out")
    parser.add_argument("--scenes", type=int, default=60, help="clips of each kind of scene (60)")
    parser.add_argument("--out", type=Path, help="figures as JSON")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    result = card(given.split, given.scenes)
    if given.out:
        write_run_record(given.out, result)


if __name__ == "__main__":
    main()
