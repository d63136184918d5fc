"""Compare our network on a release's weights file with transformers on Hugging Face's conversion of the same weights.

Run as `python scripts/check_published_weights.py sam2.1-tiny sam2.1_hiera_tiny.pt`; it fetches the conversion.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor
from transformers import Sam2VideoModel, SamModel

from trocar.model import MemoryTokens, Network, PromptTensors
from trocar.model.checkpoint import load_weights
from trocar.model.registry import MODELS, model_info
from trocar.model.sam1 import make_network

TOLERANCE = 1e-4  # of the largest value


def sam_pairs(model: SamModel, network: Network) -> dict[str, tuple[Tensor, Tensor]]:
    """Our tensors and theirs, for one image with a box."""
    side = network.config.image_size
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    box = torch.tensor([[[0.2, 0.3], [0.7, 0.8]]]) * side
    ours, theirs = network.encode_image(images), model.get_image_embeddings(images)
    prompts = PromptTensors(box, torch.tensor([[2, 3]]))
    out = network.decode(ours.stride16, ours.stride4, ours.stride8, prompts, multimask=True)
    found = model(image_embeddings=theirs, input_boxes=box.reshape(1, 1, 4), multimask_output=True)
    return {
        "features": (ours.stride16, theirs),
        "masks": (out.masks, found.pred_masks[:, 0]),
        "predicted IoU": (out.iou, found.iou_scores[:, 0]),
    }


def pairs(model: Sam2VideoModel, network: Network) -> dict[str, tuple[Tensor, Tensor]]:
    """Our tensors and theirs, for one frame with a box and one that remembers it."""
    side, cells, dim = network.config.image_size, network.config.image_size // 16, network.config.hidden_dim
    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    theirs = [x.permute(1, 2, 0) for x in model.get_image_features(images).fpn_hidden_states]
    maps = [x.unflatten(2, (int(x.shape[2] ** 0.5), -1)) for x in theirs]
    ours = network.encode_image(images)
    prompts = PromptTensors(torch.tensor([[[0.2, 0.3], [0.7, 0.8]]]) * side, torch.tensor([[2, 3]]))
    sparse, dense = model.prompt_encoder(prompts.points[:, None], prompts.labels[:, None], None, None)
    model.mask_decoder.dynamic_multimask_via_stability = False
    image, grid = maps[2] + model.no_memory_embedding.mT[..., None], model.get_image_wide_positional_embeddings()
    masks, iou, tokens, score = model.mask_decoder(image, grid, sparse, dense, False, maps[:2])
    out = network.decode(network.attend(ours.stride16, None), ours.stride4, ours.stride8, prompts, multimask=False)
    soft = torch.nn.functional.interpolate(out.masks, scale_factor=4.0, mode="bilinear").sigmoid()
    memory, place = model.memory_encoder(maps[2], soft * 20 - 10)
    entry = network.encode_memory(ours.stride16, soft, torch.tensor([True]))
    one = torch.ones(1, 1)
    cells_ready = [[network.project_memory(entry[0])]]
    remembered = MemoryTokens(cells_ready, torch.tensor([[6]]), None, out.pointers, one / 15, one)
    cut, codes = model._process_object_pointers([1], [out.pointers[:, 0]], 16, 1, dim, images.device)
    key = place.flatten(2).permute(2, 0, 1) + model.memory_temporal_positional_encoding[6]
    memories, keys = torch.cat((memory.flatten(2).permute(2, 0, 1), cut)), torch.cat((key, codes))
    query_place = model.vision_encoder.neck.position_encoding(maps[2].shape, images.device, images.dtype)
    query, query_place = theirs[2].permute(2, 0, 1), query_place.flatten(2).permute(2, 0, 1)
    attended = model.memory_attention(query, memories, query_place, keys, len(cut))
    return {
        "features": (ours.stride16, maps[2]),
        "mask": (out.masks, masks[:, 0]),
        "predicted IoU": (out.iou, iou[:, 0]),
        "object score": (out.object_score, score[:, 0, 0]),
        "pointer": (out.pointers, model.object_pointer_proj(tokens)[:, 0]),
        "memory": (entry, memory),
        "attention": (network.attend(ours.stride16, remembered), attended[0].mT.unflatten(2, (cells, cells))),
    }


@torch.no_grad()
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=[name for name, info in MODELS.items() if info.repository])
    parser.add_argument("file", type=Path)
    arguments = parser.parse_args()
    info = model_info(arguments.model)
    network = make_network(info.config).eval()
    load_weights(network, arguments.file)
    kind, compared = (Sam2VideoModel, pairs) if network.config.remembers else (SamModel, sam_pairs)
    model = kind.from_pretrained(info.repository, dtype=torch.float32).eval()
    worst = 0.0
    for name, (ours, theirs) in compared(model, network).items():
        difference = float((ours - theirs).abs().max() / theirs.abs().max())
        worst = max(worst, difference)
        print(f"{name:15} {difference:.1e} of scale")
    print("equal" if worst < TOLERANCE else f"NOT equal: more than {TOLERANCE:g} of scale")
    return int(worst >= TOLERANCE)


if __name__ == "__main__":
    sys.exit(main())
