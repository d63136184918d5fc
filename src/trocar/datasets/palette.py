"""Palettes: what the values or colours of a label picture mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.datasets.case import FrameTruth

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Palette:
    """How a label picture says what its pixels belong to.

    Args:
        ids: pixel value, or RGB colour -> object id; 0 for background. All keys are of one kind.
        void: values or colours of pixels without a truth.
        nearest: give a pixel whose value is in neither the id of the nearest colour (JPEG labels, softened borders)
            instead of refusing it.
    """

    ids: Mapping[int, int] | Mapping[Colour, int]
    void: Collection[int | Colour] = ()
    nearest: bool = False

    @property
    def coloured(self) -> bool:
        return isinstance(next(iter(self.ids)), tuple)

    def read(self, path: Path) -> FrameTruth:
        """The truth in a label picture.

        Raises:
            FileNotFoundError: it is missing.
            ValueError: it is damaged, or holds a value that the palette does not know.
        """
        values = read_values(path, self.coloured)
        found, where = _different(values)
        of_found = self._ids_of(found, path)
        ids = of_found[where]
        masks = {int(one): ids == one for one in np.unique(of_found) if one > 0}
        return FrameTruth(masks, ids == _VOID if _VOID in of_found else None)

    def _ids_of(self, found: NDArray[np.int64], path: Path) -> NDArray[np.int64]:
        """The ids of different values, as `read_values` gives them."""
        keys = np.array([_packed(key) for key in (*self.ids, *self.void)], np.int64)
        known = np.array([*self.ids.values(), *(_VOID for _ in self.void)], np.int64)
        same = found[:, None] == keys
        choice, strange = same.argmax(axis=1), ~same.any(axis=1)
        if strange.any():
            if not self.nearest:
                key = self._channels(found[strange])[0].tolist()
                raise ValueError(
                    f"{path} holds {f'the colour {tuple(key)}' if self.coloured else f'the label {key[0]}'}, which "
                    f"{len(self.ids)} known ones do not include: is it the set's own file, unchanged?"
                )
            apart = self._channels(found[strange])[:, None] - self._channels(keys[: len(self.ids)])
            choice[strange] = np.abs(apart).sum(axis=2).argmin(axis=1)
        ids: NDArray[np.int64] = known[choice]
        return ids

    def _channels(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n, 3) colours, or (n, 1) values, of numbers as `read_values` gives them."""
        parts = [values >> 16, values >> 8 & 255, values & 255] if self.coloured else [values]
        return np.stack(parts, axis=1)


def _different(values: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The different values, and the place of each pixel's value among them."""
    if values.min() >= 0 and values.max() < _COUNTABLE:  # sorting all pixels takes twenty times as long
        found = np.flatnonzero(np.bincount(values.ravel()))
        place = np.zeros(found[-1] + 1, np.int64)
        place[found] = np.arange(len(found))
        return found, place[values]
    found, where = np.unique(values, return_inverse=True)
    return found, where.reshape(values.shape)


def _packed(key: int | Colour) -> int:
    return key if isinstance(key, int) else key[0] << 16 | key[1] << 8 | key[2]


_VOID = -1
_COUNTABLE = 1 << 16


def read_values(path: Path, coloured: bool = False) -> NDArray[np.int64]:
    """(rows, columns) values of a label picture, colours as one number, 65536 R + 256 G + B.

    Without `coloured`, a palette picture gives its indices, and a picture with several equal channels the first.

    Raises:
        FileNotFoundError: it is missing.
        ValueError: it is damaged, or has colours where values were expected.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: is the set complete?")
    try:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB") if coloured else picture).astype(np.int64)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a picture: it is damaged or cut short; fetch it again") from error
    if coloured:
        return pixels[..., 0] << 16 | pixels[..., 1] << 8 | pixels[..., 2]
    if pixels.ndim == 3:
        if (pixels[..., :3] != pixels[..., :1]).any():
            raise ValueError(f"{path} is in colour: a map of grey values was expected; is it the set's own file?")
        pixels = pixels[..., 0]
    return pixels


def read_binary(path: Path, object_id: int = 1, threshold: int = 127) -> FrameTruth:
    """The truth in a black and white picture: one object where its values are above `threshold`.

    Raises:
        FileNotFoundError, ValueError: as `read_values`.
    """
    values = read_values(path)
    mask = values > (threshold if values.max() > 1 else 0)  # some owners write 0 and 1, others 0 and 255
    return FrameTruth({object_id: mask} if mask.any() else {})
