"""Image sets: pictures that do not follow one another, each of its own size."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trocar.formats.images import ImageSource, images_in
from trocar.formats.intensity import WindowChoice, preparation
from trocar.frames import Frame
from trocar.geometry import Geometry


class ImageSet:
    """Pictures as a source without an order: frame i is picture i.

    The network stretches every picture to a square, so they need not share a size; masks come back at each one's own.
    A picture that carries a prompt is a template for the others.

    Args:
        paths: picture files.
        name: what to call the set in messages; by default the folder of the first picture.
        window: as for `ImageSource`; each picture goes by its own statistics.

    Raises:
        FileNotFoundError, ValueError: a missing or unreadable picture, several pages in one file, no picture at all,
            two of one name, or a window over all pictures.
    """

    ordered = False
    rate_hz: float | None = None

    def __init__(self, paths: Sequence[Path], name: str | None = None, window: WindowChoice = "auto") -> None:
        if not paths:
            raise ValueError("an image set needs at least one picture")
        if preparation(window).scope == "source":
            raise ValueError("the pictures of a set have no window in common: choose one whose scope is each picture")
        self.name = name or str(paths[0].parent)
        self.files = tuple(path.name for path in paths)
        self.names = _names(paths)
        """What each picture is called: without its ending where that tells them apart."""
        self._pictures = [ImageSource(path, window=window) for path in paths]
        for path, picture in zip(paths, self._pictures, strict=True):
            if len(picture) != 1:
                raise ValueError(f"{path} has {len(picture)} pages: a set takes single pictures; save them one by one")
        self.geometries = tuple(picture.geometry for picture in self._pictures)
        """The pixel grid of each picture."""
        self.geometry: Geometry = self.geometries[0]
        """That of the first; `geometry_of` gives the others'."""

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Frame:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} is outside {self.name}, which has pictures 0 to {len(self) - 1}")
        return Frame(index, self._pictures[index][0].image, name=self.files[index])

    @property
    def preparation(self) -> dict[str, Any]:
        """What is done to the values of pictures beyond 8 bits, for the record of a run."""
        return self._pictures[0].preparation

    def find(self, name: str) -> int:
        """The number of a picture by its name, with or without ending; a number that names none stands for itself.

        Raises:
            ValueError: there is none; the message has the nearest name.
        """
        for known in (self.names, self.files):
            if name in known:
                return known.index(name)
        if name.isascii() and name.isdecimal() and int(name) < len(self):
            return int(name)
        near = difflib.get_close_matches(name, [*self.names, *self.files], n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}?" if near else f"its pictures are called {self.names[0]!r} and so on"
        raise ValueError(f"there is no picture {name!r} in {self.name}; {hint}")


def open_image_set(folder: str | Path, templates: Sequence[str | Path] = (), window: WindowChoice = "auto") -> ImageSet:
    """The pictures of a folder in natural order as a set.

    Args:
        folder: where they lie.
        templates: pictures from elsewhere that join the set, in front.
        window: see `ImageSet`.

    Raises:
        FileNotFoundError, ValueError: see `ImageSet`; or `folder` is none.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist: check the name")
    if not folder.is_dir():
        raise ValueError(f"{folder} is one file: an image set is a folder of pictures")
    here = images_in(folder)
    known = {path.resolve() for path in here}
    joining = [path for path in map(Path, templates) if path.resolve() not in known]
    return ImageSet([*joining, *here], str(folder), window)


def _names(paths: Sequence[Path]) -> tuple[str, ...]:
    stems = tuple(path.stem for path in paths)
    if len(set(stems)) == len(stems):
        return stems
    names = tuple(path.name for path in paths)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"two pictures of the set are called {twice[0]}: rename one, for masks are named after them")
    return names
