"""Masks as values: one frame's masks, run-length codes, overlap and clean-up."""

from trocar.masks.cleanup import fill_holes, remove_specks, tidied
from trocar.masks.frame_masks import FrameMasks
from trocar.masks.overlap import from_label_map, to_label_map
from trocar.masks.rle import Rle, from_rle, rle_area, rle_box, to_rle

__all__ = [
    "FrameMasks",
    "Rle",
    "fill_holes",
    "from_label_map",
    "from_rle",
    "remove_specks",
    "rle_area",
    "rle_box",
    "tidied",
    "to_label_map",
    "to_rle",
]
