"""Folders of pictures, single pictures and multi-page TIFF, in the order people count in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from trocar.formats.intensity import UNKNOWN, WindowChoice, choose_window, describe, picture_preparation
from trocar.formats.window import Window
from trocar.frames import Frame
from trocar.geometry import Geometry

EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")

SIDEWAYS = (5, 6, 7, 8)
"""EXIF orientations that swap rows and columns."""


def natural_key(name: str) -> list[tuple[int, int, str]]:
    """Sort key with which frame2 comes before frame10."""
    parts = re.split(r"(\d+)", name)
    return [(0, int(part), part) if part.isdecimal() else (1, 0, part.lower()) for part in parts if part]


def images_in(folder: Path) -> list[Path]:
    """The pictures of a folder in natural order; hidden files and other kinds of file are passed over.

    Raises:
        ValueError: there is none.
    """
    found = [p for p in folder.iterdir() if p.suffix.lower() in EXTENSIONS and not p.name.startswith(".")]
    if not found:
        holds = "is empty" if not any(folder.iterdir()) else "holds no pictures"
        raise ValueError(f"{folder} {holds}: put {', '.join(EXTENSIONS)} files in it, or name another folder")
    return sorted(found, key=lambda p: natural_key(p.name))


class ImageSource:
    """Pictures of one size as a source: frame i is picture i, upright as its EXIF orientation says.

    Args:
        paths: one picture file, or several in the order wanted; the pages of a single TIFF are its frames.
        name: what to call the source in messages; by default the first file.
        window: how grey levels beyond 8 bits are brought to 0..255 (see `Preparation`), each picture by its own
            statistics unless the scope is "source".

    Raises:
        FileNotFoundError, ValueError: a missing or unreadable picture, or two that differ in size; both are named.
    """

    rate_hz: float | None = None

    def __init__(
        self, paths: Sequence[Path] | Path, name: str | None = None, window: WindowChoice = "percentile"
    ) -> None:
        files = [paths] if isinstance(paths, Path) else list(paths)
        self.name = name or str(files[0])
        self._wanted = picture_preparation(window, self.name)
        sizes = [_size_and_pages(path) for path in files]
        self.geometry = Geometry(sizes[0][0])
        for path, (size, _) in zip(files, sizes, strict=True):
            if size != sizes[0][0]:
                raise ValueError(
                    f"{files[0].name} is {_words(sizes[0][0])} but {path.name} is {_words(size)} (in {path.parent}): "
                    "all pictures of a source must have one size; split them into folders by size, or open them as a "
                    "set (--set) if they do not follow one another"
                )
        pages = sizes[0][1] if len(files) == 1 else 1
        self._frames = [(path, page) for path in files for page in range(pages)]
        self.files = tuple(path.name for path in files) if pages == 1 else ()
        """What each frame's file is called; empty where frames have none of their own."""
        self.names = _names(files) if pages == 1 else ()
        """What each frame is called, for files written about it; empty where frames have numbers only."""

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} is outside {self.name}, which has frames 0 to {len(self) - 1}")
        pixels = self._pixels(index)
        if pixels.ndim == 2:
            window = self.window or choose_window(self._wanted, lambda: [pixels])
            pixels = np.repeat(window.apply(pixels)[..., None], 3, axis=2)
        return Frame(index, pixels, name=self._frames[index][0].name)

    @cached_property
    def window(self) -> Window | None:
        """What becomes black and white in all pictures; None where each has a window of its own."""
        if self._wanted.scope != "source":
            return None

        def deep() -> Iterator[NDArray[Any]]:
            return (pixels for pixels in map(self._pixels, range(len(self))) if pixels.ndim == 2)

        return choose_window(self._wanted, deep)

    @property
    def preparation(self) -> dict[str, Any]:
        """What is done to the values of pictures beyond 8 bits, for the record of a run."""
        return describe(self._wanted, UNKNOWN, self.window)

    def _pixels(self, index: int) -> NDArray[Any]:
        """(rows, columns, 3) uint8 RGB, or (rows, columns) grey values beyond 8 bits as they are stored."""
        path, page = self._frames[index]
        try:
            with Image.open(path) as image:
                image.seek(page)
                upright = ImageOps.exif_transpose(image) if _orientation(image) != 1 else image
                deep = upright.mode in ("F", "I") or upright.mode.startswith("I;")
                return np.asarray(upright) if deep else np.array(upright.convert("RGB"), np.uint8)
        except (OSError, SyntaxError, ValueError) as error:
            raise ValueError(f"{path} cannot be read as a picture: it is damaged or cut short ({error})") from error


def _size_and_pages(path: Path) -> tuple[tuple[int, int], int]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    try:
        with Image.open(path) as image:
            columns, rows = image.size
            sideways = _orientation(image) in SIDEWAYS
            return ((columns, rows) if sideways else (rows, columns)), int(getattr(image, "n_frames", 1))
    except (OSError, UnidentifiedImageError) as error:
        raise ValueError(f"{path} cannot be read as a picture: it is damaged or of another kind") from error


def _orientation(image: Image.Image) -> int:
    # Pillow decodes a whole PNG to look for EXIF behind its pixels, where nobody writes it.
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _names(files: Sequence[Path]) -> tuple[str, ...]:
    stems = tuple(path.stem for path in files)
    # a.jpg and a.png in one folder must not write to one file.
    return stems if len(set(stems)) == len(stems) else tuple(path.name for path in files)


def _words(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]} pixels"
