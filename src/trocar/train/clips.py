"""From footage to training samples: which frames, which objects, how they are changed, as tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.datasets import Clip
from trocar.model.config import NetworkConfig
from trocar.track.features import NetworkInput, input_of
from trocar.train.augment import Augment, FrameChange, Scope, draw_augmentation, warp_labels
from trocar.train.footage import UNNAMED, ClipFootage, Footage, LabelledFrame
from trocar.train.plan import ClipPlan, PlanSettings, draw_plan
from trocar.train.recipe import Recipe, Stage

Mask = NDArray[np.bool_]

SMALLEST_SHARE = 0.0004  # of the picture: smaller objects are not asked for
TRIES = 160  # samples without an object before training is given up
TASK_TRIES = 20  # frames that are tried where an object of one class is wanted
IMAGE = PlanSettings(frames=1)


@dataclass(frozen=True, eq=False)
class Drawn:
    """Footage that was drawn for a sample.

    Args:
        open: gives it.
        wanted: the class of the objects that the sample is for; "" for any.
        tell: is told when it cannot be read, and other footage is drawn; without it the error is raised.
    """

    open: Callable[[], Footage]
    wanted: str = ""
    tell: Callable[[Exception], None] | None = None


Draw = Callable[[np.random.Generator], Clip | Footage | Drawn]


@dataclass(frozen=True)
class Draws:
    """Two ways to draw: for steps on images and for steps on clips."""

    images: Draw
    clips: Draw

    def __call__(self, rng: np.random.Generator) -> Clip | Footage | Drawn:
        return self.images(rng)


@dataclass(frozen=True, eq=False)
class Sample:
    """T frames and K objects to be found in them, all visible in the first frame.

    Args:
        images: (T, 3, S, S) normalised.
        masks: (K, T, S, S) bool.
        valid: (T, S, S) bool, False where there is no truth.
        names: the K objects' classes, "" where nobody says.
        plan: what the T frames are for.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor
    names: tuple[str, ...]
    plan: ClipPlan


@dataclass(frozen=True)
class SampleShape:
    """What a sample looks like.

    Args:
        side: in pixels.
        plan: which frames; of one frame: an image.
        objects: most objects.
        part_share: share of an image's objects that are cut to one connected part.
        without: names of classes that no object is of.
        augment: how it is changed.
        input: how pixels become the network's input.
    """

    side: int
    plan: PlanSettings = IMAGE
    objects: int = 1
    part_share: float = 0.0
    without: tuple[str, ...] = ()
    augment: Augment = field(default_factory=Augment)
    input: type[NetworkInput] = NetworkInput


def step_shape(
    recipe: Recipe, stage: Stage, clips: bool, config: NetworkConfig, rng: np.random.Generator
) -> SampleShape:
    """The shape of all samples of one step on images or on clips."""
    kind = type(input_of(config))
    looks = (recipe.sampling.without, recipe.augment, kind)
    if not clips:
        return SampleShape(stage.side, IMAGE, stage.rows, recipe.prompts.part_share, *looks)
    return SampleShape(stage.clip_side, recipe.plan.for_step(stage.frames, rng), stage.objects, 0.0, *looks)


def draw_sample(draw: Draw, rng: np.random.Generator, shape: SampleShape) -> Sample:
    """Draw footage until it shows an object.

    Raises:
        ValueError: many draws in a row showed none.
    """
    if isinstance(draw, Draws):
        draw = draw.clips if shape.plan.frames > 1 else draw.images
    for _ in range(TRIES):
        drawn = draw(rng)
        try:
            sample = _from_drawn(drawn, rng, shape) if isinstance(drawn, Drawn) else make_sample(drawn, rng, shape)
        except (ValueError, OSError) as error:
            if not isinstance(drawn, Drawn) or drawn.tell is None:
                raise
            drawn.tell(error)
            continue
        if sample is not None:
            return sample
    raise ValueError("the training clips show hardly any objects: check the labels of the sources in [data]")


def _from_drawn(drawn: Drawn, rng: np.random.Generator, shape: SampleShape) -> Sample | None:
    """A sample of what was drawn; where a class is wanted, several frames are tried, lest rare ones come too seldom."""
    footage = drawn.open()
    for _ in range(TASK_TRIES if drawn.wanted else 1):
        sample = make_sample(footage, rng, shape, drawn.wanted)
        if sample is not None:
            return sample
    return None


