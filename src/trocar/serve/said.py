"""What a client said, as prompts: checked before anything large is made of it."""

from __future__ import annotations

import base64
import binascii
import io
import json
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.prompts import MaskPrompt, PlacedPrompt, prompts_from_json
from trocar.serve.errors import Refusal
from trocar.serve.ledger import Ledger
from trocar.wire import Patch, Prompting, PromptMessage, SourceMessage, apply_patch

MOST_PROMPTS = 1000
MOST_PLACES = 100_000


def placed_prompts(asked: Prompting, told: SourceMessage, ledger: Ledger) -> list[PlacedPrompt]:
    """The prompts of a message.

    Raises:
        Refusal, ValueError: none or too many, a frame that is not there, or a value that makes no prompt.
    """
    if not 0 <= asked.frame < told.frames:
        raise Refusal("invalid", f"frame {asked.frame} is outside {told.name}: frames are 0 to {told.frames - 1}")
    if not 1 <= len(asked.prompts) <= MOST_PROMPTS:
        raise Refusal("invalid", f"a prompting has 1 to {MOST_PROMPTS} prompts: send a box, point, scribble or mask")
    ledger.objects.get(asked.object)
    rows, columns = told.sizes[asked.frame] if told.sizes else told.size
    placed = []
    for one in asked.prompts:
        kinds = [name for name in ("box", "point", "scribble", "mask", "png") if getattr(one, name) is not None]
        if len(kinds) != 1:
            raise Refusal(
                "invalid", f"a prompt is one of box, point, scribble, mask and png, not {len(kinds)}: split it"
            )
        if kinds[0] in ("mask", "png"):
            mask = _mask(one, (rows, columns), asked, ledger)
            placed.append(PlacedPrompt(MaskPrompt(mask), asked.frame, asked.object))
        else:
            placed += _drawn(one, kinds[0], asked)
    return placed


def _drawn(one: PromptMessage, kind: str, asked: Prompting) -> list[PlacedPrompt]:
    value = getattr(one, kind)
    if kind == "scribble" and len(value) > MOST_PLACES:
        raise Refusal("too_large", f"a scribble has at most {MOST_PLACES} places: draw it in parts")
    entry = {"object": asked.object, "frame": asked.frame, kind: value}
    if kind != "box":
        entry["positive"] = one.positive
    flat = np.array(value if kind != "scribble" else [number for place in value for number in place], dtype=object)
    if not all(math.isfinite(number) for number in flat):
        raise Refusal("invalid", f"the {kind} has a number that is none: send finite ones")
    return prompts_from_json(json.dumps([entry]))


def _mask(one: PromptMessage, size: tuple[int, int], asked: Prompting, ledger: Ledger) -> NDArray[np.bool_]:
    if one.png is not None:
        return _from_png(one.png, size)
    patch = one.mask
    assert patch is not None
    if list(patch.size) != list(size):  # before anything of that size is made
        raise Refusal("invalid", f"the mask is of {patch.size} pixels: send one of the frame's {size[0]} x {size[1]}")
    return apply_patch(patch, _base(patch, asked, ledger))


def _base(patch: Patch, asked: Prompting, ledger: Ledger) -> NDArray[np.bool_] | None:
    """The mask that a brush stroke was painted on."""
    if not patch.base:
        return None
    shown = next((one for one in ledger.masks(asked.frame, asked.frame) if one.object == asked.object), None)
    if shown is None or shown.version != patch.base:
        raise Refusal("conflict", "the mask that was painted on has changed meanwhile: load it again and paint anew")
    return apply_patch(shown.patch)


def _from_png(text: str, size: tuple[int, int]) -> NDArray[np.bool_]:
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True)), formats=["PNG"]) as image:
            if (image.height, image.width) != size:
                raise Refusal("invalid", f"the mask has another size: send one of {size[0]} x {size[1]} pixels")
            pixels = np.asarray(image.convert("RGB"))
    except (binascii.Error, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise Refusal("invalid", "the mask is no PNG in base64: send one, or a patch") from error
    return np.asarray((pixels > 0).any(axis=2), np.bool_)
