"""Synthetic CT-like and MR-like volumes: trunk, head and heart, with organs and lesions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.datasets.canvas import clip_of
from trocar.datasets.clip import Clip
from trocar.datasets.shapes import fill
from trocar.datasets.texture import Float

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Organ:
    """A closed body in the unit cube (x, y, z): z runs through the slices, 0 to 1.

    Args:
        name: class name; "" for a part that is no object.
        value: mean intensity: HU in CT, 0..1 in MR.
        texture: deviation of its texture, in the same unit.
        middle: its centre (x, y, z).
        radii: half axes (x, y, z) before roughness.
        waves: (2, 7, 3) Fourier terms of its outline at its lower end, middle and upper end: cosine, sine.
        tilt: how far (x, y) its centre moves from end to end.
        turn_rad: rotation within the slice.
    """

    name: str
    value: float
    texture: float
    middle: Vector
    radii: Vector
    waves: NDArray[np.float64]
    tilt: Vector
    turn_rad: float = 0.0

    def outline(self, z: float) -> Vector | None:
        """Its outline (64, 2) in the slice at z, unit coordinates; None where the slice misses it."""
        height = (z - self.middle[2]) / self.radii[2]
        if abs(height) >= 1:
            return None
        angle = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        order = np.arange(2, 9)[:, None] * angle
        ends = self.waves[..., 0] if height < 0 else self.waves[..., 2]
        term = self.waves[..., 1] * (1 - abs(height)) + ends * abs(height)
        reach = 1 + (term[0][:, None] * np.cos(order) + term[1][:, None] * np.sin(order)).sum(0)
        reach = np.clip(reach, 0.3, 1.8) * np.sqrt(1 - height**2)
        points = np.stack([np.cos(angle) * self.radii[0], np.sin(angle) * self.radii[1]], 1) * reach[:, None]
        cos, sin = np.cos(self.turn_rad), np.sin(self.turn_rad)
        points = points @ np.array([[cos, sin], [-sin, cos]])
        return np.asarray(points + self.middle[:2] + self.tilt * height)


class Volume(NamedTuple):
    """A synthetic volume.

    Args:
        array: (slices, rows, columns) intensities: HU for CT, 0..about 1 for MR.
        labels: object ids on the same grid, 0 for background.
        spacing_mm: distance between neighbouring voxels (slices, rows, columns).
        classes: object id -> class name.
        window: (centre, width) of intensities that a reader would look at.
    """

    array: Float
    labels: NDArray[np.uint8]
    spacing_mm: tuple[float, float, float]
    classes: dict[int, str]
    window: tuple[float, float]


class _Sculptor:
    """Draws organs with the variation of one patient."""

    def __init__(self, rng: np.random.Generator, spread: float) -> None:
        self.rng = rng
        self.organs: list[Organ] = []
        self._spread = spread

    def add(
        self,
        name: str,
        value: float,
        middle: tuple[float, float, float],
        radii: tuple[float, float, float],
        rough: float = 0.12,
    ) -> Organ:
        rng = self.rng
        organ = Organ(
            name,
            value + rng.normal(0, 0.06 * self._spread),
            abs(rng.normal(0, 0.035 * self._spread)),
            np.array(middle) + rng.normal(0, 0.018, 3),
            np.array(radii) * np.exp(rng.normal(0, 0.15, 3)),
            rng.normal(0, 1, (2, 7, 3)) * rough * 0.7 / np.arange(1, 8)[None, :, None],
            rng.normal(0, 0.03, 2),
            float(rng.normal(0, 0.25)),
        )
        self.organs.append(organ)
        return organ

    def lesion(self, host: Organ, value: float) -> None:
        """A lump of this mean intensity within the host."""
        rng = self.rng
        size = float(np.exp(rng.uniform(np.log(0.012), np.log(0.07))))
        at = host.middle + host.radii * rng.uniform(-0.55, 0.55, 3)
        self.add("lesion", value, (at[0], at[1], at[2]), (size, size * 1.1, size * 3), 0.3)


#: Width of the range of soft tissues: HU for CT.
SPREAD = {"ct": 130.0, "mr": 1.0}
#: CT windows (centre, width) in HU that suit each region.
WINDOWS: dict[str, tuple[tuple[float, float], ...]] = {
    "trunk": ((40, 400), (70, 200), (50, 350), (100, 700)),
    "lung": ((-500, 1400), (50, 350), (40, 400)),
    "head": ((36, 80), (40, 120)),
}


def _values(rng: np.random.Generator, modality: str) -> dict[str, float]:
    """Mean intensity of each tissue: HU, or for MR anything (no two scanners agree)."""
    hounsfield = {
        "air": -1000.0, "lung": -820.0, "fat": -105.0, "muscle": 52.0, "bone": 520.0, "marrow": 180.0, "liver": 100.0,
        "spleen": 110.0, "kidney": 160.0, "blood": 170.0, "bowel": 35.0, "water": 8.0, "soft": 38.0, "white": 23.0,
    }  # fmt: skip
    if modality == "ct":
        contrast = rng.uniform(0, 1)  # how much contrast agent is in the blood
        for tissue in ("liver", "spleen", "kidney", "blood"):
            hounsfield[tissue] = 45 + (hounsfield[tissue] - 45) * contrast * rng.uniform(0.6, 1.6)
        return hounsfield
    values = {tissue: float(rng.uniform(0.15, 0.95)) for tissue in hounsfield}
    return values | {"air": 0.02, "lung": 0.08, "bone": float(rng.uniform(0.03, 0.3))}


def _trunk(rng: np.random.Generator, modality: str) -> _Sculptor:
    value, spread = _values(rng, modality), SPREAD[modality]
    s = _Sculptor(rng, spread)
    s.add("", value["fat"], (0.5, 0.5, 0.5), (0.44, 0.33, 9), 0.03)
    s.add("", value["muscle"], (0.5, 0.51, 0.5), (0.40, 0.285, 9), 0.03)
    s.add("", value["fat"], (0.5, 0.48, 0.5), (0.36, 0.235, 9), 0.04)
    if rng.random() < 0.35:
        left = s.add("lung", value["lung"], (0.31, 0.47, 0.4), (0.145, 0.20, 0.9))
        s.add("lung", value["lung"], (0.69, 0.47, 0.4), (0.145, 0.20, 0.9))
        s.add("heart", value["blood"], (0.54, 0.43, 0.5), (0.12, 0.11, 0.5))
        s.lesion(left, value["soft"])
    else:
        liver = s.add("liver", value["liver"], (0.33, 0.45, 0.4), (0.19, 0.17, 0.55), 0.2)
        s.add("spleen", value["spleen"], (0.75, 0.53, 0.35), (0.06, 0.10, 0.35), 0.15)
        s.add("stomach", value["soft"], (0.64, 0.39, 0.4), (0.12, 0.09, 0.4), 0.2)
        for x in (0.33, 0.67):
            kidney = s.add("kidney", value["kidney"], (x, 0.60, 0.6), (0.055, 0.075, 0.35), 0.12)
            at = (float(kidney.middle[0]), float(kidney.middle[1]), float(kidney.middle[2]))
            s.add("", value["fat"] * 0.5 + kidney.value * 0.5, at, (0.02, 0.035, 0.15), 0.3)
        for _ in range(int(rng.integers(2, 7))):
            x, y, z = rng.uniform((0.3, 0.32, 0.4), (0.7, 0.5, 1.0))
            s.add("bowel", value["bowel"], (x, y, z), (0.05, 0.04, 0.3), 0.25)
        s.add("gallbladder", value["water"], (0.42, 0.42, 0.5), (0.03, 0.04, 0.15), 0.1)
        s.add("pancreas", value["soft"], (0.5, 0.47, 0.5), (0.11, 0.03, 0.2), 0.35)
        for _ in range(int(rng.integers(0, 4))):
            s.lesion(liver, liver.value + spread * rng.choice([-1, 1]) * rng.uniform(0.1, 0.3))
    s.add("aorta", value["blood"], (0.53, 0.56, 0.5), (0.026, 0.026, 9), 0.04)
    s.add("vena cava", value["blood"], (0.45, 0.55, 0.5), (0.028, 0.024, 9), 0.12)
    s.add("vertebra", value["bone"], (0.5, 0.66, 0.5), (0.065, 0.055, 9), 0.1)
    s.add("", value["marrow"], (0.5, 0.66, 0.5), (0.05, 0.04, 9), 0.05)
    s.add("spinal canal", value["water"], (0.5, 0.735, 0.5), (0.022, 0.02, 9), 0.05)
    for angle in np.arange(0, 2 * np.pi, rng.uniform(0.45, 0.8)) + rng.uniform(0, 0.5):
        x, y = 0.5 + 0.385 * np.cos(angle), 0.5 + 0.265 * np.sin(angle)
        s.add("", value["bone"], (x, y, rng.uniform(0, 1)), (0.024, 0.013, 0.3), 0.2)
    return s


def _head(rng: np.random.Generator, modality: str) -> _Sculptor:
    value, spread = _values(rng, modality), SPREAD[modality] * (0.35 if modality == "ct" else 1)
    s = _Sculptor(rng, spread)
    s.add("", value["fat"], (0.5, 0.5, 0.5), (0.36, 0.43, 0.95), 0.02)
    s.add("", value["bone"], (0.5, 0.5, 0.5), (0.335, 0.405, 0.9), 0.02)
    s.add("", value["water"], (0.5, 0.5, 0.5), (0.305, 0.37, 0.85), 0.02)
    brain = s.add("brain", value["soft"], (0.5, 0.5, 0.5), (0.295, 0.36, 0.82), 0.04)
    for x in (0.38, 0.62):
        s.add("white matter", value["white"], (x, 0.5, 0.5), (0.11, 0.27, 0.6), 0.22)
        s.add("ventricle", value["water"], (x * 0.45 + 0.275, 0.48, 0.5), (0.03, 0.11, 0.3), 0.3)
    if rng.random() < 0.7:
        at = np.array([0.5, 0.5, 0.5]) + rng.uniform(-0.17, 0.17, 3)
        size, middle = rng.uniform(0.03, 0.1), (float(at[0]), float(at[1]), float(at[2]))
        s.add("oedema", brain.value + spread * rng.uniform(-0.3, 0.3), middle, (size * 1.7, size * 1.6, size * 3), 0.35)
        s.add("tumour", brain.value + spread * rng.uniform(-0.4, 0.4), middle, (size, size, size * 2.2), 0.3)
        if rng.random() < 0.5:
            s.add("necrosis", brain.value - 0.2 * spread, middle, (size * 0.5, size * 0.5, size), 0.3)
    return s


def _heart(rng: np.random.Generator, modality: str) -> _Sculptor:
    """The heart in short-axis slices: a ring of muscle about the left ventricle, the right one a crescent beside it."""
    value, spread = _values(rng, modality), SPREAD[modality]
    s = _Sculptor(rng, spread)
    s.add("", value["fat"], (0.5, 0.5, 0.5), (0.52, 0.42, 9), 0.04)
    s.add("", value["lung"], (0.3, 0.55, 0.5), (0.2, 0.3, 9), 0.15)
    s.add("", value["lung"], (0.8, 0.55, 0.5), (0.16, 0.3, 9), 0.15)
    s.add("", value["muscle"], (0.5, 0.12, 0.5), (0.4, 0.06, 9), 0.15)
    s.add("", value["liver"], (0.4, 0.85, 0.7), (0.3, 0.14, 0.8), 0.15)
    x, y = 0.52 + rng.normal(0, 0.05), 0.5 + rng.normal(0, 0.05)
    ring, thick = rng.uniform(0.09, 0.16), rng.uniform(0.55, 0.8)
    away = rng.normal(np.pi, 0.4)
    right = (x + 1.05 * ring * np.cos(away), y + 1.05 * ring * np.sin(away), 0.45)
    s.add("right ventricle", value["blood"], right, (ring * 0.95, ring * 1.15, 0.55), 0.15)
    muscle = s.add("myocardium", value["muscle"], (x, y, 0.5), (ring, ring, 0.6), 0.05)
    middle = (float(muscle.middle[0]), float(muscle.middle[1]), float(muscle.middle[2]) - 0.05)
    inner = float(muscle.radii[:2].mean() * thick)
    s.add("left ventricle", value["blood"], middle, (inner, inner, 0.55), 0.1)
    return s


def volume(seed: int, slices: int = 16, size: int = 256, modality: str = "ct") -> Volume:
    """A synthetic volume of a trunk, a head or a heart.

    Raises:
        ValueError: a modality other than "ct" and "mr".
    """
    if modality not in ("ct", "mr"):
        raise ValueError(f"unknown modality {modality!r}: choose ct or mr")
    rng = np.random.default_rng([21 if modality == "ct" else 22, seed])
    odds = [0.75, 0.15, 0.1] if modality == "ct" else [0.35, 0.3, 0.35]
    region = str(rng.choice(["trunk", "head", "heart"], p=odds))
    sculptor = {"trunk": _trunk, "head": _head, "heart": _heart}[region](rng, modality)
    walls = 4 if region == "head" else 1
    void = -1000.0 if modality == "ct" else 0.02
    array, labels, classes = _carve(rng, sculptor.organs, (slices, size), walls, void)
    if modality == "ct":
        _ct_faults(rng, array, calm=region == "head")
        windows = WINDOWS["head" if region == "head" else "lung" if "lung" in classes.values() else "trunk"]
        window = windows[rng.integers(len(windows))]
    else:
        _mr_faults(rng, array)
        low, high = np.percentile(array[:, ::4, ::4], (0.5, rng.uniform(97, 99.8))).tolist()
        window = ((low + high) / 2, max(high - low, 1e-6))
    pixel = float(rng.uniform(0.6, 1.0)) * 400 / size
    return Volume(array, labels, (float(rng.uniform(1, 8)), pixel, pixel), classes, window)


def _carve(
    rng: np.random.Generator, organs: list[Organ], shape: tuple[int, int], walls: int, void: float
) -> tuple[Float, NDArray[np.uint8], dict[int, str]]:
    """Paint the organs into slices (n, size): their values, soft at the edges, and their labels.

    The organ number `walls` (from 1) holds all those that follow it.
    """
    slices, size = shape
    array = np.full((slices, size, size), void, np.float32)
    labels = np.zeros((slices, size, size), np.uint8)
    ids = np.cumsum([bool(organ.name) for organ in organs]) * [bool(organ.name) for organ in organs]
    classes = {int(i): organ.name for i, organ in zip(ids, organs, strict=True) if i}
    coarse = rng.standard_normal((slices // 4 + 2, 40, 40), np.float32)
    soft = rng.uniform(0.4, 1.6) * size / 256
    low, high = sorted(rng.uniform(0, 1, 2)) if rng.random() < 0.3 else (0.08, 0.92)
    heights = np.linspace(low, max(high, low + 0.3), slices)
    if rng.random() < 0.5:
        heights = heights[::-1]
    frame = _frame(rng)
    for index, z in enumerate(heights):
        part, rest = divmod(index / 4, 1)
        grid = coarse[int(part)] * (1 - rest) + coarse[int(part) + 1] * rest
        texture = cv2.resize(np.asarray(grid, np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
        hold = np.full((size, size), 255, np.uint8)
        for number, (organ, object_id) in enumerate(zip(organs, ids, strict=True), 1):
            outline = organ.outline(float(z))
            if outline is None:
                continue
            mask = np.minimum(fill((size, size), (outline @ frame[:, :2].T + frame[:, 2]) * size), hold)
            if number == walls:
                hold = mask
            weight = mask.astype(np.float32) / 255
            layer = array[index]
            layer += (np.float32(organ.value) + texture * np.float32(organ.texture) - layer) * weight
            labels[index][mask > 127] = object_id
        array[index] = cv2.GaussianBlur(array[index], (0, 0), soft)
    return array, labels, classes


def _frame(rng: np.random.Generator) -> NDArray[np.float64]:
    """How the body lies in the picture: an affine map (2, 3) of the unit square; may turn, flip, enlarge."""
    angle, zoom = rng.normal(0, 0.12), float(np.exp(rng.uniform(-0.15, 0.5)))
    if rng.random() < 0.15:
        angle += np.pi / 2 * rng.integers(1, 4)
    turn = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn[:, 0] *= rng.choice([-1, 1])
    shift = np.array([0.5, 0.5]) - turn @ (np.array([0.5, 0.5]) + rng.normal(0, 0.08 * zoom, 2))
    return np.hstack([turn, shift[:, None]])


def _ct_faults(rng: np.random.Generator, array: Float, calm: bool) -> None:
    """Quantum noise, as lumpy as the reconstruction kernel leaves it (heads get more dose), and metal streaks."""
    size = array.shape[1]
    level, lump = rng.uniform(1, 5) if calm else rng.uniform(4, 35), rng.uniform(0.4, 1.4)
    for piece in array:
        noise = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), lump)
        piece += noise * np.float32(level / max(float(noise.std()), 1e-6))
    if rng.random() < 0.2:
        rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
        at = rng.uniform(0.3, 0.7, 2) * size
        angle = np.arctan2(rows - np.float32(at[1]), columns - np.float32(at[0]))
        rays = np.sin(angle * rng.integers(6, 24)) * np.exp(-np.hypot(rows - at[1], columns - at[0]) / (size * 0.25))
        array += (rays * rng.uniform(20, 120)).astype(np.float32)


def _mr_faults(rng: np.random.Generator, array: Float) -> None:
    """The coil's bias field, ringing from a cropped k-space, and Rician noise."""
    size = array.shape[1]
    grid = rng.standard_normal((3, 3), np.float32)
    bias = np.exp(np.float32(rng.uniform(0, 0.5)) * cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC))
    crop = int(size * rng.uniform(0.25, 0.5)) if rng.random() < 0.5 else 0
    level = np.float32(rng.uniform(0.005, 0.06))
    for piece in array:
        if crop:
            spectrum = np.fft.fftshift(np.fft.fft2(piece))
            keep = slice(size // 2 - crop, size // 2 + crop)
            cut = np.zeros_like(spectrum)
            cut[keep, keep] = spectrum[keep, keep]
            piece[:] = np.abs(np.fft.ifft2(np.fft.ifftshift(cut)))
        noise = rng.standard_normal((2, size, size), np.float32) * level
        piece[:] = np.hypot(piece * bias + noise[0], noise[1])


def volume_clip(seed: int, frames: int = 16, size: int = 256, modality: str = "ct") -> Clip:
    """The slices of a synthetic volume as grey RGB frames, seen through the volume's window."""
    made = volume(seed, frames, size, modality)
    centre, width = made.window
    grey = np.clip((made.array - np.float32(centre - width / 2)) * np.float32(255 / width), 0, 255).astype(np.uint8)
    return clip_of(f"{modality}-{seed}", np.repeat(grey[..., None], 3, axis=3), made.labels, made.classes)


def ct_clip(seed: int, frames: int = 16, size: int = 256) -> Clip:
    """A CT-like volume; see `volume_clip`."""
    return volume_clip(seed, frames, size, "ct")


def mr_clip(seed: int, frames: int = 16, size: int = 256) -> Clip:
    """An MR-like volume; see `volume_clip`."""
    return volume_clip(seed, frames, size, "mr")
