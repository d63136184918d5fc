"""One vector a clip, to compare clips by: pooled tokens of any of our encoders.

SurgRec (section 3.1) takes 768 numbers of DINOv3 a clip and does not say of which frames or tokens. Here: every frame's
class token, or the mean of its patches where there is none or it is asked for; the mean over frames; length 1.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.model.network import Network
from trocar.model.video_encoder import IMAGENET_MEAN, IMAGENET_STD, VideoEncoder

Pooling = Literal["class", "mean"]


class ClipEmbedder(nn.Module):
    """Clips to vectors.

    Args:
        encoder: a video encoder, an image encoder in its clothes (family "frames"), or a tracking network, whose
            stride-16 map is averaged.
        pooling: "class" takes class tokens where the encoder has them, "mean" the mean of the patches.

    Raises:
        ValueError: an image encoder was not opened for single frames.
    """

    def __init__(self, encoder: VideoEncoder | Network, pooling: Pooling = "class") -> None:
        super().__init__()
        if isinstance(encoder, VideoEncoder) and encoder.config.family == "frames" and encoder.config.frames != 1:
            raise ValueError("an image encoder embeds frame by frame: open it with frames=1")
        self.encoder = encoder
        self.pooling = pooling
        self.requires_grad_(False).eval()

    @property
    def side(self) -> int:
        """Rows and columns of the frames that it takes, pixels."""
        return self.encoder.config.side if isinstance(self.encoder, VideoEncoder) else self.encoder.config.image_size

    @property
    def frames(self) -> int | None:
        """How many frames a clip must have; None where any number will do."""
        if isinstance(self.encoder, VideoEncoder) and self.encoder.config.family != "frames":
            return self.encoder.config.frames
        return None

    def digest(self) -> str:
        """What tells these weights and this pooling from others, 16 hexadecimal digits."""
        sha = hashlib.sha256(self.pooling.encode())
        for name, tensor in sorted(self.encoder.state_dict().items()):
            sha.update(name.encode())
            sha.update(tensor.detach().cpu().float().contiguous().numpy().tobytes())
        return sha.hexdigest()[:16]

    @torch.inference_mode()
    def forward(self, clips: Tensor) -> Tensor:
        """(B, T, 3, S, S) in 0..1 -> (B, D) of length 1."""
        if isinstance(self.encoder, VideoEncoder):
            vectors = self._of_tokens(self.encoder, clips)
        else:
            mean, std = (torch.tensor(one, device=clips.device).view(3, 1, 1) for one in (IMAGENET_MEAN, IMAGENET_STD))
            maps = self.encoder.encode_image(((clips - mean) / std).flatten(0, 1)).stride16
            vectors = maps.mean((2, 3)).view(len(clips), clips.shape[1], -1).mean(1)
        return F.normalize(vectors.float(), dim=1)

    def _of_tokens(self, encoder: VideoEncoder, clips: Tensor) -> Tensor:
        if encoder.config.family != "frames":
            whole: Tensor = encoder(clips)
            return whole.mean(1)
        tokens: Tensor = encoder(clips.flatten(0, 1)[:, None])
        frames = tokens[:, 0] if self.pooling == "class" else tokens[:, 1:].mean(1)
        return frames.view(len(clips), clips.shape[1], -1).mean(1)
