"""What is left out of the corpus, each with its reason: bad recordings, title slides, pictures from outside the body.

The rules are simple measures of a few frames a clip, with thresholds as settings. They are no reading of text and no
trained detector: they find what is obvious, and what they leave out can be looked at in the manifest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
SIDE = 256
"""Frames are judged at this many pixels along their longer side, so that measures do not depend on their size."""


@dataclass(frozen=True)
class Exclusion:
    """When a video or a clip is left out. A threshold of 0 switches its rule off.

    Args:
        min_side: of a video's shorter side, pixels.
        min_duration_s: of a video.
        min_fps: of a video.
        ids: ids of videos or clips, with * for any text.
        list_file: a text file of such ids, one a line; lines that begin with # are comments.
        frames: how many frames of a clip are looked at.
        share: of these frames must show the same fault.
        min_brightness: mean grey level of a frame under which it is dark.
        min_detail: deviation of grey levels under which a frame is blank.
        max_text: share of a frame that lines of text may cover.
        min_warm: share of lit pixels of the colours of tissue (yellow, orange, red, pink) under which a frame counts as
            taken outside the body.
        warm_domains: where the camera shows tissue that is warm in colour; elsewhere min_warm does not hold.
    """

    min_side: int = 128
    min_duration_s: float = 2.0
    min_fps: float = 5.0
    ids: tuple[str, ...] = ()
    list_file: str = ""
    frames: int = 3
    share: float = 0.6
    min_brightness: float = 12.0
    min_detail: float = 6.0
    max_text: float = 0.03
    min_warm: float = 0.05
    warm_domains: tuple[str, ...] = ("endoscopy", "laparoscopy")

    def named(self) -> tuple[str, ...]:
        """All patterns of ids: those of the settings and those of the file.

        Raises:
            FileNotFoundError: the file is missing.
        """
        if not self.list_file:
            return self.ids
        path = Path(self.list_file)
        if not path.is_file():
            raise FileNotFoundError(f"exclusion.list_file: {path} does not exist: check the name")
        lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
        return (*self.ids, *(line for line in lines if line and not line.startswith("#")))

    def why_not_video(self, size: tuple[int, int], duration_s: float, fps: float) -> str:
        """The reason to leave out a video of `size` (rows, columns); empty if there is none."""
        if min(size) < self.min_side:
            return f"quality: {size[1]} x {size[0]} pixels, under {self.min_side}"
        if duration_s < self.min_duration_s:
            return f"quality: {duration_s:.1f} s long, under {self.min_duration_s:g} s"
        if fps < self.min_fps:
            return f"quality: {fps:.1f} frames a second, under {self.min_fps:g}"
        return ""

    def why_not_clip(self, frames: Sequence[Image], domain: str) -> str:
        """The reason to leave out a clip that shows these frames; empty if there is none."""
        if not frames:
            return "quality: no frame could be read"
        faults = [self._fault(frame, domain) for frame in frames]
        for fault in dict.fromkeys(fault for fault in faults if fault):
            if faults.count(fault) >= self.share * len(frames):
                return f"{fault} in {faults.count(fault)} of {len(frames)} frames"
        return ""

    def _fault(self, frame: Image, domain: str) -> str:
        small = judged(frame)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        if grey.mean() < self.min_brightness:
            return "quality: dark"
        if grey.std() < self.min_detail:
            return "quality: blank"
        if self.max_text and text_share(small) > self.max_text:
            return "on-screen text"
        if domain in self.warm_domains and warm_share(small) < self.min_warm:
            return "out of body"
        return ""


def excluded_by_list(name: str, patterns: Sequence[str]) -> str:
    """The reason if an id fits a pattern; empty if it fits none."""
    found = next((pattern for pattern in patterns if fnmatchcase(name, pattern)), None)
    return f"list: {found}" if found else ""


def judged(frame: Image) -> Image:
    """An RGB frame at the size at which it is judged."""
    scale = SIDE / max(frame.shape[:2])
    size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)


def warm_share(frame: Image) -> float:
    """Share of lit pixels of an RGB frame whose hue is yellow to pink and that are not grey."""
    hue, saturation, value = cv2.split(cv2.cvtColor(frame, cv2.COLOR_RGB2HSV))
    lit = value > 30
    warm = ((hue < 30) | (hue > 150)) & (saturation > 40)  # OpenCV counts hue in steps of 2 degrees
    return float((warm & lit).sum() / max(1, lit.sum()))


def text_share(frame: Image) -> float:
    """Share of an RGB frame (SIDE pixels along its longer side) that lines of text seem to cover.

    Letters are strong vertical edges that lie close together on a line. So edges are joined along the rows, and what
    comes out counts when it is wide, low, well filled, and alternates often between light and dark.
    """
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    edges = np.abs(cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3)) > 160
    joined = cv2.morphologyEx(edges.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, 11), np.uint8))
    joined = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((3, 9), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    covered = 0
    for left, top, width, height, area in boxes[1:count].tolist():
        if width < 4 * height or not 4 <= height <= 40 or width < 32 or area < 0.5 * width * height:
            continue
        middle = grey[top + height // 2, left : left + width].astype(np.int64)
        light = middle > (int(middle.min()) + int(middle.max())) // 2
        strokes = int(np.count_nonzero(light[1:] != light[:-1]))
        flat = _two_levels(np.asarray(grey[top : top + height, left : left + width], np.uint8))
        if strokes >= max(4, 0.8 * width / height) and flat:
            covered += width * height
    return covered / grey.size


def _two_levels(patch: Image) -> bool:
    """Whether a grey patch has a light and a dark level and little between: letters on a ground."""
    low, high = np.percentile(patch, (8, 92))
    if high - low < 60:
        return False
    between = (patch > low + 0.25 * (high - low)) & (patch < high - 0.25 * (high - low))
    return bool(between.mean() < 0.45)
