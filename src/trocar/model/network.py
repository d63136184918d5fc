"""SAM 2 as five verbs on plain tensors: encode an image, project and attend to memory, decode prompts, encode a memory.

Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024). Numerically equal to the published networks; it
knows no video, no object and no policy. Nothing here detaches or enters inference mode.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.config import STRIDE, NetworkConfig
from trocar.model.image_encoder import ImageEncoder
from trocar.model.layers import Mlp
from trocar.model.mask_decoder import MASK_TOKENS, STABILITY_FLOOR, MaskDecoder, stability
from trocar.model.memory_attention import MemoryAttention
from trocar.model.memory_encoder import MemoryEncoder
from trocar.model.motion import frame_views
from trocar.model.prompt_encoder import PromptEncoder
from trocar.model.rows import by_row, goes_by_row
from trocar.model.semantic_head import SemanticHead
from trocar.model.tensors import (
    CarriedMasks,
    Decoded,
    ImageFeatures,
    MemoryTokens,
    ProjectedMemory,
    PromptTensors,
    joined,
    row_of,
)

ANSWER_SHARE = 0.1  # of the decoder's answer where the motion is trusted: its logits are large, however sure it is
CARRIED_LIMIT = 10.0  # a carried mask joins the answer within +-10, as sure as a mask prompt is


class Network(nn.Module):
    """A SAM 2 network. F counts frames, R rows (object x hypothesis); a row never sees another row.

    The arithmetic does not depend on one input size: any square side that is a multiple of 32 pixels will do.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.hidden_dim
        self.image_encoder = ImageEncoder(config)
        self.memory_attention = MemoryAttention(config)
        self.prompt_encoder = PromptEncoder(config)
        self.mask_decoder = MaskDecoder(config)
        self.memory_encoder = MemoryEncoder(config)
        self.pointer_head = Mlp((dim, dim, dim, dim))
        self.absent_pointer = nn.Parameter(torch.empty(1, dim))
        self.mask_downsample = nn.Conv2d(1, 1, kernel_size=4, stride=4)
        self.semantic_head = SemanticHead(config, config.semantic) if config.semantic else None
        nn.init.trunc_normal_(self.absent_pointer, std=0.02)
        self.apply(_initialise)
        self.image_encoder.prepare_training()
        self.mask_decoder.prepare_training()
        self.memory_attention.prepare_training()

    def encode_image(self, images: Tensor) -> ImageFeatures:
        """(F, 3, S, S) normalised images -> features. S must be a multiple of 32."""
        height, width = images.shape[-2:]
        if height != width or height % STRIDE:
            raise ValueError(
                f"the network takes square images whose side is a multiple of {STRIDE}, not {height} x {width}: "
                "resize them first"
            )
        decoder = self.mask_decoder
        stride4, stride8, stride16 = self.image_encoder(images, decoder.stride4_conv, decoder.stride8_conv)
        view = frame_views(images) if self.config.mask_carried else None
        return ImageFeatures(stride4, stride8, stride16, view)

    def project_memory(self, spatial: Tensor, block: int = 1) -> ProjectedMemory:
        """The part of reading a (memory_dim, h, w) spatial memory that is the same each time, for `attend`.

        It takes more room than the memory itself: memory_layers * hidden_dim * 4 bytes a cell and its float32 copy.

        Args:
            spatial: the memory.
            block: so many cells a side are averaged before they are read; 1 reads each cell.
        """
        projected: ProjectedMemory = self.memory_attention.project(spatial, block)
        return projected

    def attend(self, stride16: Tensor, memory: MemoryTokens | None) -> Tensor:
        """Fuse raw features with what each row remembers -> (R, D, h, w).

        With nothing to attend to, the learned no-memory embedding is added instead.

        Args:
            stride16: (R, D, h, w), or (1, D, h, w) where all rows look at the same image: what does not depend on the
                memory is then done once. Without a memory there is one row.
            memory: of R rows.
        """
        fused: Tensor = self.memory_attention(stride16, memory)
        return fused

    def unremembered(self, stride16: Tensor) -> Tensor:
        """(R, D, h, w) raw features as `decode` takes them where nothing is remembered, as in still images."""
        return self.attend(stride16, None)

    def classify(self, raw: Tensor, fused: Tensor, memory: MemoryTokens) -> Tensor | None:
        """What the objects of R rows are, (R, K) logits; None for a network without a semantic head.

        Args:
            raw: (R or 1, D, h, w) the frames' own stride-16 features.
            fused: (R, D, h, w) from `attend`.
            memory: of R rows.
        """
        if self.semantic_head is None or self.config.semantic is None:
            return None
        logits: Tensor = self.semantic_head(raw if self.config.semantic.frame == "raw" else fused, memory)
        return logits

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
            fused: (R, D, h, w) from `attend`.
            stride4: (R, D/8, 4h, 4w).
            stride8: (R, D/4, 2h, 2w).
            prompts: rows with different numbers of points belong in different calls, as padding is a token too.
            multimask: whether to give the three candidates for an ambiguous prompt.
            stability_fallback: without `multimask`, let an unstable mask (stability below 0.98) be replaced by the
                best of the three candidates; the IoU follows, the pointer does not, as in the release.
        """
        if not goes_by_row(fused):
            return self._decode(fused, stride4, stride8, prompts, multimask, stability_fallback)

        def one(row: int) -> Decoded:
            image, fine, finer = (part[row : row + 1] for part in (fused, stride8, stride4))
            return self._decode(image, finer, fine, row_of(prompts, row), multimask, stability_fallback)

        return joined(by_row(one, len(fused)))

    def _decode(
        self,
        fused: Tensor,
        stride4: Tensor,
        stride8: Tensor,
        prompts: PromptTensors,
        multimask: bool,
        stability_fallback: bool,
    ) -> Decoded:
        height, width = fused.shape[-2:]
        encoder, decoder = self.prompt_encoder, self.mask_decoder
        dense = fused + encoder.dense(prompts, height, width)
        tokens, image, iou, score = decoder(
            dense, stride4, stride8, encoder.points(prompts, 16 * width), encoder.grid(height, width)
        )
        which = range(1, MASK_TOKENS) if multimask else range(1)
        own = slice(which.start, which.stop)
        masks, chosen_iou = decoder.paint(tokens, image, which), iou[:, own]
        if stability_fallback and not multimask:
            others, best = decoder.paint(tokens, image, range(1, MASK_TOKENS)), iou[:, 1:].argmax(dim=1, keepdim=True)
            stable = stability(masks) >= STABILITY_FLOOR
            best_mask = others.take_along_dim(best[..., None, None], dim=1)
            masks = torch.where(stable[..., None, None], masks, best_mask)
            chosen_iou = torch.where(stable, chosen_iou, iou[:, 1:].take_along_dim(best, dim=1))
        decoded = Decoded(masks, chosen_iou, score, self.pointer_head(tokens[:, own]))
        return decoded if prompts.carried is None else _joined_by(decoded, prompts.carried)

    def encode_memory(self, stride16_raw: Tensor, mask: Tensor, present: Tensor) -> Tensor:
        """A frame's spatial memory: (R or 1, D, h, w), (R, 1, 16h, 16w) in 0..1, (R,) bool -> (R, memory_dim, h, w).

        Rows whose object is not present get the learned absence vector, in networks that have one (2.1).
        """
        memory: Tensor = self.memory_encoder(stride16_raw, mask, present)
        return memory

    def downsample_mask(self, mask: Tensor) -> Tensor:
        """(R, 1, S, S) of 0 and 1 -> (R, 1, S/4, S/4), the dense prompt that makes a mask prompt's pointer."""
        out: Tensor = self.mask_downsample(mask.to(self.absent_pointer.dtype))
        return out


def _joined_by(decoded: Decoded, carried: CarriedMasks) -> Decoded:
    """Answers that count the less the more the motion is trusted which masks were carried along."""
    share = ANSWER_SHARE + (1 - ANSWER_SHARE) * (1 - carried.trust).square()
    answer = F.interpolate(decoded.masks, size=share.shape[-2:], mode="bilinear", align_corners=False)
    fine = share * answer + carried.logits.clamp(-CARRIED_LIMIT, CARRIED_LIMIT)
    masks = F.interpolate(fine, size=decoded.masks.shape[-2:], mode="area")
    return replace(decoded, masks=masks.to(decoded.masks), fine=fine)


def _initialise(module: nn.Module) -> None:
    """Weights from which training can start; published networks overwrite all of them."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
        assert module.bias is not None
        nn.init.zeros_(module.bias)
