"""TIFF stacks: the grey pages of one file as a volume, read page by page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from trocar.formats.images import ImageSource
from trocar.formats.intensity import Values, WindowChoice
from trocar.formats.mask_set import AS_IT_IS, MaskSet, ReadOptions, volume_mask_set
from trocar.formats.volume import VolumeSource, stack_grid
from trocar.frames import FrameSource


class TiffStack(VolumeSource):
    """A multi-page grey TIFF as a source of slices; 8-bit pages are shown as they are.

    TIFF says nothing about the orientation, so `geometry` has none, and pages are taken as axial slices.

    Args:
        path: the file.
        plane, window: see VolumeSource.

    Raises:
        FileNotFoundError, ValueError: missing, damaged, in colour, or pages that differ in size.
    """

    def __init__(self, path: str | Path, plane: str = "axial", window: WindowChoice = "auto") -> None:
        voxels = _Pages(Path(path))
        super().__init__(str(path), voxels, stack_grid(), plane, window, Values(grey_levels=voxels.grey_levels))


def open_tiff(path: Path, plane: str = "axial", window: WindowChoice = "auto") -> FrameSource:
    """A stack of grey pages as a volume; a single page, or pages in colour, as pictures.

    Raises:
        FileNotFoundError, ValueError: see TiffStack and ImageSource; or a plane was asked of pictures.
    """
    try:
        with Image.open(path, formats=("TIFF",)) as image:
            pages = getattr(image, "n_frames", 1)
            tags = image.getexif()
            stack = pages > 1 and tags.get(ExifTags.Base.Orientation, 1) == 1 and _is_grey(image)
            words = str(tags.get(ExifTags.Base.ImageDescription, ""))
    except (OSError, AttributeError) as error:
        raise ValueError(f"{path} cannot be read as TIFF: it is damaged or of another kind") from error
    noted = re.search(r"^ImageJ=.*\bimages=(\d+)", words, re.DOTALL)
    if noted and int(noted[1]) > 1 == pages:
        raise ValueError(f"{path} keeps {noted[1]} ImageJ slices in one TIFF page: save it as a TIFF of several pages")
    if stack:
        return TiffStack(path, plane, window)
    if plane != "axial":
        raise ValueError(f"plane does not apply to {path}, which is no stack of grey pages: leave it out")
    return ImageSource(path, str(path), window)


def read_tiff_masks(path: Path, options: ReadOptions = AS_IT_IS) -> MaskSet:
    """The masks of a stack of label pages, in the order in which `TiffStack` shows them.

    Raises:
        FileNotFoundError, ValueError: see TiffStack; or it holds fractions.
    """
    return volume_mask_set(TiffStack(path, options.plane))


class _Pages:
    """Voxels (page, row, column) of a TIFF file that stays open, so that pages are found at once."""

    slab_axis = 0

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise FileNotFoundError(f"{path} does not exist: check the name")
        self._path = path
        try:
            self._image = Image.open(path)
            if not _is_grey(self._image):
                raise ValueError(f"{path} is in colour ({self._image.mode}): only grey pages make a volume")
            self.grey_levels = self._image.mode == "L"
            pages, columns, rows = int(getattr(self._image, "n_frames", 1)), *self._image.size
        except OSError as error:
            raise ValueError(f"{path} cannot be read as TIFF: it is damaged or of another kind") from error
        self.shape: tuple[int, int, int] = (pages, rows, columns)

    def slab(self, axis: int, index: int) -> NDArray[Any]:
        """The values at `index` of `axis`; across pages each of them is read."""
        if axis == 0:
            return self._page(index)
        return np.stack([self._page(page).take(index, axis - 1) for page in range(self.shape[0])])

    def _page(self, page: int) -> NDArray[Any]:
        try:
            self._image.seek(page)
            values = np.asarray(self._image)
        except (OSError, EOFError, SyntaxError, ValueError) as error:
            raise ValueError(f"page {page} of {self._path} cannot be read: the file is cut short or damaged") from error
        if values.shape != self.shape[1:]:
            raise ValueError(
                f"page {page} of {self._path} is {values.shape}, the first {self.shape[1:]}: one size only"
            )
        return values


def _is_grey(image: Image.Image) -> bool:
    return image.mode in ("L", "I", "F") or image.mode.startswith("I;")
