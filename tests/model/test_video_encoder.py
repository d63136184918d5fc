"""Video encoders equal those of transformers on tiny random weights, in both forms of file, and say what is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from trocar.model.video_encoder import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VideoEncoderConfig,
    make_video_encoder,
    open_video_encoder,
    read_video_encoder_config,
    save_video_encoder,
    transformers_module,
)

SIZES = {"width": 48, "depth": 2, "heads": 4, "side": 32, "patch": 8}
CONFIGS = {
    "videomae": VideoEncoderConfig("videomae", **SIZES, frames=4, tubelet=2),
    "vjepa2": VideoEncoderConfig("vjepa2", **SIZES, frames=4, tubelet=2),
    "dinov3_vit": VideoEncoderConfig(
        "frames", **SIZES, frames=3, tubelet=1, details='{"num_register_tokens": 2, "intermediate_size": 96}'
    ),
    "dinov2": VideoEncoderConfig("frames", **SIZES, frames=3, tubelet=1, image_model="dinov2"),
    "clip_vision_model": VideoEncoderConfig(
        "frames", **SIZES, frames=3, tubelet=1, image_model="clip_vision_model", mean=(0.48, 0.46, 0.41)
    ),
    "vit": VideoEncoderConfig("frames", **SIZES, frames=3, tubelet=1, image_model="vit", mean=(0.5,) * 3),
}
TINY = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 8}
STOCK: dict[str, Any] = {
    "videomae": lambda: transformers.VideoMAEModel(
        transformers.VideoMAEConfig(
            **TINY, intermediate_size=192, image_size=32, num_frames=4, tubelet_size=2, use_mean_pooling=False
        )
    ),
    "vjepa2": lambda: transformers.VJEPA2Model(
        transformers.VJEPA2Config(**TINY, crop_size=32, frames_per_clip=4, tubelet_size=2, pred_num_hidden_layers=1)
    ),
    "dinov3_vit": lambda: transformers.DINOv3ViTModel(
        transformers.DINOv3ViTConfig(**TINY, image_size=32, intermediate_size=96, num_register_tokens=2)
    ),
    "dinov2": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**TINY, image_size=32)),
    "clip_vision_model": lambda: transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(**TINY, image_size=32, intermediate_size=100)
    ),
    "vit": lambda: transformers.ViTModel(
        transformers.ViTConfig(**TINY, image_size=32, intermediate_size=96), add_pooling_layer=True
    ),
}


def stirred(module: nn.Module) -> nn.Module:
    """Random weights everywhere, so that no zero or one hides a missing step."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return module.eval()


def clips_for(config: VideoEncoderConfig, count: int = 2) -> Tensor:
    return torch.rand(count, config.frames, 3, config.side, config.side, generator=torch.Generator().manual_seed(1))


