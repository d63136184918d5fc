"""How a user says "this": points, boxes, scribbles and masks."""

from trocar.prompts.box3d import Box3d
from trocar.prompts.check import check_prompt
from trocar.prompts.parse import (
    PlacedPrompt,
    parse_box,
    parse_box3d,
    parse_path_at,
    parse_point,
    prompts_from_json,
    prompts_to_json,
)
from trocar.prompts.prompt import Box, ClassPrompt, MaskPrompt, Point, Prompt, Scribble
from trocar.prompts.simulate import (
    center_click,
    center_click3d,
    jittered_box,
    middle_slice_box,
    outset_box,
    tight_box,
    uniform_click,
)

__all__ = [
    "Box",
    "Box3d",
    "ClassPrompt",
    "MaskPrompt",
    "PlacedPrompt",
    "Point",
    "Prompt",
    "Scribble",
    "center_click",
    "center_click3d",
    "check_prompt",
    "jittered_box",
    "middle_slice_box",
    "outset_box",
    "parse_box",
    "parse_box3d",
    "parse_path_at",
    "parse_point",
    "prompts_from_json",
    "prompts_to_json",
    "tight_box",
    "uniform_click",
]
