"""SAM and MedSAM: the network before memory, with the verbs of SAM 2 that it has a use for.

Kirillov et al., "Segment Anything" (2023); Ma et al., "Segment anything in medical images" (2024).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import NetworkConfig
from trocar.model.mask_decoder import MASK_TOKENS, MaskDecoder
from trocar.model.network import Network
from trocar.model.prompt_encoder import PromptEncoder
from trocar.model.tensors import Decoded, ImageFeatures, MemoryTokens, ProjectedMemory, PromptTensors
from trocar.model.vit_encoder import PATCH, VitEncoder

MASK_LOGIT = 10.0  # a mask given as a prompt speaks with logits of +-10


class SamNetwork(Network):
    """A SAM network: images and prompts to masks, frame by frame; there is nothing to attend to or to encode.

    What SAM 2 added is filled in: the finer maps have no channels, the object always counts as there, and a
    candidate's mask token stands where its object pointer would.
    """

    def __init__(self, config: NetworkConfig) -> None:
        nn.Module.__init__(self)  # not Network's own, which would build the memory
        self.config = config
        self.vit = VitEncoder(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.register_buffer("absent_pointer", torch.zeros(1, config.hidden_dim), persistent=False)

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """(F, 3, S, S) prepared images -> features. S must be a multiple of 16."""
        count, _, height, width = images.shape
        if height != width or height % PATCH:
            raise ValueError(
                f"the network takes square images whose side is a multiple of {PATCH}, not {height} x {width}: "
                "resize or pad them first"
            )
        stride16 = self.vit(images)
        stride4, stride8 = (stride16.new_empty(count, 0, height // stride, width // stride) for stride in (4, 8))
        return ImageFeatures(stride4, stride8, stride16)

    def project_memory(self, spatial: Tensor, block: int = 1) -> ProjectedMemory:
        """ValueError: SAM has no memory."""
        raise ValueError(self._no_memory)

    def attend(self, stride16: Tensor, memory: MemoryTokens | None) -> Tensor:
        """(R, D, h, w) as they are; ValueError if there is a memory to attend to."""
        if memory is not None:
            raise ValueError(self._no_memory)
        return stride16

    def decode(
        self,
        fused: Tensor,
        stride4: Tensor,
        stride8: Tensor,
        prompts: PromptTensors,
        multimask: bool,
        stability_fallback: bool = False,
    ) -> Decoded:
        """Masks for R rows: 3 candidates with `multimask`, else the single-mask token's one.

        Args:
            fused: (R, D, h, w).
            stride4: not read.
            stride8: not read.
            prompts: rows with a box and rows without belong in different calls, as only the latter are padded.
            multimask: whether to give the three candidates for an ambiguous prompt.
            stability_fallback: not read; SAM has no such rule.
        """
        height, width = fused.shape[-2:]
        encoder, decoder = self.prompt_encoder, self.mask_decoder
        dense = fused + encoder.dense(prompts, height, width)
        points = encoder.points(prompts, PATCH * width)
        tokens, image, iou, score = decoder(dense, stride4, stride8, points, encoder.grid(height, width))
        which = range(1, MASK_TOKENS) if multimask else range(1)
        own = slice(which.start, which.stop)
        return Decoded(decoder.paint(tokens, image, which), iou[:, own], score, tokens[:, own])

    def encode_memory(self, stride16_raw: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        """ValueError: SAM has no memory."""
        raise ValueError(self._no_memory)

    def downsample_mask(self, mask: Tensor) -> Tensor:
        """(R, 1, S, S) of 0 and 1 -> (R, 1, S/4, S/4) logits, as SAM takes masks for prompts."""
        return F.avg_pool2d(mask.to(self.absent_pointer.dtype) * 2 - 1, 4) * MASK_LOGIT

    @property
    def _no_memory(self) -> str:
        return (
            f"{self.config.name!r} has no memory to track with: take the memory policy 'none' and prompt every frame, "
            "or take a SAM 2 network"
        )


def make_network(config: NetworkConfig) -> Network:
    """A network of these sizes with fresh weights."""
    return Network(config) if config.remembers else SamNetwork(config)