def stock_tokens(name: str, model: nn.Module, clips: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """What transformers itself says of clips: of frames, its class token first, then the patches."""
    normal = (clips - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    if name == "videomae":
        return model(normal).last_hidden_state
    if name == "vjepa2":
        return model(normal, skip_predictor=True).last_hidden_state
    out = model(pixel_values=normal.flatten(0, 1))
    hidden = out.last_hidden_state
    if name == "clip_vision_model":
        hidden = model.post_layernorm(hidden)
        torch.testing.assert_close(hidden[:, 0], out.pooler_output)
    rows = torch.cat((hidden[:, :1], hidden[:, 3:] if name == "dinov3_vit" else hidden[:, 1:]), 1)
    return rows.reshape(len(clips), -1, rows.shape[-1])


def saved_folder(name: str, folder: Path) -> nn.Module:
    """A folder as transformers saves one, with its colours beside it where they are not ImageNet's."""
    model = stirred(STOCK[name]())
    model.save_pretrained(folder)
    if name == "vit":
        colours = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
        (folder / "preprocessor_config.json").write_text(json.dumps(colours))
    return model


@pytest.mark.parametrize("name", CONFIGS)
def test_tokens_of_a_folder_are_those_of_transformers_and_survive_our_own_file(name: str, tmp_path: Path) -> None:
    model = saved_folder(name, tmp_path / "tiny")
    encoder = open_video_encoder(tmp_path / "tiny", frames=None if name == "videomae" else 4)
    config = encoder.config
    assert (config.family, config.frames, config.name) == (CONFIGS[name].family, 4, "tiny")
    clips = clips_for(config)
    colours = ((0.5,) * 3, (0.5,) * 3) if name == "vit" else (IMAGENET_MEAN, IMAGENET_STD)
    with torch.inference_mode():
        tokens = encoder(clips)
        torch.testing.assert_close(tokens, stock_tokens(name, model, clips, *colours))
    assert tokens.shape == (2, config.tokens, config.width)
    assert len(encoder.blocks) == config.depth

    save_video_encoder(encoder, tmp_path / "own.safetensors", {"licence": "none"}, torch.float32)
    again = open_video_encoder(tmp_path / "own.safetensors")
    assert again.config == config == read_video_encoder_config(tmp_path / "own.safetensors")
    with torch.inference_mode():
        assert torch.equal(again(clips), tokens)


@pytest.mark.parametrize("name", CONFIGS)
def test_fresh_encoders_have_the_sizes_that_their_settings_say(name: str) -> None:
    config = CONFIGS[name]
    encoder = make_video_encoder(config).eval()
    with torch.inference_mode():
        tokens = encoder(clips_for(config))
    assert tokens.shape == (2, config.tokens, 48)
    assert config.tokens == (2 * 4 * 4 if config.tubelet == 2 else 3 * 17)


@pytest.mark.parametrize("name", CONFIGS)
def test_fresh_weights_are_xaviers_and_v_jepas_deep_branches_are_small(name: str) -> None:
    encoder = make_video_encoder(CONFIGS[name])
    shrunk = {}
    if name == "vjepa2":
        for number, block in enumerate(encoder.blocks, 1):
            for part in ("attention.proj", "mlp.fc2"):
                shrunk[block.get_submodule(part)] = (2 * number) ** 0.5
        assert len(shrunk) == 2 * len(encoder.blocks) > 2
    layers = [one for one in encoder.modules() if isinstance(one, nn.Linear | nn.Conv2d | nn.Conv3d)]
    assert layers
    for layer in layers:
        rows = layer.weight.detach().flatten(1)
        bound = (6 / sum(rows.shape)) ** 0.5 / shrunk.get(layer, 1.0)
        assert 0.9 * bound < float(rows.abs().max()) <= 1.000001 * bound
        assert layer.bias is None or not layer.bias.detach().any()


@pytest.mark.parametrize("name", ["videomae", "vjepa2"])
def test_kept_tokens_know_nothing_of_the_others_and_all_of_them_are_the_whole(name: str) -> None:
    config = CONFIGS[name]
    encoder = stirred(make_video_encoder(config))
    clips = clips_for(config)
    rng = torch.Generator().manual_seed(0)
    every = torch.stack([torch.randperm(config.tokens, generator=rng) for _ in range(2)])
    with torch.inference_mode():
        whole = encoder(clips)
        torch.testing.assert_close(encoder(clips, every), whole.gather(1, every[..., None].expand(-1, -1, 48)))
        few = encoder(clips, every[:, :5])
        changed = clips.clone()
        for row, hidden in enumerate(every[:, 5:]):  # other pixels where nothing was kept
            for place in hidden.tolist():
                time, rest = divmod(place, 16)
                y, x = divmod(rest, 4)
                changed[row, 2 * time : 2 * time + 2, :, 8 * y : 8 * y + 8, 8 * x : 8 * x + 8] = 0.3
        assert torch.equal(encoder(changed, every[:, :5]), few)
        assert not torch.allclose(few, whole.gather(1, every[:, :5, None].expand(-1, -1, 48)), atol=1e-3)


def test_clips_of_another_size_are_refused() -> None:
    encoder = make_video_encoder(CONFIGS["videomae"])
    with pytest.raises(ValueError, match=r"takes clips \(B, 4, 3, 32, 32\), not \(1, 4, 3, 16, 16\)"):
        encoder(torch.rand(1, 4, 3, 16, 16))
    frames = make_video_encoder(CONFIGS["vit"])
    with pytest.raises(ValueError, match="leave out keep"):
        frames(clips_for(CONFIGS["vit"]), torch.zeros(2, 1, dtype=torch.long))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 5}, "no multiple of heads"),
        ({"patch": 7}, "no multiple of patch"),
        ({"frames": 5}, "no multiple of tubelet"),
        ({"depth": 0}, ">= 1"),
        ({"family": "vjepa2", "heads": 12}, "6 or more"),
        ({"family": "frames"}, "tubelet 1"),
        ({"family": "frames", "tubelet": 1, "image_model": "resnet"}, "image_model of dinov3_vit"),
    ],
)
def test_sizes_that_do_not_go_together_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(CONFIGS["videomae"], **changes)


def test_files_and_folders_that_hold_no_encoder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="a folder of transformers"):
        open_video_encoder(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        open_video_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "resnet"}')
    with pytest.raises(ValueError, match="holds a resnet model: trocar reads videomae, vjepa2, dinov3_vit"):
        open_video_encoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "videomae"}')
    with pytest.raises(ValueError, match="fetch its files again"):
        open_video_encoder(tmp_path)
    text = tmp_path / "weights.safetensors"
    text.write_text("no tensors")
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        open_video_encoder(text)
    save_video_encoder(make_video_encoder(CONFIGS["videomae"]), tmp_path / "own.safetensors", {})
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ValueError, match="4 frames and no others"):
        open_video_encoder(tmp_path / "own.safetensors", frames=8)


def test_a_folder_that_lacks_tensors_is_refused(tmp_path: Path) -> None:
    saved_folder("videomae", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ValueError, match=r"lacks \d+ tensors, such as encoder\.layer\.2"):
        open_video_encoder(tmp_path)


def test_without_transformers_the_remedy_is_said() -> None:
    with pytest.raises(ValueError, match=r"pip install 'trocar\[pretrain\]'"):
        transformers_module("no_such_part")
