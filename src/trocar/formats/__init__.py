"""File formats: each one's reader and writer; sources of frames, and output folders that masks stream into."""

from trocar.formats.convert import DROPPABLE, Conversion, ConvertOptions, convert_masks
from trocar.formats.intensity import PREPARATIONS, Preparation
from trocar.formats.mask_files import read_masks
from trocar.formats.mask_set import MaskSet, ObjectInfo, ReadOptions
from trocar.formats.output import MaskOutput, write_masks
from trocar.formats.table import FORMATS, FormatInfo, open_source
from trocar.formats.whole_file import write_run_record
from trocar.formats.window import Window

__all__ = [
    "DROPPABLE",
    "FORMATS",
    "PREPARATIONS",
    "Conversion",
    "ConvertOptions",
    "FormatInfo",
    "MaskOutput",
    "MaskSet",
    "ObjectInfo",
    "Preparation",
    "ReadOptions",
    "Window",
    "convert_masks",
    "open_source",
    "read_masks",
    "write_masks",
    "write_run_record",
]
