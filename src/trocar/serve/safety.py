"""Which files may be opened: those under offered folders, of bearable size, that refer to no other file.

Sizes are judged by what headers say, before anything is unpacked into memory.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trocar.formats import FORMATS
from trocar.formats.table import kind_of_content
from trocar.serve.errors import Refusal
from trocar.serve.settings import Limits

DEFLATED = "1.2.840.10008.1.2.1.99"
HEAD_BYTES = 65536


def below(root: Path, path: str) -> Path:
    """A file or folder under an offered folder, links resolved.

    Raises:
        Refusal: it lies elsewhere, or is not there.
    """
    home = root.resolve()
    try:
        found = (home / path).resolve()
        inside = found.is_relative_to(home)
        there = inside and found.exists()
    except (ValueError, OSError, RuntimeError) as error:  # a NUL, a name that is too long, links in a circle
        raise Refusal("invalid", "the path is no file name: give one relative to an offered folder") from error
    if not inside:
        raise Refusal("forbidden", "the path leads out of the offered folder: give one inside it")
    if not there:
        raise Refusal("missing", f"{path[:200]} is not in the offered folder: look at its list of files")
    return found


def check_files(path: Path, home: Path, limits: Limits) -> None:
    """Refuse a file, or a folder of files, that is too large, refers to others, or leads out of `home` by a link.

    Raises:
        Refusal: with the file's name and the limit.
    """
    files = list(_files(path, limits.frames)) if path.is_dir() else [path]
    if len(files) > limits.frames:
        raise Refusal("too_large", f"{path.name} holds more than {limits.frames} files: take it apart")
    for file in files:
        if not file.resolve().is_relative_to(home.resolve()):
            raise Refusal("forbidden", f"{file.name} is a link that leads out of its folder: put the file itself there")
        check = CHECKS.get(_kind(file) or "")
        if check is not None:
            try:
                check(file, limits)
            except Refusal:
                raise
            except Exception as error:  # whatever a library says of a damaged file
                raise Refusal("invalid", f"{file.name} is damaged or of another kind: copy it again") from error


def _files(folder: Path, most: int) -> Iterator[Path]:
    return islice((one for one in folder.rglob("*") if one.is_file()), most + 1)


def _kind(path: Path) -> str | None:
    named = (name for name, info in FORMATS.items() if info.open and path.name.lower().endswith(info.extensions))
    return next(named, None) or kind_of_content(path)


def check_picture_size(name: str, rows: int, columns: int, limits: Limits) -> None:
    """Refuse a picture of too many pixels."""
    if rows * columns > limits.picture_pixels:
        most = limits.picture_pixels // 1_000_000
        raise Refusal("too_large", f"{name} has {columns} x {rows} pixels: scale it down to {most} million at most")


def _volume(name: str, shape: tuple[int, ...], item_bytes: int, limits: Limits) -> None:
    size = math.prod(max(0, int(length)) for length in shape) * max(1, item_bytes)
    if size > limits.volume_bytes:
        most = limits.volume_bytes // 2**20
        raise Refusal("too_large", f"{name} unpacks to {size // 2**20} MiB: crop or resample it to {most} MiB at most")


def _picture(path: Path, limits: Limits) -> None:
    try:
        with Image.open(path) as image:
            columns, rows = image.size
            pages = getattr(image, "n_frames", 1)
    except Image.DecompressionBombError as error:
        raise Refusal("too_large", f"{path.name} has far too many pixels: scale it down") from error
    check_picture_size(path.name, rows, columns, limits)
    _volume(path.name, (pages, rows, columns), 1, limits)


def _video(path: Path, limits: Limits) -> None:
    import av

    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    # Playlists under a video's name make FFmpeg open other files and addresses.
    if head and b"\0" not in head and head.isascii():
        raise Refusal("invalid", f"{path.name} is text, not a video: give the video that it refers to")
    with av.open(str(path)) as container:
        for stream in container.streams.video:
            check_picture_size(path.name, stream.height, stream.width, limits)


def _nifti(path: Path, limits: Limits) -> None:
    import nibabel as nib

    image: Any = nib.load(path)
    _volume(path.name, image.shape, image.header.get_data_dtype().itemsize, limits)


def _itk(path: Path, limits: Limits) -> None:
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES).split(b"\n\n")[0].decode("latin-1")
    for line in head.splitlines():
        key, _, value = line.partition("=" if "=" in line else ":")
        # A header may name the file of its voxels: any file of this machine.
        if key.strip().lower().replace(" ", "") in ("elementdatafile", "datafile") and value.strip() != "LOCAL":
            raise Refusal("forbidden", f"{path.name} refers to another file: save it as one file (.mha, .nrrd)")
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    _volume(path.name, reader.GetSize(), 8 * reader.GetNumberOfComponents(), limits)


def _npz(path: Path, limits: Limits) -> None:
    with zipfile.ZipFile(path) as archive:
        unpacked = sum(one.file_size for one in archive.infolist())
        _volume(path.name, (unpacked,), 1, limits)
        for one in archive.infolist():
            if one.filename.endswith(".npy"):
                with archive.open(one) as file:
                    version = np.lib.format.read_magic(file)
                    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                    shape, _, dtype = read[version](file)
                _volume(path.name, shape, dtype.itemsize, limits)


def _hdf5(path: Path, limits: Limits) -> None:
    import h5py

    def look(name: str, thing: Any) -> None:
        if isinstance(thing, h5py.Dataset):
            if thing.external or thing.is_virtual:
                raise Refusal("forbidden", f"{path.name} refers to other files: save the data set itself in it")
            _volume(path.name, thing.shape or (), thing.dtype.itemsize, limits)
            _volume(path.name, thing.chunks or (), thing.dtype.itemsize, limits)

    def look_at_link(name: str, link: Any) -> None:
        if isinstance(link, h5py.ExternalLink):
            raise Refusal("forbidden", f"{path.name} refers to other files: save the data set itself in it")

    with h5py.File(path, "r") as file:
        file.visititems_links(look_at_link)
        file.visititems(look)


def _dicom(path: Path, limits: Limits) -> None:
    import pydicom

    try:
        meta = pydicom.filereader.read_file_meta_info(path)
    except pydicom.errors.InvalidDicomError:
        return  # the folder's reader passes over what is not DICOM
    if str(meta.get("TransferSyntaxUID", "")) == DEFLATED:
        raise Refusal("too_large", f"{path.name} is deflated as a whole, of unknown size: save it uncompressed")
    head = pydicom.dcmread(path, stop_before_pixels=True)
    rows, columns = int(head.get("Rows", 0) or 0), int(head.get("Columns", 0) or 0)
    check_picture_size(path.name, rows, columns, limits)
    if "SOPClassUID" in head and int(head.get("NumberOfFrames", 1) or 1) > limits.frames:
        raise Refusal("too_large", f"{path.name} says that it holds more than {limits.frames} frames: take it apart")


CHECKS: dict[str, Callable[[Path, Limits], None]] = {
    "video": _video,
    "images": _picture,
    "tiff": _picture,
    "nifti": _nifti,
    "nrrd": _itk,
    "metaimage": _itk,
    "npz": _npz,
    "hdf5": _hdf5,
    "dicom": _dicom,
}
"""By format: what its header must not say."""
