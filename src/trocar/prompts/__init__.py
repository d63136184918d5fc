"""How a user says "this": points, boxes, scribbles and masks."""

from trocar.prompts.check import check_prompt
from trocar.prompts.clicks import center_click, jittered_box, tight_box, uniform_click
from trocar.prompts.parse import (
    PlacedPrompt,
    parse_box,
    parse_path_at,
    parse_point,
    prompts_from_json,
    prompts_to_json,
)
from trocar.prompts.prompt import Box, MaskPrompt, Point, Prompt, Scribble

__all__ = [
    "Box",
    "MaskPrompt",
    "PlacedPrompt",
    "Point",
    "Prompt",
    "Scribble",
    "center_click",
    "check_prompt",
    "jittered_box",
    "parse_box",
    "parse_path_at",
    "parse_point",
    "prompts_from_json",
    "prompts_to_json",
    "tight_box",
    "uniform_click",
]
