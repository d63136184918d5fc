"""Every file format by name, and which of them a path holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trocar.formats import images, nifti, video
from trocar.formats.label_png import read_label_pngs, write_label_png
from trocar.formats.overlay import write_overlay
from trocar.formats.rle import read_rle, write_rle
from trocar.frames import FrameSource
from trocar.masks import FrameMasks


@dataclass(frozen=True)
class FormatInfo:
    """What can be done with one format; None where it cannot.

    Args:
        about: one line for people.
        extensions: endings of its files.
        open: (path, window, plane) -> source of frames.
        read_masks: path -> masks in display order.
        output: the name of what is written in an output folder.
        write_frame: (folder, masks, source) -> file: called as soon as a frame is made, in any order.
        write_all: (path, masks in display order, source): called when all frames are made.
    """

    about: str
    extensions: tuple[str, ...] = ()
    open: Callable[[Path, str | tuple[float, float], str], FrameSource] | None = None
    read_masks: Callable[[Path], Iterator[FrameMasks]] | None = None
    output: str = ""
    write_frame: Callable[[Path, FrameMasks, FrameSource], Path] | None = None
    write_all: Callable[[Path, Iterable[FrameMasks], FrameSource], None] | None = None

    @property
    def writes(self) -> bool:
        """Whether masks can be written in it."""
        return self.write_frame is not None or self.write_all is not None


FORMATS: dict[str, FormatInfo] = {
    "video": FormatInfo(
        "video through FFmpeg's decoders",
        video.EXTENSIONS,
        open=lambda path, window, plane: video.VideoSource(path),
    ),
    "images": FormatInfo(
        "a folder of pictures in natural order, one picture, or a multi-page TIFF",
        images.EXTENSIONS,
        open=lambda path, window, plane: _open_images(path, window),
    ),
    "nifti": FormatInfo(
        "a NIfTI volume; masks as a label volume with the source's affine",
        nifti.EXTENSIONS,
        open=lambda path, window, plane: nifti.NiftiSource(path, plane, window),
        read_masks=nifti.read_nifti_masks,
        output="masks.nii.gz",
        write_all=nifti.write_nifti,
    ),
    "png": FormatInfo(
        "a folder of palette PNG label maps, one a frame",
        (".png",),
        read_masks=read_label_pngs,
        output="masks",
        write_frame=write_label_png,
    ),
    "rle": FormatInfo(
        "COCO run-length codes in JSON; overlaps are kept",
        (".json", ".jsonl"),
        read_masks=read_rle,
        output="masks.json",
        write_all=write_rle,
    ),
    "overlay": FormatInfo(
        "an mp4 with contours, fills and object ids over the source",
        (".mp4",),
        output="overlay.mp4",
        write_all=write_overlay,
    ),
}

MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),  # Matroska, WebM
    (8, b"AVI ", "video"),
    (0, b"\x00\x00\x01\xba", "video"),  # MPEG program stream
    (0, b"GIF8", "video"),
    (188, b"\x47", "video"),  # MPEG transport stream: a packet begins every 188 bytes
    (0, b"\x89PNG", "images"),
    (0, b"\xff\xd8\xff", "images"),
    (0, b"II*\x00", "images"),
    (0, b"MM\x00*", "images"),
    (0, b"BM", "images"),
    (344, b"n+1\x00", "nifti"),
)
"""(offset, bytes, format): how to know a file whose name does not tell."""


def open_source(path: str | Path, *, window: str | tuple[float, float] = "auto", plane: str = "axial") -> FrameSource:
    """Open a video, a volume, a picture or a folder of pictures as frames.

    Args:
        path: what to open; its kind is told by the ending of its name, else by its first bytes.
        window: for volumes and 16-bit pictures: "auto", "percentile", a CT preset or (level, width).
        plane: for volumes: "axial", "coronal" or "sagittal".

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it cannot be read; the message says why and what can be.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    name = "images" if path.is_dir() else _format_of(path)
    opener = FORMATS[name].open
    assert opener is not None
    return opener(path, window, plane)


def _format_of(path: Path) -> str:
    readable = {name: info for name, info in FORMATS.items() if info.open is not None}
    for name, info in readable.items():
        if path.name.lower().endswith(info.extensions):
            return name
    with path.open("rb") as file:
        head = file.read(512)
    for offset, magic, name in MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name
    endings = ", ".join(ending for info in readable.values() for ending in info.extensions)
    raise ValueError(f"{path} is not of a kind that can be read: give a folder of pictures or one of {endings}")


def _open_images(path: Path, window: str | tuple[float, float]) -> FrameSource:
    files = images.images_in(path) if path.is_dir() else path
    return images.ImageSource(files, str(path), window)
