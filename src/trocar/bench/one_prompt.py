"""One-prompt segmentation of image sets: a few prompted templates, and all other images from memory (Zhu et al. 2024).

A draw is an order of all images, by chance; its first 1, 3, 5 images are the templates, prompted with the true mask or
its tight box, and the others are visited in that order. Every setting of a draw is scored on the same images: those
after the largest number of templates. Beside it stand what needs no memory, each image prompted with its own tight box
(an upper reference, since it sees every image's truth), and what is trivial: the pixels that most of the templates'
masks cover, on every image, and a box of half the sides in the middle, put to the network.

`run_wbc` does so on white blood cells (Zheng et al. 2018, data set 1): evaluation only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from trocar.bench.machine import machine_record
from trocar.datasets import wbc
from trocar.datasets.location import locate
from trocar.frames import Frame
from trocar.geometry import Geometry
from trocar.load import load_memory
from trocar.masks import FrameMasks
from trocar.memory import NoMemory
from trocar.metrics import dice
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures
from trocar.prompts import Box, MaskPrompt, Prompt, tight_box
from trocar.track.features import Features
from trocar.track.session import Session

Mask = NDArray[np.bool_]
Report = Callable[[str], object]
NUCLEUS, CELL = wbc.CLASSES[1], wbc.CLASSES[2]


@dataclass(frozen=True)
class OnePromptOptions:
    """What is scored.

    Args:
        templates: how many prompted images.
        draws: how many orders of the images, each by its own seed.
        prompts: what a template is prompted with.
        memories: memory policies, by the name that the figures give them.
        images: only so many of the images, the first; None for all.
        seed: of the first draw.
    """

    templates: tuple[int, ...] = (1, 3, 5)
    draws: int = 5
    prompts: tuple[Literal["mask", "box"], ...] = ("mask", "box")
    memories: tuple[tuple[str, str], ...] = (
        ("templates alone", "self_sorting:bank=0"),
        ("growing bank", "self_sorting"),
    )
    images: int | None = None
    seed: int = 0


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image and what is to be found on it.

    Args:
        name: says which.
        image: (rows, columns, 3) uint8 RGB.
        truths: target -> (rows, columns) bool; none is empty.
    """

    name: str
    image: NDArray[np.uint8]
    truths: Mapping[str, Mask]


class Drawn:
    """Some images in some order, as a source."""

    ordered = False
    rate_hz: float | None = None

    def __init__(self, images: Sequence[LabelledImage], order: Sequence[int]) -> None:
        self.name = "image set"
        self._images = [images[place] for place in order]
        self.geometries = tuple(Geometry((one.image.shape[0], one.image.shape[1])) for one in self._images)
        self.geometry = self.geometries[0]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Frame:
        return Frame(index, self._images[index].image, name=self._images[index].name)


def run_wbc(
    network: Network,
    data_folder: Path | None,
    options: OnePromptOptions | None = None,
    report: Report = lambda message: None,
) -> dict[str, Any]:
    """One-prompt Dice of nucleus and whole cell on data set 1 of the white blood cells, as plain data.

    Args:
        network: what is scored.
        data_folder: holds wbc/dataset1/ with NNN.image.png and NNN.label.png (0 background, 128 cytoplasm, 255
            nucleus); None for the folder that TROCAR_DATA names.
        options: what is scored on.
        report: told what is being done.

    Raises:
        FileNotFoundError: no such images there.
    """
    options = options or OnePromptOptions()
    images = list(read_wbc(locate("wbc/dataset1", data_folder)))[: options.images]
    return {"protocol": "wbc", **score_one_prompt(network, images, options, report)}


def read_wbc(folder: Path) -> Iterator[LabelledImage]:
    """The images of one of the data sets of white blood cells, by number."""
    cases = list(wbc.cells(folder, folder.name))
    if not cases:
        raise FileNotFoundError(f"{folder} holds no NNN.label.png: put the white blood cells of Zheng et al. there")
    for case in cases:
        truth = case.truth(0)
        assert truth is not None
        masks = {case.objects[number]: mask for number, mask in truth.masks.items()}
        yield LabelledImage(case.name.rpartition("/")[2], case.open()[0].image, masks)


def score_one_prompt(
    network: Network, images: Sequence[LabelledImage], options: OnePromptOptions, report: Report = lambda message: None
) -> dict[str, Any]:
    """Mean Dice by setting: the mean over draws, and their standard deviation, least and largest.

    Raises:
        ValueError: there are not more images than templates.
    """
    most = max(options.templates)
    if len(images) <= most:
        raise ValueError(f"{len(images)} images are too few for {most} templates and something to score: give more")
    orders = [
        np.random.default_rng([11, options.seed + draw]).permutation(len(images)) for draw in range(options.draws)
    ]
    with torch.inference_mode():
        seen = Features(network, Drawn(images, range(len(images))), network.config.image_size, keep=len(images))
        rows = []
        for name, spec in options.memories:
            draws = []
            for number, order in enumerate(orders):
                report(f"{name}: draw {number + 1} of {len(orders)}")
                draws.append(_from_templates(network, images, order.tolist(), spec, options, seen))
            rows += [_row(f"memory, {name}", key, [draw[key] for draw in draws]) for key in draws[0]]
        pasted = [_pasted(images, order.tolist(), options.templates) for order in orders]
        rows += [_row("templates' mask pasted", key, [draw[key] for draw in pasted]) for key in pasted[0]]
        for name, prompt in (("own box, no memory", tight_box), ("box in the middle, no memory", _middle_box)):
            report(name)
            dices = _one_by_one(network, images, prompt, seen)
            for target, found in dices.items():
                scored = [Scores([found[place] for place in order[most:]]) for order in orders]
                rows.append(_row(name, (target, "box", 0), scored))
    return {
        "images": len(images),
        "scored_images": len(images) - most,
        "draws": options.draws,
        "seed": options.seed,
        "memories": dict(options.memories),
        "machine": machine_record(network),
        "rows": rows,
    }


