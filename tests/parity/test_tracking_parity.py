"""The loop against transformers' Sam2VideoModel over whole runs: a prompt, 20 tracked frames, an object that goes.

transformers stores memories in bfloat16, as the release does, so our entries are stored so too. Where it departs from
the release we follow the release, and these runs stay clear of the difference: `any` over the objects' prompts,
previous masks not fed back and pointers of prompts beyond a limit do not show with one object and one prompt; and a
mask prompt enters the memory at full resolution there, but as the upsampled low-resolution mask in the release and
here, which is the same for a mask without corners whose edges lie on the low-resolution grid. The pointer of a mask
prompt comes from the best of three mask tokens there, from the single-mask token in the release and here:
`as_released` mends that before comparing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from trocar.frames import ArraySource
from trocar.memory import Recent
from trocar.model.checkpoint import load_tensors
from trocar.model.network import Network
from trocar.prompts import Box, MaskPrompt, Point, Prompt
from trocar.track.entries import StepSettings
from trocar.track.features import to_network_input
from trocar.track.session import Session, SessionOptions

FRAMES = 21
SIDE = 128
TOLERANCE = 1e-4  # of the scale of what is compared
PROMPTS: dict[str, Prompt] = {
    "box": Box(30, 20, 90, 100),
    "click": Point(60, 50),
    "mask": MaskPrompt(np.zeros((SIDE, SIDE), np.bool_)),
}
PROMPTS["mask"].mask[20:72] = True  # type: ignore[union-attr]


def images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A square that wanders over noise, so that frames differ."""
    made = np.random.default_rng(5).integers(0, 255, (FRAMES, SIDE, SIDE, 3), dtype=np.uint8)
    for frame, picture in enumerate(made):
        picture[20 + 2 * frame : 60 + 2 * frame, 30:90] //= 4
    return made


def as_released(model: Any) -> Any:
    """Let a mask prompt's pointer come from the single-mask token (sam2_base.py, `_use_mask_as_output`)."""
    forward = model._single_frame_forward

    def single(*arguments: Any, **named: Any) -> Any:
        named.setdefault("multimask_output", False)  # only the call for mask prompts leaves it out
        return forward(*arguments, **named)

    model._single_frame_forward = single
    return model


def theirs(model: Any, prompt: Prompt, start: int, reverse: bool) -> list[tuple[torch.Tensor, float]]:
    """(low-resolution logits, object score) of each frame by transformers."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    video = torch.stack([to_network_input(image, SIDE) for image in images()])
    session = Sam2VideoInferenceSession(video=video, video_height=SIDE, video_width=SIDE, dtype=torch.float32)
    index = session.obj_id_to_idx(1)
    if isinstance(prompt, MaskPrompt):
        session.add_mask_inputs(index, start, torch.from_numpy(prompt.mask)[None, None].float())
    else:
        corners = (
            [(prompt.x0, prompt.y0), (prompt.x1, prompt.y1)] if isinstance(prompt, Box) else [(prompt.x, prompt.y)]
        )
        labels = [2, 3] if isinstance(prompt, Box) else [1]
        points = {
            "point_coords": torch.tensor(corners).float()[None, None],
            "point_labels": torch.tensor(labels)[None, None],
        }
        session.add_point_inputs(index, start, points)
    session.obj_with_new_inputs = [1]
    out = [model(session, frame_idx=start)]
    out += list(model.propagate_in_video_iterator(session, start_frame_idx=start, reverse=reverse))[1:]
    return [(one.pred_masks[0, 0], float(one.object_score_logits)) for one in out]


def ours(network: Network, prompt: Prompt, start: int, reverse: bool) -> list[tuple[torch.Tensor, float]]:
    options = SessionOptions(StepSettings(entry_dtype=torch.bfloat16), snapshot_every=100)
    session = Session(network, ArraySource(images()), Recent(mode="faithful"), options)
    session.add(prompt, frame=start)
    seen = []
    for masks in session.propagate("backward" if reverse else "forward"):
        entry = next(entry for entry in session.tracks[1].entries.values() if entry.time == masks.frame)
        seen.append((entry.logits, entry.object_score))
    session.close()
    return seen


def with_presence_bias(model: Any, network: Network, shift: float) -> tuple[Any, Network]:
    """Both networks with the presence logit shifted, so that the object is judged absent on some frames."""
    model, moved = as_released(copy.deepcopy(model)), Network(network.config).eval()
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias += shift
    load_tensors(moved, model.state_dict(), "shifted")
    return model, moved


def assert_equal_runs(
    model: Any, network: Network, prompt: Prompt, start: int = 0, reverse: bool = False
) -> list[float]:
    expected, found = theirs(model, prompt, start, reverse), ours(network, prompt, start, reverse)
    assert len(expected) == len(found)
    for (mask, score), (our_mask, our_score) in zip(expected, found, strict=True):
        scale = max(1.0, float(mask.abs().max()))
        assert float((mask - our_mask).abs().max()) <= TOLERANCE * scale
        assert abs(score - our_score) <= TOLERANCE * max(1.0, abs(score))
    return [score for _, score in expected]


@pytest.mark.parametrize("version", ["2.0", "2.1"])
@pytest.mark.parametrize("prompt", sorted(PROMPTS))
def test_a_prompt_and_twenty_tracked_frames(
    hf_pair: Callable[[str], tuple[Any, Network]], version: str, prompt: str
) -> None:
    model, network = hf_pair(version)
    assert_equal_runs(*with_presence_bias(model, network, 50.0), PROMPTS[prompt])


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_an_object_that_is_absent_on_some_frames(hf_pair: Callable[[str], tuple[Any, Network]], version: str) -> None:
    model, network = hf_pair(version)
    plain = [score for _, score in ours(network, PROMPTS["box"], 0, False)]
    shifted = with_presence_bias(model, network, -float(np.median(plain[1:])))
    scores = assert_equal_runs(*shifted, PROMPTS["box"])
    assert min(scores[1:]) < 0 < max(scores[1:])


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_tracking_backwards(hf_pair: Callable[[str], tuple[Any, Network]], version: str) -> None:
    model, network = hf_pair(version)
    assert_equal_runs(*with_presence_bias(model, network, 50.0), PROMPTS["box"], start=FRAMES - 1, reverse=True)
