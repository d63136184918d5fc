"""One-prompt segmentation of image sets: a few prompted templates, and all other images from memory (Zhu et al. 2024).

A draw is an order of all images, by chance; its first 1, 3, 5 images are the templates, prompted with the true mask or
its tight box, and the others are visited in that order. Every setting of a draw is scored on the same images: those
after the largest number of templates. Beside it stand what needs no memory, each image prompted with its own tight box
(an upper reference, since it sees every image's truth), and what is trivial: the pixels that most of the templates'
masks cover, on every image, and a box of half the sides in the middle, put to the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

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


@dataclass(frozen=True)
class OnePromptOptions:
    """What is scored.

    Args:
        templates: how many prompted images.
        draws: how many orders of the images, each by its own seed.
        prompts: what a template is prompted with.
        memories: memory policies, by the name that the figures give them.
        seed: of the first draw.
    """

    templates: tuple[int, ...] = (1, 3, 5)
    draws: int = 5
    prompts: tuple[Literal["mask", "box"], ...] = ("mask", "box")
    memories: tuple[tuple[str, str], ...] = (
        ("templates alone", "self_sorting:bank=0"),
        ("growing bank", "self_sorting"),
    )
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


def score_one_prompt(
    network: Network, images: Sequence[LabelledImage], options: OnePromptOptions
) -> dict[tuple[str, Key], list[Scores]]:
    """(method, setting) -> the scores of each draw.

    Raises:
        ValueError: there are not more images than templates.
    """
    most = max(options.templates)
    if len(images) <= most:
        raise ValueError(f"{len(images)} images are too few for {most} templates and something to score: give more")
    orders = [
        np.random.default_rng([11, options.seed + draw]).permutation(len(images)) for draw in range(options.draws)
    ]
    scores: dict[tuple[str, Key], list[Scores]] = {}
    with torch.inference_mode():
        seen = Features(network, Drawn(images, range(len(images))), network.config.image_size, keep=len(images))
        for order in orders:
            for name, spec in options.memories:
                for key, found in _from_templates(network, images, order.tolist(), spec, options, seen).items():
                    scores.setdefault((f"memory, {name}", key), []).append(found)
            for key, found in _pasted(images, order.tolist(), options.templates).items():
                scores.setdefault(("templates' mask pasted", key), []).append(found)
        for name, prompt in (("own box, no memory", tight_box), ("box in the middle, no memory", _middle_box)):
            for target, dices in _one_by_one(network, images, prompt, seen).items():
                rest = [Scores([dices[place] for place in order[most:]]) for order in orders]
                scores[name, (target, "box", 0)] = rest
    return scores


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


def told(draws: Sequence[Scores]) -> dict[str, float]:
    """Whether confidence tells good masks from bad ones: rank correlation, and Dice of the least confident tenth.

    Of all images of all draws; {} where no confidence was noted, and NaN where nothing varies.
    """
    confidences = [value for draw in draws for value in draw.confidences or ()]
    if not confidences:
        return {}
    dices = [value for draw in draws for value in draw.dices]
    least = np.argsort(confidences, kind="stable")[: max(1, len(confidences) // 10)]
    varied = len(set(confidences)) > 1 and len(set(dices)) > 1
    return {
        "rank correlation": float(spearmanr(confidences, dices).statistic) if varied else math.nan,
        "Dice of least confident tenth": float(np.mean(np.asarray(dices)[least])),
    }