@dataclass(frozen=True)
class Scores:
    """Dice of the scored images in the order visited, and how confident each was said to be."""

    dices: list[float]
    confidences: list[float] | None = None


Key = tuple[str, str, int]  # target, prompt, templates


def _from_templates(
    network: Network,
    images: Sequence[LabelledImage],
    order: list[int],
    memory: str,
    options: OnePromptOptions,
    seen: Callable[[int], ImageFeatures],
) -> dict[Key, Scores]:
    """All settings of a draw in one pass: each is an object of its own, and objects leave one another alone."""
    session = Session(network, Drawn(images, order), load_memory(memory), features=lambda frame: seen(order[frame]))
    targets = list(images[0].truths)
    keys = [(target, prompt, count) for target in targets for prompt in options.prompts for count in options.templates]
    for number, (target, kind, count) in enumerate(keys, start=1):
        for frame in range(count):
            truth = images[order[frame]].truths[target]
            prompt: Prompt = MaskPrompt(truth) if kind == "mask" else tight_box(truth)
            session.add(prompt, frame=frame, object_id=number)
    found: dict[Key, Scores] = {key: Scores([], []) for key in keys}
    for masks in session.propagate():
        if masks.frame < max(options.templates):
            continue
        for number, key in enumerate(keys, start=1):
            _note(found[key], images[order[masks.frame]].truths[key[0]], masks, number)
    session.close()
    return found


def _note(scores: Scores, truth: Mask, masks: FrameMasks, object_id: int) -> None:
    scores.dices.append(dice(masks.masks[object_id], truth).value)
    if scores.confidences is not None:
        scores.confidences.append(masks.scores[object_id])


def _one_by_one(
    network: Network,
    images: Sequence[LabelledImage],
    prompt: Callable[[Mask], Prompt],
    seen: Callable[[int], ImageFeatures],
) -> dict[str, list[float]]:
    """Dice of every image from a prompt of its own."""
    found: dict[str, list[float]] = {target: [] for target in images[0].truths}
    session = Session(network, Drawn(images, range(len(images))), NoMemory(), features=seen)
    for place, image in enumerate(images):
        for target, truth in image.truths.items():
            answer = session.add(prompt(truth), frame=place).masks[1]
            found[target].append(dice(answer, truth).value)
            session.remove(1)
    session.close()
    return found


def _middle_box(truth: Mask) -> Box:
    rows, columns = truth.shape
    return Box(columns / 4, rows / 4, columns * 3 / 4, rows * 3 / 4)


def _pasted(images: Sequence[LabelledImage], order: list[int], templates: Iterable[int]) -> dict[Key, Scores]:
    """The pixels that at least half of the templates' masks cover, stretched to each image."""
    side = 256
    found: dict[Key, Scores] = {}
    for target in images[0].truths:
        for count in templates:
            masks = [images[place].truths[target].astype(np.float32) for place in order[:count]]
            mean = np.mean([cv2.resize(mask, (side, side)) for mask in masks], axis=0)
            truths = [images[place].truths[target] for place in order[max(templates) :]]
            pasted = [cv2.resize(mean, truth.shape[::-1]) >= 0.5 for truth in truths]
            found[target, "mask", count] = Scores(
                [dice(mask, truth).value for truth, mask in zip(truths, pasted, strict=True)]
            )
    return found


def _row(method: str, key: Key, draws: Sequence[Scores]) -> dict[str, Any]:
    means = [float(np.mean(draw.dices)) for draw in draws]
    target, prompt, count = key
    row: dict[str, Any] = {"method": method, "target": target, "prompt": prompt, "templates": count}
    row |= {
        "dice": round(float(np.mean(means)), 4),
        "sd_of_draws": round(float(np.std(means, ddof=1)), 4) if len(means) > 1 else None,
        "least": round(min(means), 4),
        "largest": round(max(means), 4),
    }
    confidences = [value for draw in draws for value in draw.confidences or ()]
    if confidences:
        row |= _told(confidences, [value for draw in draws for value in draw.dices])
    return row


def _told(confidences: Sequence[float], dices: Sequence[float]) -> dict[str, Any]:
    """Whether confidence tells good masks from bad ones: rank correlation, and Dice of the least confident tenth."""
    least = np.argsort(confidences, kind="stable")[: max(1, len(confidences) // 10)]
    varied = len(set(confidences)) > 1 and len(set(dices)) > 1
    return {
        "rank_correlation": round(float(spearmanr(confidences, dices).statistic), 3) if varied else None,
        "dice_of_least_confident_tenth": round(float(np.mean(np.asarray(dices)[least])), 4),
    }
