"""Cases from picture files: the commonest layout, frames and label pictures side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from trocar.datasets.case import Case, FrameTruth
from trocar.formats.images import ImageSource, natural_key

ReadLabels = Callable[[Path], FrameTruth]
Size = tuple[int, int]
ReadTruth = Callable[[int, Size], FrameTruth]


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

    def truth(frame: int, size: Size) -> FrameTruth:
        path = labels[frame]
        assert path is not None
        found = read(path)
        for mask in found.masks.values():
            if mask.shape != size:
                raise ValueError(
                    f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels and {images[frame].name} {size[1]} x "
                    f"{size[0]}: labels must be of their frame's size; fetch both again"
                )
        return found

    known = tuple(number for number, path in enumerate(labels) if path is not None)
    return case_of_pictures(name, images, truth, objects, None if len(known) == len(images) else known, group)


def case_of_pictures(
    name: str,
    images: Sequence[Path],
    truth: ReadTruth,
    objects: Mapping[int, str],
    annotated: tuple[int, ...] | None = None,
    group: str = "",
) -> Case:
    """A case from picture files whose truth is no label picture: JSON documents, several files a frame.

    Args:
        name: as for `Case`.
        images: one file a frame.
        truth: (frame, rows and columns of its picture) -> what is true of it; asked of annotated frames alone.
        objects: object id -> class name.
        annotated: as for `Case`.
        group: as for `Case`.
    """
    frames = list(images)
    known = None if annotated is None else frozenset(annotated)
    opened: list[ImageSource] = []

    def source() -> ImageSource:
        if not opened:
            opened.append(ImageSource(frames, name))
        return opened[0]

    def truth_of(frame: int) -> FrameTruth | None:
        return truth(frame, source().geometry.size) if known is None or frame in known else None

    return Case(name, len(frames), source, truth_of, objects, annotated, group)


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


def matched(images: Path, labels: Path) -> tuple[list[Path], list[Path]]:
    """Frames and label pictures whose names differ in a fixed way, one to one, in the order of the names.

    Args:
        images: path of the frames, with one "*" in its last part for what the two names of a frame have in common.
        labels: the same for the label pictures; in one folder, they are not taken for frames.

    A missing one is given all the same, as in `pairs`.

    Raises:
        FileNotFoundError: there is no frame, or no label picture.
    """
    truths = pictures(labels.parent, labels.name)
    frames = [path for path in pictures(images.parent, images.name) if path not in set(truths)]
    names = {_star(path, images) for path in frames} | {_star(path, labels) for path in truths}
    order = sorted(names, key=natural_key)
    return (
        [images.with_name(images.name.replace("*", name)) for name in order],
        [labels.with_name(labels.name.replace("*", name)) for name in order],
    )


def _star(path: Path, pattern: Path) -> str:
    before, after = pattern.name.split("*")
    return path.name[len(before) : len(path.name) - len(after)]


def case_each(
    images: Sequence[Path], labels: Sequence[Path], read: ReadLabels, objects: Mapping[int, str]
) -> Iterator[Case]:
    """A case for each picture, called by the picture's name."""
    for image, label in zip(images, labels, strict=True):
        yield picture_case(image.stem, [image], [label], read, objects)


def case_each_folder(frames: Path, masks: Path, read: ReadLabels, objects: Mapping[int, str]) -> Iterator[Case]:
    """A case for each folder of PNG pictures in `frames`, with those of the same names in a folder of `masks`.

    Raises:
        FileNotFoundError: as `pictures`.
    """
    names = {path.name for folder in (frames, masks) if folder.is_dir() for path in folder.iterdir() if path.is_dir()}
    for name in sorted(names, key=natural_key):
        yield picture_case(name, *matched(frames / name / "*.png", masks / name / "*.png"), read, objects)
