"""Cases from picture files: the commonest layout, frames and label pictures side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trocar.datasets.case import Case, FrameTruth
from trocar.formats.images import ImageSource, natural_key

ReadLabels = Callable[[Path], FrameTruth]


def picture_case(
    name: str,
    images: Sequence[Path],
    labels: Sequence[Path | None],
    read: ReadLabels,
    objects: Mapping[int, str],
    group: str = "",
) -> Case:
    """A case from picture files.

    Args:
        name: as for `Case`.
        images: one file a frame.
        labels: the frame's label picture, None where nobody annotated it.
        read: label picture -> truth, such as `Palette.read` or `read_binary`; ids that it gives are in `objects`.
        objects: object id -> class name.
        group: as for `Case`.

    The truth is refused where it is not of its frame's size.
    """
    frames = list(images)
    opened: list[ImageSource] = []

    def source() -> ImageSource:
        if not opened:
            opened.append(ImageSource(frames, name))
        return opened[0]

    def truth(frame: int) -> FrameTruth | None:
        path = labels[frame]
        if path is None:
            return None
        found, size = read(path), source().geometry.size
        for mask in found.masks.values():
            if mask.shape != size:
                raise ValueError(
                    f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels and {frames[frame].name} {size[1]} x "
                    f"{size[0]}: labels must be of their frame's size; fetch both again"
                )
        return found

    known = tuple(number for number, path in enumerate(labels) if path is not None)
    return Case(name, len(frames), source, truth, objects, None if len(known) == len(frames) else known, group)


def pictures(folder: Path, pattern: str = "*.png") -> list[Path]:
    """The files of a folder that fit a pattern, in natural order, hidden ones left out.

    Raises:
        FileNotFoundError: there is no such folder, or none fits.
    """
    found = [path for path in folder.glob(pattern) if not path.name.startswith(".")] if folder.is_dir() else []
    if not found:
        raise FileNotFoundError(f"{folder} holds no {pattern} files: is the set complete?")
    return sorted(found, key=lambda path: natural_key(str(path.relative_to(folder))))


def pairs(images: Sequence[Path], labels: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Frames and label pictures of the same names, one to one, in the order of the names.

    Where one of the two is missing its path is given all the same, so that reading it says which; both lists hold
    files of one folder and one ending each.
    """
    names = sorted({path.stem for path in (*images, *labels)}, key=natural_key)
    return [images[0].with_stem(name) for name in names], [labels[0].with_stem(name) for name in names]
