"""Scenes that ask what was remembered while the view changes: a zoom, a shuffled image set, a volume from all sides."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.absence_scenes import TARGET, Recorder, RememberingScene, Sprite, drifting_sprites
from trocar.datasets.canvas import Canvas
from trocar.datasets.cell_scenes import smear_clip
from trocar.datasets.instruments import Picture, placed
from trocar.datasets.optics import wander
from trocar.datasets.shapes import any_shape, rotated
from trocar.datasets.texture import TISSUES, varied
from trocar.datasets.volume_scenes import volume

Image = NDArray[np.uint8]
FIRST_SEED = 700_000_000  # of clips made by other renderers, far from the seeds of training and of model cards
HOLD, TRAVEL = 8, 12  # frames of a zoom: at either end, on either way
NEAR, FAR = 0.4, 5.5  # pixels of the canvas that a pixel of the frame sees
IMAGES = 24  # of an image set
SLICES = 32  # of a volume that are visited along each axis
LEAST_AREA = 1 / 250  # of the picture: what the target of a volume or an image set shows on the prompted frame
MOST_AREA = 1 / 8


def zoom_scene(seed: int, size: int = 256) -> RememberingScene:
    """The camera draws back until the target is a few pixels across, and comes close again, turned."""
    rng = np.random.default_rng([43, seed])
    names = list(TISSUES)
    backdrop = TISSUES[names[rng.integers(len(names))]]
    canvas = Canvas(rng, 4 * size, varied(rng, backdrop))
    for _ in range(8):
        mask = any_shape(rng, canvas.side, rng.uniform(0.1, 0.9, 2) * canvas.side, size * rng.uniform(0.3, 1.0))
        canvas.paint(mask, varied(rng, TISSUES[names[rng.integers(len(names))]]), 0)
    canvas.unify()
    [sprite] = drifting_sprites(rng, size, backdrop, 1, 0.2 * size)
    view = _ZoomedView(rng, canvas, sprite)
    recorder = Recorder(rng, (43, seed), size)
    length = 3 * HOLD + 2 * TRAVEL

    def paint(frame: int) -> Picture:
        away = np.clip([(frame - HOLD + 1) / TRAVEL, (length - HOLD - frame) / TRAVEL], 0, 1).min()
        picture = view.shot(NEAR * (FAR / NEAR) ** float(away), frame)
        return Picture(recorder.shot(picture.image, frame, 2.0 * frame, frame / length), picture.labels)

    return RememberingScene(f"zoom-{seed}", paint, length, size, range(2 * HOLD + TRAVEL, length))


class _ZoomedView:
    """A camera above a large canvas on whose middle the target lies."""

    def __init__(self, rng: np.random.Generator, canvas: Canvas, sprite: Sprite) -> None:
        self._size, self._middle = canvas.size // 4, np.full(2, canvas.side / 2)
        self._levels = [np.clip(canvas.surface[..., :3], 0, 255).astype(np.uint8)]
        for _ in range(round(np.log2(FAR))):  # smaller copies, from which a distant view is taken without aliases
            self._levels.append(np.asarray(cv2.pyrDown(self._levels[-1]), np.uint8))
        self._sprite = sprite
        self._sway = wander(rng, 0.04 * self._size, 40), wander(rng, 0.04 * self._size, 40)
        self._turn, self._spin = rng.uniform(0, 2 * np.pi), rng.choice([-1, 1]) * rng.uniform(0.01, 0.03)

    def shot(self, scale: float, frame: int) -> Picture:
        """The view in which a pixel of the frame sees `scale` pixels of the canvas."""
        half, angle = np.full(2, self._size / 2), self._spin * frame
        sway = np.array([motion(frame) for motion in self._sway])
        axes = rotated(np.eye(2), angle).T * scale  # frame to canvas
        level = int(np.clip(np.round(np.log2(scale)), 0, len(self._levels) - 1))
        to_canvas = np.hstack([axes, (self._middle + sway - axes @ half)[:, None]]) / 2**level
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        side = (self._size, self._size)
        image = cv2.warpAffine(self._levels[level], to_canvas, side, flags=how, borderMode=cv2.BORDER_REFLECT_101)
        picture = Picture(np.asarray(image, np.uint8), np.zeros(side, np.uint8))
        shrunk, k = self._sprite.image, NEAR / scale
        if k < 1:
            shrunk = np.asarray(cv2.resize(shrunk, None, fx=k, fy=k, interpolation=cv2.INTER_AREA), np.uint8)
        anchor = (self._sprite.anchor[0] * k, self._sprite.anchor[1] * k)
        at = half - np.linalg.solve(axes, sway)
        picture.paste(shrunk, placed(anchor, at, self._turn - angle), TARGET)
        return picture


def unordered_scene(seed: int, size: int = 256) -> RememberingScene:
    """An image set in no order, of which one image is prompted: white blood cells' nuclei, or slices of an organ."""
    if seed % 2 == 0:
        clip = smear_clip(FIRST_SEED + seed, IMAGES, size)
        images, objects = clip.images, clip.labels == 1
    else:
        grey, objects = _organ(seed, IMAGES, size)
        images = np.repeat(grey[..., None], 3, axis=3)
    template = int(objects.sum((1, 2)).argmax())
    order = np.random.default_rng([44, seed]).permutation(IMAGES).tolist()
    order = [template] + [index for index in order if index != template]

    def paint(frame: int) -> Picture:
        return Picture(images[order[frame]], objects[order[frame]].astype(np.uint8))

    return RememberingScene(f"unordered-{seed}", paint, IMAGES, size)