def make_sample(clip: Clip | Footage, rng: np.random.Generator, shape: SampleShape, wanted: str = "") -> Sample | None:
    """A sample, or None where the first frame shows no object (of the wanted class) after the change of geometry.

    Raises:
        UnfitCase: the plan does not fit footage of this length or order.
        FileNotFoundError, ValueError: a frame cannot be read.
    """
    footage = ClipFootage(clip) if isinstance(clip, Clip) else clip
    plan = draw_plan(shape.plan, len(footage), footage.ordered, rng)
    read = {place: footage.frame(place) for place in set(plan.frames)}
    frames = [read[place] for place in plan.frames]
    names = footage.names
    asked = None
    if wanted or shape.without:
        asked = frozenset(
            number for number, name in names.items() if name not in shape.without and wanted in ("", name)
        )
    labels = frames[0].labels
    input_ = shape.input(shape.side)
    sizes = [_canvas(frame.labels, input_) for frame in frames]
    focus = _focus(labels, rng, asked)
    changes = draw_augmentation(shape.augment, rng, Scope(sizes, shape.side, focus, plan.still))
    warped = np.stack(
        [warp_labels(frame.labels, one.matrix, shape.side) for frame, one in zip(frames, changes, strict=True)]
    )
    chosen = choose_objects(warped, rng, shape, asked)
    if not chosen:
        return None
    masks = _masks(chosen, warped, frames, changes)
    if len(frames) == 1:
        for index in np.flatnonzero(rng.random(len(masks)) < shape.part_share):
            masks[index, 0] = _one_part(masks[index, 0], rng, _smallest(warped))
    images = [
        input_.pixels(one.picture(frame.image, input_.ground, shape.side, rng))
        for frame, one in zip(frames, changes, strict=True)
    ]
    classes = tuple("" if names.get(one, "") in UNNAMED else names[one] for one in chosen)
    valid = torch.from_numpy(_valid(warped, frames, changes))
    return Sample(torch.stack(images), torch.from_numpy(masks), valid, classes, plan)


def _canvas(labels: NDArray[np.uint16], shown: NetworkInput) -> tuple[int, int]:
    """(rows, columns) of what fills the network's input, in the frame's pixels: the frame, or it and what pads it."""
    rows, columns = (int(length) for length in labels.shape)
    down, right = shown.extent((rows, columns))
    return round(rows * shown.side / down), round(columns * shown.side / right)


def choose_objects(
    labels: NDArray[np.uint16], rng: np.random.Generator, shape: SampleShape, asked: frozenset[int] | None = None
) -> list[int]:
    """Ids of objects visible in the first of the (T, S, S) frames; with `asked`, of these alone.

    With one frame they are `shape.objects`, and an object may come more than once; in clips all are different.
    """
    area = np.bincount(labels[0].ravel())[1:]
    known = np.flatnonzero(area >= _smallest(labels)) + 1
    if asked is not None:
        known = known[[int(one) in asked for one in known]] if len(known) else known
    if not len(known):
        return []
    chosen = list(rng.choice(known, size=min(shape.objects, len(known)), replace=False))
    if len(labels) == 1:
        chosen += list(rng.choice(known, size=shape.objects - len(chosen)))
    return [int(one) for one in chosen]


def _smallest(labels: NDArray[np.uint16]) -> float:
    return float(max(SMALLEST_SHARE * labels[0].size, 8))


def _masks(
    chosen: Sequence[int],
    warped: NDArray[np.uint16],
    frames: Sequence[LabelledFrame],
    changes: Sequence[FrameChange],
) -> Mask:
    """(K, T, S, S) whole masks of the chosen objects."""
    masks = np.stack([warped == one for one in chosen])
    for place, (frame, change) in enumerate(zip(frames, changes, strict=True)):
        for index, one in enumerate(chosen):
            if one in frame.covered:
                whole = frame.covered[one].astype(np.uint8)
                masks[index, place] = warp_labels(whole, change.matrix, warped.shape[-1]) > 0
    return masks


def _valid(warped: NDArray[np.uint16], frames: Sequence[LabelledFrame], changes: Sequence[FrameChange]) -> Mask:
    valid = np.ones(warped.shape, bool)
    for place, (frame, change) in enumerate(zip(frames, changes, strict=True)):
        if frame.ignore is not None:
            valid[place] = warp_labels(frame.ignore.astype(np.uint8), change.matrix, warped.shape[-1]) == 0
    return valid


def _one_part(mask: Mask, rng: np.random.Generator, smallest: float) -> Mask:
    """One of the connected parts of a mask that are large enough; the whole mask if there is none."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = [part for part in range(1, count) if stats[part, cv2.CC_STAT_AREA] >= smallest]
    return np.asarray(parts == large[int(rng.integers(len(large)))], np.bool_) if large else mask


def _focus(
    labels: NDArray[np.uint16], rng: np.random.Generator, asked: frozenset[int] | None
) -> tuple[float, float] | None:
    """A pixel (x, y) of a random object; sometimes, and where there is none, no point in particular."""
    known = np.unique(labels[::4, ::4])
    known = known[[int(one) > 0 and (asked is None or int(one) in asked) for one in known]]
    if not len(known) or rng.random() < 0.2:
        return None
    places = np.flatnonzero(labels[::4, ::4] == rng.choice(known))
    row, column = divmod(int(places[int(rng.integers(len(places)))]), labels[::4, ::4].shape[1])
    return 4.0 * column + 2, 4.0 * row + 2


def image_batch(samples: Sequence[Sample]) -> Tensor:
    """All frames of all samples, (sum of T, 3, S, S), sample after sample."""
    return torch.cat([sample.images for sample in samples])
