"""Masks as values: one frame's masks, run-length codes, overlap and clean-up."""

from trocar.masks.cleanup import fill_holes, remove_specks, split_components, tidied, without_small
from trocar.masks.frame_masks import FrameMasks, joined
from trocar.masks.overlap import from_label_map, to_label_map
from trocar.masks.rle import Rle, from_rle, rle_area, rle_box, to_rle

__all__ = [
    "FrameMasks",
    "Rle",
    "fill_holes",
    "from_label_map",
    "from_rle",
    "joined",
    "remove_specks",
    "rle_area",
    "rle_box",
    "split_components",
    "tidied",
    "to_label_map",
    "to_rle",
    "without_small",
]
