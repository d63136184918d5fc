"""Every file format by name, and which of them a path holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from trocar.formats import images, label_png, object_png, video
from trocar.formats.intensity import WindowChoice
from trocar.formats.label_volume import HIGHEST_ID, grid_of, write_metaimage, write_nrrd
from trocar.formats.mask_set import MaskSet
from trocar.formats.options import OpenOptions
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
        open: (path, options) -> source of frames.
        takes: the names of the options that mean something for it.
        read_masks: (path, options) -> masks and what they lie on.
        output: the name of what is written in an output folder.
        holds: what masks in it keep, of HOLDABLE.
        highest_id: the highest object id that it holds, where there is a limit.
        fits: refuses, with a ValueError, sources whose masks cannot be written in it.
        write_frame: (folder, one frame, all masks) -> file: called as soon as a frame is made, in any order; it must
            not iterate over all masks.
        frame_files: the files that `write_frame` makes in its folder, with {name} for the frame's name.
        write_all: (path, masks): called when all frames are made.
    """

    about: str
    extensions: tuple[str, ...] = ()
    open: Callable[[Path, OpenOptions], FrameSource] | None = None
    takes: tuple[str, ...] = ()
    read_masks: Callable[..., MaskSet] | None = None
    output: str = ""
    holds: tuple[str, ...] = ()
    highest_id: int | None = None
    fits: Callable[[FrameSource], Any] | None = None
    write_frame: Callable[[Path, FrameMasks, MaskSet], Path] | None = None
    frame_files: str = ""
    write_all: Callable[[Path, MaskSet], None] | None = None

    @property
    def writes(self) -> bool:
        """Whether masks can be written in it."""
        return self.write_frame is not None or self.write_all is not None


def _later(module: str, name: str) -> Callable[..., Any]:
    """A function or class of a format that is imported when it is called: libraries for DICOM and the like are slow."""
    return lambda *values, **named: getattr(import_module(f"trocar.formats.{module}"), name)(*values, **named)


HOLDABLE = ("overlap", "geometry", "scores", "names", "sizes")
"""Objects that overlap; spacing and place in the patient; predicted IoUs and what was prompted; objects' names."""

VOLUME_OPTIONS = ("window", "plane")

