"""Our SAM against transformers' SamModel on tiny random weights in float32: part by part, whole, and through a session.

The layer norms of transformers' decoder have an epsilon of 1e-6 by default, the release's and ours 1e-5: it is set.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from trocar.frames import ArraySource
from trocar.model import Network, PromptTensors
from trocar.model.checkpoint import load_tensors, load_weights
from trocar.model.config import MEDSAM, SAM_VIT_B
from trocar.model.key_map import upstream_name
from trocar.model.sam1 import make_network
from trocar.prompts import Box, Point, Prompt
from trocar.track.features import input_of
from trocar.track.session import Session

TOLERANCE = 1e-4  # of the largest value
SIDE, CELLS, DIM = 96, 6, 64


def assert_close(ours: Tensor, theirs: Tensor) -> None:
    assert ours.shape == theirs.shape
    scale = theirs.abs().max().clamp(min=1e-6)
    assert float((ours - theirs).abs().max() / scale) < TOLERANCE


@pytest.fixture(autouse=True)
def _still() -> Any:
    torch.manual_seed(3)
    with torch.no_grad():
        yield


def test_windowed_and_global_layers(sam_pair: tuple[Any, Network]) -> None:
    """Layers 0 and 2 attend in windows of 4 on a map of 6, which needs padding; layer 1 to the whole map."""
    model, network = sam_pair
    x = torch.randn(2, CELLS, CELLS, 48)
    for theirs, ours in zip(model.vision_encoder.layers, network.vit.blocks, strict=True):  # type: ignore[union-attr]
        assert_close(ours(x), theirs(x))


def test_image_encoder(sam_pair: tuple[Any, Network]) -> None:
    model, network = sam_pair
    images = torch.randn(2, 3, SIDE, SIDE)
    assert_close(network.encode_image(images).stride16, model.get_image_embeddings(images))


CLICKS = torch.tensor([[[20.0, 31.5], [70.0, 4.0]], [[90.0, 4.0], [11.0, 60.5]]])
CLICK_LABELS = torch.tensor([[1, 0], [1, 1]])
BOXES = torch.tensor([[10.0, 12.0, 70.5, 89.0], [3.0, 5.0, 40.0, 44.0]])
MASKS = torch.randn(2, 1, 24, 24, generator=torch.Generator().manual_seed(1)) * 10
PROMPTS = {
    "clicks": (True, False, False),
    "box": (False, True, False),
    "clicks and box": (True, True, False),
    "mask": (False, False, True),
    "mask and clicks": (True, False, True),
    "mask, clicks and box": (True, True, True),
}


def ours_of(clicks: bool, box: bool, mask: bool) -> PromptTensors:
    """Two rows of prompts; corners go before clicks, whose order does not matter to a decoder without places."""
    corners = BOXES.reshape(2, 2, 2) if box else torch.zeros(2, 0, 2)
    points = torch.cat((corners, CLICKS if clicks else CLICKS[:, :0]), dim=1)
    kinds = torch.tensor([[2, 3]]).expand(2, -1) if box else torch.zeros(2, 0, dtype=torch.long)
    labels = torch.cat((kinds, CLICK_LABELS if clicks else CLICK_LABELS[:, :0]), dim=1)
    return PromptTensors(points, labels, MASKS if mask else None)


def theirs_of(clicks: bool, box: bool, mask: bool) -> dict[str, Tensor]:
    said = {}
    if clicks:
        said |= {"input_points": CLICKS[:, None], "input_labels": CLICK_LABELS[:, None]}
    if box:
        said["input_boxes"] = BOXES[:, None]
    if mask:
        said["input_masks"] = MASKS
    return said


@pytest.mark.parametrize("kinds", PROMPTS.values(), ids=PROMPTS.keys())
def test_prompt_encoder(sam_pair: tuple[Any, Network], kinds: tuple[bool, bool, bool]) -> None:
    model, network = sam_pair
    said = dict.fromkeys(("input_points", "input_labels", "input_boxes", "input_masks")) | theirs_of(*kinds)
    sparse, dense = model.prompt_encoder(**said)
    encoder, prompts = network.prompt_encoder, ours_of(*kinds)
    assert_close(encoder.dense(prompts, CELLS, CELLS).expand(2, -1, CELLS, CELLS), dense.expand(2, -1, CELLS, CELLS))
    ours = encoder.points(prompts, SIDE)
    if sparse is None:
        assert ours.shape[1] == 0
    else:
        corners = 2 * kinds[1]
        assert_close(torch.cat((ours[:, corners:], ours[:, :corners]), dim=1), sparse[:, 0])
    assert_close(encoder.grid(CELLS, CELLS), model.get_image_wide_positional_embeddings())


@pytest.mark.parametrize("kinds", PROMPTS.values(), ids=PROMPTS.keys())
@pytest.mark.parametrize("multimask", [True, False])
def test_from_pixels_to_masks(sam_pair: tuple[Any, Network], kinds: tuple[bool, bool, bool], multimask: bool) -> None:
    model, network = sam_pair
    images = torch.randn(2, 3, SIDE, SIDE)
    theirs = model(pixel_values=images, multimask_output=multimask, **theirs_of(*kinds))
    frames = network.encode_image(images)
    ours = network.decode(
        network.attend(frames.stride16, None), frames.stride4, frames.stride8, ours_of(*kinds), multimask
    )
    assert_close(ours.masks, theirs.pred_masks[:, 0])
    assert_close(ours.iou, theirs.iou_scores[:, 0])


def test_vit_b_has_the_tensors_of_the_conversion() -> None:
    """Under transformers' names, which keep the position codes twice."""
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        theirs = {name: t.shape for name, t in transformers.SamModel(transformers.SamConfig()).state_dict().items()}
        ours = {upstream_name(name, "transformers", "sam") for name in make_network(SAM_VIT_B).state_dict()}
    assert set(theirs) - ours == {"shared_image_embedding.positional_embedding"}
    assert ours < set(theirs)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_both_kinds_of_converted_files_load(sam_pair: tuple[Any, Network], tmp_path: Path, name: str) -> None:
    """A safetensors file holds shared tensors once; which of the two names stays is up to its writer."""
    model, network = sam_pair
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if name.endswith("safetensors"):
        del tensors["prompt_encoder.shared_embedding.positional_embedding"]
        save_file(tensors, tmp_path / name)
    else:
        torch.save(tensors, tmp_path / name)
    other = make_network(network.config)
    load_weights(other, tmp_path / name)
    for key, tensor in other.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[key])


