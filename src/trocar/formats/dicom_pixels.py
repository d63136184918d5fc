"""Pixels of DICOM files, frame by frame: decompressed, checked against what the header says, in RGB where in colour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"


def check_pixels(path: Path, header: Any) -> None:
    """Refuse what would be shown wrongly: a photometric interpretation that is unknown or does not fit the pixels.

    Refused, too, is a compression that cannot be decoded (MPEG streams).

    Raises:
        ValueError: see above.
    """
    syntax = header.file_meta.get("TransferSyntaxUID")
    try:
        readable = syntax is None or get_decoder(syntax).is_available
    except NotImplementedError:
        readable = False
    if not readable:
        raise ValueError(f"{path} is compressed as {UID(syntax).name}, which cannot be decoded: save it uncompressed")
    kind = str(header.get("PhotometricInterpretation", "missing"))
    samples = int(header.get("SamplesPerPixel", 1))
    if kind not in (*GREY, *COLOUR, PALETTE):
        known = ", ".join((*GREY, *COLOUR, PALETTE))
        raise ValueError(f"{path} has the photometric interpretation {kind}: only {known} can be read; convert it")
    if samples != (3 if kind in COLOUR else 1):
        raise ValueError(f"{path} says {kind} but has {samples} samples a pixel: its header is wrong, mend it first")
    if kind in COLOUR and int(header.get("BitsAllocated", 8)) != 8:
        raise ValueError(f"{path} holds colours of {header.BitsAllocated} bits: only 8 bits a channel can be read")


def is_grey(header: Any) -> bool:
    """Whether there is one value a pixel that means an intensity."""
    return str(header.PhotometricInterpretation) in GREY


def read_pixels(path: Path, frame: int) -> NDArray[Any]:
    """One frame as (rows, columns) stored values, or (rows, columns, 3) RGB for colour that is no palette.

    Raises:
        ValueError: it is damaged or compressed in a way that cannot be decoded.
    """
    try:
        return pixel_array(path, index=frame)
    except (AttributeError, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"the pixels of {path} cannot be decoded, they are damaged or cut short ({reason})") from error


def read_picture(path: Path, header: Any, frame: int) -> NDArray[Any]:
    """One frame: (rows, columns, 3) uint8 RGB, or (rows, columns) stored values of grey pictures."""
    pixels = read_pixels(path, frame)
    if str(header.PhotometricInterpretation) != PALETTE:
        return pixels
    colours = apply_color_lut(pixels, header)[..., :3]
    return np.asarray(colours >> 8 if colours.dtype == np.uint16 else colours, np.uint8)