FORMATS: dict[str, FormatInfo] = {
    "video": FormatInfo(
        "video through FFmpeg's decoders",
        video.EXTENSIONS,
        open=lambda path, options: video.VideoSource(path),
    ),
    "tiff": FormatInfo(
        "a TIFF stack: grey pages are the slices of a volume; one page, or pages in colour, are pictures",
        (".tif", ".tiff"),
        open=lambda path, options: _later("tiff", "open_tiff")(path, options.plane, options.window),
        takes=VOLUME_OPTIONS,
        read_masks=_later("tiff", "read_tiff_masks"),
    ),
    "images": FormatInfo(
        "a folder of pictures in natural order, or one picture",
        images.EXTENSIONS,
        open=lambda path, options: _open_images(path, options.window),
        takes=("window",),
    ),
    "dicom": FormatInfo(
        "a folder of DICOM files or one: a CT, MR or PET series as a volume, endoscopy and ultrasound as video",
        (".dcm", ".ima"),
        open=_later("dicom", "open_dicom"),
        takes=(*VOLUME_OPTIONS, "series", "uneven"),
    ),
    "nrrd": FormatInfo(
        "a NRRD volume; masks as a label volume with the source's affine",
        (".nrrd", ".nhdr"),
        open=lambda path, options: _later("itk_image", "ItkSource")(path, options.plane, options.window),
        takes=VOLUME_OPTIONS,
        read_masks=_later("itk_image", "read_itk_masks"),
        output="masks.nrrd",
        holds=("geometry", "names"),
        highest_id=HIGHEST_ID,
        fits=grid_of,
        write_all=write_nrrd,
    ),
    "metaimage": FormatInfo(
        "a MetaImage volume; masks as a label volume with the source's affine",
        (".mha", ".mhd"),
        open=lambda path, options: _later("itk_image", "ItkSource")(path, options.plane, options.window),
        takes=VOLUME_OPTIONS,
        read_masks=_later("itk_image", "read_itk_masks"),
        output="masks.mha",
        holds=("geometry",),
        highest_id=HIGHEST_ID,
        fits=grid_of,
        write_all=write_metaimage,
    ),
    "npz": FormatInfo(
        "MedSAM's .npz: imgs shown, gts read as masks",
        (".npz",),
        open=lambda path, options: _later("npz", "NpzSource")(path, options.plane, options.window),
        takes=VOLUME_OPTIONS,
        read_masks=_later("npz", "read_npz_masks"),
    ),
    "hdf5": FormatInfo(
        "a data set of an HDF5 file, by its name",
        (".h5", ".hdf5"),
        open=lambda path, options: _later("hdf5", "Hdf5Source")(path, options.plane, options.window, options.key),
        takes=(*VOLUME_OPTIONS, "key"),
        read_masks=_later("hdf5", "read_hdf5_masks"),
    ),
    "nifti": FormatInfo(
        "a NIfTI volume; masks as a label volume with the source's affine",
        (".nii", ".nii.gz"),
        open=lambda path, options: _later("nifti", "NiftiSource")(path, options.plane, options.window),
        takes=VOLUME_OPTIONS,
        read_masks=_later("nifti", "read_nifti_masks"),
        output="masks.nii.gz",
        holds=("geometry",),
        highest_id=HIGHEST_ID,
        fits=grid_of,
        write_all=_later("nifti", "write_nifti"),
    ),
    "dicom-seg": FormatInfo(
        "a DICOM segmentation (BINARY) that refers to the pictures of its series; overlaps are kept",
        (".dcm",),
        read_masks=_later("dicom_seg", "read_dicom_seg"),
        output="masks.dcm",
        holds=("overlap", "geometry", "names"),
        highest_id=HIGHEST_ID,
        fits=_later("dicom_seg_writer", "check_series"),
        write_all=_later("dicom_seg_writer", "write_dicom_seg"),
    ),
    "dicom-labelmap": FormatInfo(
        "a DICOM label map segmentation (LABELMAP): one label a voxel",
        (".dcm",),
        read_masks=_later("dicom_seg", "read_dicom_seg"),
        output="masks.labelmap.dcm",
        holds=("geometry", "names"),
        highest_id=HIGHEST_ID,
        fits=_later("dicom_seg_writer", "check_series"),
        write_all=_later("dicom_seg_writer", "write_dicom_labelmap"),
    ),
    "png": FormatInfo(
        "a folder of palette PNG label maps, one a frame",
        (".png",),
        read_masks=label_png.read_label_pngs,
        output="masks",
        holds=("sizes",),
        highest_id=label_png.HIGHEST_ID,
        write_frame=label_png.write_label_png,
        frame_files="{name}.png",
    ),
    "object-png": FormatInfo(
        "a folder of black and white PNG an object, one a frame; overlaps are kept",
        (".png",),
        read_masks=object_png.read_object_pngs,
        output="objects",
        holds=("overlap", "sizes"),
        write_frame=object_png.write_object_pngs,
        frame_files="*/{name}.png",
    ),
    "rle": FormatInfo(
        "COCO run-length codes in JSON; overlaps, scores, names and geometry are kept",
        (".json", ".jsonl"),
        read_masks=read_rle,
        output="masks.json",
        holds=HOLDABLE,
        write_all=write_rle,
    ),
    "coco": FormatInfo(
        "a COCO instance document: a picture a frame, run-length codes, object ids as track_id",
        (".json",),
        read_masks=_later("coco", "read_coco"),
        output="coco.json",
        holds=("overlap", "scores", "names", "sizes"),
        write_all=_later("coco", "write_coco"),
    ),
    "youtube-vis": FormatInfo(
        "a YouTube-VIS document: a run-length code an object and frame",
        (".json",),
        read_masks=_later("youtube_vis", "read_youtube_vis"),
        output="youtube-vis.json",
        holds=("overlap", "names"),
        write_all=_later("youtube_vis", "write_youtube_vis"),
    ),
    "cvat": FormatInfo(
        "CVAT for video 1.1: a track of masks an object",
        (".xml",),
        read_masks=_later("cvat", "read_cvat"),
        output="annotations.xml",
        holds=("overlap", "names"),
        write_all=_later("cvat", "write_cvat"),
    ),
    "labelme": FormatInfo(
        "a folder of labelme JSON, one a frame: polygons, and masks where polygons cannot be exact",
        (".json",),
        read_masks=_later("labelme", "read_labelme"),
        output="labelme",
        holds=("overlap", "names", "sizes"),
        write_frame=_later("labelme", "write_labelme"),
        frame_files="{name}.json",
    ),
    "overlay": FormatInfo(
        "an mp4 with contours, fills and object ids over the source",
        (".mp4",),
        output="overlay.mp4",
        write_all=write_overlay,
    ),
    "montage": FormatInfo(
        "a contact sheet: frames with contours, object ids and frame numbers in one PNG",
        (".png",),
        output="montage.png",
        holds=("sizes",),
        write_all=_later("montage", "write_montage"),
    ),
}