def picture(rows: int, columns: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(rows)
    image = rng.integers(0, 255, (rows, columns, 3), dtype=np.uint8)
    image[rows // 4 : rows // 2, columns // 4 : columns // 2] //= 4
    return image


SAID: dict[str, tuple[Prompt, ...]] = {
    "click": (Point(31, 22),),
    "clicks": (Point(31, 22), Point(8, 9, positive=False)),
    "box": (Box(12, 8, 40, 33),),
    "box and click": (Box(12, 8, 40, 33), Point(31, 22)),
}


def theirs_on(model: Any, image: NDArray[np.uint8], said: tuple[Prompt, ...], pixels: Tensor) -> Tensor:
    """(rows, columns) logits of transformers' processor, model and post-processing.

    The model gets our `pixels`: they are held to the processor's, up to one grey level that rounding may take or leave.
    """
    from transformers import SamProcessor
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    size = {"height": SIDE, "width": SIDE}
    processor = SamProcessor(SamImageProcessorPil(size={"longest_edge": SIDE}, pad_size=size))
    clicks = [one for one in said if isinstance(one, Point)]
    boxes = [[one.x0, one.y0, one.x1, one.y1] for one in said if isinstance(one, Box)]
    asked: dict[str, Any] = {"input_boxes": [boxes]} if boxes else {}
    if clicks:
        asked["input_points"] = [[[[one.x, one.y] for one in clicks]]]
        asked["input_labels"] = [[[int(one.positive) for one in clicks]]]
    inputs = processor(images=image, return_tensors="pt", **asked)
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    inputs = {name: t.float() if t.is_floating_point() else t for name, t in inputs.items()}
    difference = (inputs["pixel_values"][0] - pixels).abs()
    assert difference.max() < 1.01 / 255 / 0.224
    assert (difference > 1e-4).float().mean() < 0.01
    inputs["pixel_values"] = pixels[None]
    out = model(multimask_output=len(said) == 1 and bool(clicks), **inputs)
    masks: Tensor = processor.post_process_masks(out.pred_masks, *sizes, binarize=False)[0][0]
    return masks[out.iou_scores[0, 0].argmax()]


@pytest.mark.parametrize("size", [(60, 80), (130, 70), (96, 96), (41, 43)])
@pytest.mark.parametrize("said", SAID.values(), ids=SAID.keys())
def test_prompts_on_pictures_of_any_shape(
    sam_pair: tuple[Any, Network], size: tuple[int, int], said: tuple[Prompt, ...]
) -> None:
    """From source pixels to a mask of the source's size: the processor's geometry, there and back."""
    model, network = sam_pair
    image, shown = picture(*size), input_of(network.config)
    logits = theirs_on(model, image, said, shown.pixels(image))
    session = Session(network, ArraySource(image[None]))
    mask = session.add(*said).masks[1]
    low = next(iter(session.tracks[1].prompted.values())).logits
    session.close()
    assert_close(shown.to_frame(low[None], size)[0], logits)
    clear = logits.abs() > TOLERANCE * logits.abs().max()
    assert torch.equal(torch.from_numpy(mask)[clear], (logits > 0)[clear])


def test_medsam_on_a_picture(sam_pair: tuple[Any, Network]) -> None:
    """As MedSAM's inference script does it: box / (W, H) * S, one mask, resized as a probability, above one half."""
    model, network = sam_pair
    image, (x0, y0, x1, y1) = picture(60, 80), (12, 8, 40, 33)
    medsam = make_network(replace(network.config, name="tiny-medsam", input=MEDSAM.input)).eval()
    load_tensors(medsam, model.state_dict(), "transformers SAM")
    box = torch.tensor([[[x0 / 80, y0 / 60, x1 / 80, y1 / 60]]]) * SIDE
    pixels = input_of(medsam.config).pixels(image)[None]
    out = model(pixel_values=pixels, input_boxes=box, multimask_output=False)
    large = F.interpolate(out.pred_masks[:, 0].sigmoid(), size=(60, 80), mode="bilinear", align_corners=False)[0, 0]
    session = Session(medsam, ArraySource(image[None]))
    mask = torch.from_numpy(session.add(Box(x0, y0, x1, y1)).masks[1])
    session.close()
    clear = (large - 0.5).abs() > 1e-3
    assert clear.float().mean() > 0.9
    assert torch.equal(mask[clear], (large > 0.5)[clear])
