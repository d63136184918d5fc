"""Vectors of clips are what their tokens say, whatever the encoder."""

from __future__ import annotations

import pytest
import torch

from trocar.model import Network, tiny_random
from trocar.model.clip_embedder import ClipEmbedder
from trocar.model.video_encoder import VideoEncoderConfig, make_video_encoder
from trocar.track.features import MEAN, STD


def image_encoder(frames: int = 1) -> VideoEncoderConfig:
    return VideoEncoderConfig("frames", 48, 2, 4, 32, frames, 8, 1, image_model="vit")


def test_a_tracking_network_gives_the_mean_of_its_map() -> None:
    torch.manual_seed(0)
    network = Network(tiny_random()).eval()
    clips = torch.rand(2, 3, 3, 64, 64)
    found = ClipEmbedder(network)(clips)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (MEAN, STD))
    for number, clip in enumerate(clips):
        with torch.inference_mode():
            maps = torch.stack([network.encode_image((frame - mean)[None] / std).stride16[0] for frame in clip])
        expected = maps.mean((0, 2, 3))
        assert torch.allclose(found[number], expected / expected.norm(), atol=1e-5)


def test_an_image_encoder_gives_the_mean_of_class_tokens_or_of_patches() -> None:
    torch.manual_seed(0)
    encoder = make_video_encoder(image_encoder()).eval()
    clips = torch.rand(2, 3, 3, 32, 32)
    with torch.inference_mode():
        tokens = torch.stack([encoder(clips[:, frame : frame + 1]) for frame in range(3)])  # (3, 2, 17, 48)
    for pooling, expected in (("class", tokens[:, :, 0].mean(0)), ("mean", tokens[:, :, 1:].mean((0, 2)))):
        found = ClipEmbedder(encoder, pooling)(clips)  # type: ignore[arg-type]
        assert torch.allclose(found, torch.nn.functional.normalize(expected, dim=1), atol=1e-5)
    with pytest.raises(ValueError, match="open it with frames=1"):
        ClipEmbedder(make_video_encoder(image_encoder(frames=4)))


def test_a_video_encoder_gives_the_mean_of_its_tokens_and_says_how_many_frames() -> None:
    torch.manual_seed(0)
    encoder = make_video_encoder(VideoEncoderConfig("videomae", 48, 2, 4, 32, 4, 8, 2)).eval()
    embedder = ClipEmbedder(encoder)
    assert (embedder.frames, embedder.side) == (4, 32)
    clips = torch.rand(2, 4, 3, 32, 32)
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(encoder(clips).mean(1), dim=1)
    assert torch.allclose(embedder(clips), expected, atol=1e-6)


def test_the_digest_tells_weights_and_pooling() -> None:
    torch.manual_seed(0)
    one, other = Network(tiny_random()), Network(tiny_random())
    assert ClipEmbedder(one).digest() == ClipEmbedder(one).digest()
    assert len({ClipEmbedder(one).digest(), ClipEmbedder(other).digest(), ClipEmbedder(one, "mean").digest()}) == 3