def check_fits(name: str, source: FrameSource) -> None:
    """Refuse a source whose masks cannot be written in a format.

    Raises:
        ValueError: it is such a source; the message names the format.
    """
    fits = FORMATS[name].fits
    sizes = {one.size for one in getattr(source, "geometries", ())}
    try:
        if len(sizes) > 1 and "sizes" not in FORMATS[name].holds:
            raise ValueError(f"the pictures of {source.name} differ in size: write png, rle, coco or labelme")
        if fits is not None:
            fits(source)
    except ValueError as error:
        raise ValueError(f"{name} cannot be written: {error}") from error


MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", "video"),
    (0, b"\x1a\x45\xdf\xa3", "video"),  # Matroska, WebM
    (8, b"AVI ", "video"),
    (0, b"\x00\x00\x01\xba", "video"),  # MPEG program stream
    (0, b"GIF8", "video"),
    (128, b"DICM", "dicom"),
    (0, b"NRRD", "nrrd"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (188, b"\x47", "video"),  # MPEG transport stream: a packet begins every 188 bytes
    (0, b"\x89PNG", "images"),
    (0, b"\xff\xd8\xff", "images"),
    (0, b"II*\x00", "tiff"),
    (0, b"MM\x00*", "tiff"),
    (0, b"BM", "images"),
    (344, b"n+1\x00", "nifti"),
)
"""(offset, bytes, format): how to know a file whose name does not tell."""


def open_source(
    path: str | Path,
    *,
    window: WindowChoice = "auto",
    plane: str = "axial",
    series: str | int | None = None,
    key: str | None = None,
    uneven: str = "refuse",
) -> FrameSource:
    """Open a video, a volume, a picture or a folder of pictures or DICOM files as frames.

    Args:
        path: what to open; its kind is told by the ending of its name, else by its first bytes.
        window: how values beyond 8 bits become grey levels: "auto", "percentile", "minmax", "none", a CT preset
            ("abdomen", "lung" ...), a paper's preparation ("medsam", "benchmark", "medsam-2"), (level, width), or a
            Preparation or Window of trocar.formats.
        plane: for volumes: "axial", "coronal" or "sagittal".
        series: for DICOM: the series' number, its UID or the UID's beginning; needed where there are several.
        key: for HDF5: the name of the data set.
        uneven: for DICOM: "keep" takes slices that are missing, doubled or unevenly spaced as they are.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it cannot be read, or an option does not apply to it; the message says why and what can be done.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    name = _format_of_folder(path) if path.is_dir() else _format_of(path)
    options = OpenOptions(window, plane, series, key, uneven)
    options.check_only(FORMATS[name].takes, path, FORMATS[name].about)
    opener = FORMATS[name].open
    assert opener is not None
    return opener(path, options)


def _format_of(path: Path) -> str:
    name = _by_ending(path) or kind_of_content(path)
    if name is None:
        readable = [info for info in FORMATS.values() if info.open is not None]
        endings = ", ".join(dict.fromkeys(ending for info in readable for ending in info.extensions))
        raise ValueError(
            f"{path} is not of a kind that can be read: give a folder of pictures or DICOM files, or one of {endings}"
        )
    return name


def _format_of_folder(folder: Path) -> str:
    """DICOM where a file is, which need not have an ending; a folder of folders is DICOM where one is below."""
    files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    kinds = {_by_ending(path) or kind_of_content(path) for path in files}
    if "dicom" in kinds or (not files and any(kind_of_content(path) == "dicom" for path in folder.rglob("*"))):
        return "dicom"
    return "images"


def _by_ending(path: Path) -> str | None:
    readable = ((name, info) for name, info in FORMATS.items() if info.open is not None)
    return next((name for name, info in readable if path.name.lower().endswith(info.extensions)), None)


def kind_of_content(path: Path) -> str | None:
    """The format that the first bytes of a file tell."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(512)
    matches = (name for offset, magic, name in MAGIC if head[offset : offset + len(magic)] == magic)
    return next(matches, None)


def _open_images(path: Path, window: WindowChoice) -> FrameSource:
    files = images.images_in(path) if path.is_dir() else path
    return images.ImageSource(files, str(path), window)