def volume_scene(seed: int, size: int = 256) -> RememberingScene:
    """A CT-like volume seen in six directions one after the other: along each axis, from an organ's middle each way.

    The first frame is the axial slice in the organ's middle; frames of the later directions count as its return.
    """
    grey, organ = _organ(seed, 2 * SLICES, size)
    stops: list[tuple[int, int]] = []  # (axis, index)
    for axis in range(3):
        up, down = _both_ways(organ, axis)
        stops += [(axis, index) for index in up + down]
        if axis == 0:
            first = len(up)

    def paint(frame: int) -> Picture:
        axis, index = stops[frame]
        # Across the slices a volume is coarser: coronal and sagittal views are stretched to the frame.
        image = _square(np.moveaxis(grey, axis, 0)[index], size, cv2.INTER_LINEAR)
        labels = _square(np.moveaxis(organ, axis, 0)[index].astype(np.uint8), size, cv2.INTER_NEAREST)
        return Picture(np.repeat(image[..., None], 3, axis=2), labels)

    return RememberingScene(f"volume-{seed}", paint, len(stops), size, range(first, len(stops)))


def _square(image: Image, size: int, how: int) -> Image:
    return np.asarray(cv2.resize(image, (size, size), interpolation=how), np.uint8)


def _both_ways(organ: NDArray[np.bool_], axis: int) -> tuple[list[int], list[int]]:
    """Slices along an axis through the organ and a quarter of its extent around it: from its middle up, then down."""
    shown = np.flatnonzero(organ.any(axis=tuple(other for other in range(3) if other != axis)))
    margin = int(shown[-1] - shown[0]) // 4 + 1
    low, high = max(0, int(shown[0]) - margin), min(organ.shape[axis] - 1, int(shown[-1]) + margin)
    picks = sorted(set(np.linspace(low, high, SLICES).round().astype(int).tolist()))
    hit = [place for place, index in enumerate(picks) if index in shown]
    middle = hit[len(hit) // 2]
    return picks[middle:], picks[:middle][::-1]


def _organ(seed: int, slices: int, size: int) -> tuple[Image, NDArray[np.bool_]]:
    """Grey levels (slices, size, size) of a CT-like volume and where its target is: the largest organ that lies
    within every slice and has a border that can be seen. Volumes without one are passed over."""
    for attempt in range(100):
        made = volume(FIRST_SEED + seed + 10_000 * attempt, slices, size, "ct")
        centre, width = made.window
        grey = np.clip((made.array - np.float32(centre - width / 2)) * np.float32(255 / width), 0, 255)
        grey = grey.astype(np.uint8)
        for name in np.bincount(made.labels.ravel()).argsort()[::-1].tolist():
            organ = made.labels == name
            area = organ.sum((1, 2))
            largest = int(area.argmax())
            fits = LEAST_AREA < area[largest] / size**2 < MOST_AREA
            whole = not organ[:, [0, -1]].any() and not organ[..., [0, -1]].any()
            if name and fits and whole and _seen_border(grey[largest], organ[largest]) > 0.9:
                return grey, organ
    raise ValueError(f"no volume with an organ that stands out was found for seed {seed}: use another seed")


def _seen_border(image: Image, mask: NDArray[np.bool_]) -> float:
    """The share of the surroundings of a mask that differ from its inside by 25 grey levels or more."""
    smooth = cv2.GaussianBlur(image, (0, 0), len(image) / 128)
    inside = mask.astype(np.uint8)
    ring = cv2.dilate(inside, np.ones((9, 9), np.uint8)) - cv2.dilate(inside, np.ones((3, 3), np.uint8)) > 0
    return float((np.abs(smooth[ring].astype(int) - np.median(smooth[mask])) >= 25).mean())
