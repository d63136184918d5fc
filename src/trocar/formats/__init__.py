"""File formats: each one's reader and writer; sources of frames, and output folders that masks stream into."""

from trocar.formats.output import MaskOutput, write_masks
from trocar.formats.table import FORMATS, FormatInfo, open_source
from trocar.formats.whole_file import write_run_record

__all__ = ["FORMATS", "FormatInfo", "MaskOutput", "open_source", "write_masks", "write_run_record"]
