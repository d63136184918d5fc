"""Video encoders: clips in, tokens out. VideoMAE, V-JEPA 2, and image encoders that look at each frame for itself.

The layers are those of `transformers` (extra `pretrain`); this file gives them one face, one file format, and a forward
pass over part of the tokens, which pretraining needs. Sources: Tong et al. 2022 (VideoMAE), Assran et al. 2025
(V-JEPA 2), Siméoni et al. 2025 (DINOv3).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trocar.model.checkpoint import WeightsError, read_head

KIND = "trocar video encoder"
FRAMES = 8  # of a clip, for image encoders, which do not say
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: Image encoders for the family "frames": transformers' name of the kind -> its model, and where its blocks are.
IMAGE_MODELS: dict[str, tuple[str, str]] = {
    "dinov3_vit": ("DINOv3ViTModel", "model.layer"),
    "dinov2": ("Dinov2Model", "encoder.layer"),
    "clip_vision_model": ("CLIPVisionModel", "encoder.layers"),
    "vit": ("ViTModel", "layers"),
}
_CONFIGS = {
    "dinov3_vit": "DINOv3ViTConfig",
    "dinov2": "Dinov2Config",
    "clip_vision_model": "CLIPVisionConfig",
    "vit": "ViTConfig",
}
#: Of a configuration of transformers: what says nothing about the network, or is said by our own fields.
_NOT_KEPT = (
    "architectures", "model_type", "transformers_version", "dtype", "torch_dtype", "id2label", "label2id",
    "hidden_size", "num_hidden_layers", "num_attention_heads", "image_size", "crop_size", "patch_size", "num_frames",
    "frames_per_clip", "tubelet_size", "pred_num_hidden_layers", "num_pooler_layers",
)  # fmt: skip


@dataclass(frozen=True)
class VideoEncoderConfig:
    """What a video encoder is, its weights apart.

    Args:
        family: "videomae" and "vjepa2" take a clip as one volume; "frames" encodes each frame for itself.
        width: D, numbers in a token.
        depth: blocks.
        heads: of each block's attention.
        side: S, of the square frames, in pixels.
        frames: T, of a clip.
        patch: side of the square that a token stands for, in pixels.
        tubelet: frames that a token stands for; 1 for "frames".
        name: what people call it.
        image_model: of the family "frames": "dinov3_vit", "dinov2", "clip_vision_model" or "vit".
        mean, std: of the colours, which values in 0..1 are normalised with; ImageNet's.
        details: further settings of transformers' configuration, as JSON.

    Raises:
        ValueError: the numbers do not go together.
    """

    family: Literal["videomae", "vjepa2", "frames"] = "videomae"
    width: int = 768
    depth: int = 12
    heads: int = 12
    side: int = 224
    frames: int = 16
    patch: int = 16
    tubelet: int = 2
    name: str = ""
    image_model: str = "dinov3_vit"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    details: str = "{}"

    def __post_init__(self) -> None:
        numbers = (self.width, self.depth, self.heads, self.side, self.frames, self.patch, self.tubelet)
        if min(numbers) < 1:
            raise ValueError(f"an encoder needs width, depth, heads, side, frames, patch and tubelet >= 1: {self}")
        for whole, part, what in (
            (self.width, self.heads, "width {} is no multiple of heads {}"),
            (self.side, self.patch, "side {} is no multiple of patch {}"),
            (self.frames, self.tubelet, "frames {} is no multiple of tubelet {}"),
        ):
            if whole % part:
                raise ValueError(f"encoder {what.format(whole, part)}: choose numbers that divide")
        if self.family == "vjepa2" and self.width // self.heads < 6:
            raise ValueError(
                f"{self.width // self.heads} numbers a head leave none for time, height and width: take 6 or more"
            )
        if self.family == "frames" and (self.tubelet != 1 or self.image_model not in IMAGE_MODELS):
            raise ValueError(f"the family 'frames' takes tubelet 1 and an image_model of {', '.join(IMAGE_MODELS)}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """Places of tokens in time, height and width."""
        return self.frames // self.tubelet, self.side // self.patch, self.side // self.patch

    @property
    def tokens(self) -> int:
        """N, tokens of a clip; a frame of the family "frames" has a class token before its patches."""
        time, height, width = self.grid
        return time * (height * width + (self.family == "frames"))


class VideoEncoder(nn.Module):
    """Tokens of clips.

    The order of tokens is time, height, width; in the family "frames" each frame begins with its class token.

    Args:
        config: which encoder.
        body: layers that exist already, those of a network in pretraining; left out, new ones with fresh weights.

    Raises:
        ValueError: `transformers` is not installed.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, config: VideoEncoderConfig, body: nn.Module | None = None) -> None:
        super().__init__()
        self.config = config
        self.body: Any = _fresh(config) if body is None else body
        self.register_buffer("mean", torch.tensor(config.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(3, 1, 1), persistent=False)

    @property
    def blocks(self) -> nn.ModuleList:
        """The transformer's blocks, first to last."""
        where = {"videomae": "encoder.layer", "vjepa2": "layer"}
        path = where.get(self.config.family) or IMAGE_MODELS[self.config.image_model][1]
        found: nn.ModuleList = self.body.get_submodule(path)
        return found

    def forward(self, clips: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encode clips.

        Args:
            clips: (B, T, 3, S, S) float, colours in 0..1; normalised here.
            keep: (B, K) long, the tokens that are encoded; the others are not looked at. Left out: all.

        Returns:
            (B, N, D), or (B, K, D) in the order of `keep`.

        Raises:
            ValueError: the clips are of another size, or `keep` is given to the family "frames".
        """
        config = self.config
        if clips.shape[1:] != (config.frames, 3, config.side, config.side):
            raise ValueError(
                f"{config.name or config.family} takes clips (B, {config.frames}, 3, {config.side}, {config.side}), "
                f"not {tuple(clips.shape)}: draw as many frames, crop and scale them"
            )
        normal = (clips - self.mean) / self.std
        if config.family == "frames":
            if keep is not None:
                raise ValueError("an encoder of single frames has no masked forward pass: leave out keep")
            return self._frame_tokens(normal)
        if config.family == "vjepa2":
            hidden = _kept(self.body.embeddings(normal), keep)
            for layer in self.body.layer:
                hidden = layer(hidden, keep)[0]
            out: Tensor = self.body.layernorm(hidden)
            return out
        tokens: Tensor = self.body.encoder(_kept(self.body.embeddings(normal, None), keep)).last_hidden_state
        norm: nn.Module | None = self.body.layernorm  # none in the layout for fine-tuning, which pools first
        return tokens if norm is None else cast(Tensor, norm(tokens))

    def _frame_tokens(self, normal: Tensor) -> Tensor:
        """(B, T * (1 + H * W), D): registers are left out; CLIP's tokens get the norm that its class token gets."""
        count, length = normal.shape[:2]
        hidden: Tensor = self.body(pixel_values=normal.flatten(0, 1)).last_hidden_state
        if self.config.image_model == "clip_vision_model":
            hidden = self.body.post_layernorm(hidden)
        patches = self.config.grid[1] * self.config.grid[2]
        hidden = torch.cat((hidden[:, :1], hidden[:, -patches:]), 1)
        return hidden.view(count, length * (1 + patches), -1)


def _kept(tokens: Tensor, keep: Tensor | None) -> Tensor:
    """Some of the tokens, (B, N, D) and (B, K) -> (B, K, D)."""
    return tokens if keep is None else tokens.gather(1, keep[..., None].expand(-1, -1, tokens.shape[-1]))


def make_video_encoder(config: VideoEncoderConfig) -> VideoEncoder:
    """An encoder with the weights that pretraining begins with; what they are follows from torch's random state.

    Raises:
        ValueError: `transformers` is not installed.
    """
    encoder = VideoEncoder(config)
    draw_weights(encoder)
    if config.family == "vjepa2":
        shrink_branches(encoder.blocks)
    return encoder


@torch.no_grad()
def draw_weights(network: nn.Module) -> None:
    """Xavier draws for linear layers and filters, biases 0 (Glorot and Bengio 2010), as in VideoMAE's release.

    The draws of `transformers` have a deviation of 0.02, with which small encoders hardly learn.
    """
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.xavier_uniform_(module.weight.flatten(1))  # a view: the filter of a token is one row
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@torch.no_grad()
def shrink_branches(blocks: Iterable[Any]) -> None:
    """Divide what block n of V-JEPA 2 adds to the stream, counted from 1, by sqrt(2 n), as in V-JEPA's release."""
    for number, block in enumerate(blocks, 1):
        block.attention.proj.weight /= math.sqrt(2 * number)
        block.mlp.fc2.weight /= math.sqrt(2 * number)


def transformers_module(name: str = "") -> Any:
    """`transformers`, or a module inside it; imported only when an encoder is wanted, since that takes seconds.

    Raises:
        ValueError: it is not installed.
    """
    try:
        return import_module(f"transformers{name and '.'}{name}")
    except ImportError as error:
        raise ValueError("a video encoder needs transformers: pip install 'trocar[pretrain]'") from error


def transformers_config(config: VideoEncoderConfig, **more: Any) -> Any:
    """The configuration of transformers for an encoder, with further settings; they go before `details`."""
    names = {"hidden_size": config.width, "num_hidden_layers": config.depth, "num_attention_heads": config.heads}
    given: dict[str, Any] = {**json.loads(config.details), **names, "patch_size": config.patch, **more}
    package = transformers_module()
    if config.family == "vjepa2":
        sizes = {"crop_size": config.side, "frames_per_clip": config.frames, "tubelet_size": config.tubelet}
        return package.VJEPA2Config(**{"pred_num_hidden_layers": 0, **given, **sizes})
    given = {"intermediate_size": 4 * config.width, **given, "image_size": config.side}
    if config.family == "videomae":
        sizes = {"num_frames": config.frames, "tubelet_size": config.tubelet}
        return package.VideoMAEConfig(**{"use_mean_pooling": False, **given, **sizes})
    return getattr(package, _CONFIGS[config.image_model])(**given)


def _fresh(config: VideoEncoderConfig) -> nn.Module:
    """Layers with fresh weights."""
    package, settings = transformers_module(), transformers_config(config)
    if config.family == "vjepa2":
        encoder: nn.Module = package.VJEPA2Model(settings).encoder
        return encoder
    if config.family == "videomae":
        whole: nn.Module = package.VideoMAEModel(settings)
        return whole
    model = getattr(package, IMAGE_MODELS[config.image_model][0])
    image: nn.Module = model(settings, **({"add_pooling_layer": False} if config.image_model == "vit" else {}))
    return image


def save_video_encoder(
    encoder: VideoEncoder, path: Path, info: Mapping[str, str], dtype: torch.dtype = torch.float16
) -> None:
    """Write an encoder as safetensors that say which encoder it is; the file appears whole or not at all.

    Args:
        encoder: what to write.
        path: where.
        info: what else people should know (recipe, data, licence), kept as text in the file's head.
        dtype: float16 halves the file; float32 keeps every bit.
    """
    tensors = {name: one.detach().to("cpu", dtype).contiguous() for name, one in encoder.state_dict().items()}
    head = {**info, "kind": KIND, "video_encoder": json.dumps(asdict(encoder.config))}
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, part, metadata=head)
    part.chmod(0o644)
    os.replace(part, path)


def open_video_encoder(path: Path, frames: int | None = None) -> VideoEncoder:
    """An encoder with its weights, in evaluation mode and float32.

    Args:
        path: a file that `save_video_encoder` wrote, or a folder of transformers: VideoMAE, V-JEPA 2, or an image
            encoder of IMAGE_MODELS (with `config.json` and the weights).
        frames: of a clip, if other than the encoder says; not for VideoMAE, whose positions are those of its clips.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: it is no video encoder, is damaged, or takes another number of frames.
    """
    if path.is_dir():
        encoder = _open_folder(path)
    elif path.is_file():
        encoder = _open_file(path)
    else:
        raise FileNotFoundError(f"{path} is not there: give a weights file, or a folder of transformers")
    own = encoder.config
    if frames not in (None, own.frames):
        if own.family == "videomae":
            raise ValueError(f"{path} takes clips of {own.frames} frames and no others: draw as many")
        encoder = VideoEncoder(replace(own, frames=int(frames or 0)), encoder.body)
    return encoder.float().eval()


def read_video_encoder_config(path: Path) -> VideoEncoderConfig:
    """What a file says of its encoder, without its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not one of ours.
    """
    said = read_head(path)
    if said.get("kind") != KIND:
        raise WeightsError(f"{path} is not a video encoder: `trocar pretrain` writes one")
    values = json.loads(said["video_encoder"])
    if unknown := sorted(set(values) - {field.name for field in fields(VideoEncoderConfig)}):
        raise WeightsError(f"{path} was written by another version: it sets {', '.join(unknown)}; update trocar")
    return VideoEncoderConfig(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


def _open_file(path: Path) -> VideoEncoder:
    encoder = VideoEncoder(read_video_encoder_config(path))
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
        encoder.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged ({str(error).splitlines()[0]}): fetch or train it again") from error
    return encoder


def _open_folder(folder: Path) -> VideoEncoder:
    """An encoder that transformers has saved."""
    file = folder / "config.json"
    if not file.is_file():
        raise FileNotFoundError(f"{folder} holds no config.json: give a folder that transformers has saved")
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type", "")
    kind = "clip_vision_model" if kind == "clip" else kind
    models = {"videomae": "VideoMAEModel", "vjepa2": "VJEPA2Model", **{k: v[0] for k, v in IMAGE_MODELS.items()}}
    if kind not in models:
        raise WeightsError(f"{folder} holds a {kind or 'nameless'} model: trocar reads {', '.join(models)}")
    more = {"add_pooling_layer": False} if kind == "vit" else {}
    try:
        body, found = getattr(transformers_module(), models[kind]).from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=torch.float32, **more
        )
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise WeightsError(f"{folder} cannot be read ({reason}): fetch its files again") from error
    missing = sorted(name for name in found["missing_keys"] if not name.startswith("predictor."))
    if missing:
        raise WeightsError(f"{folder} lacks {len(missing)} tensors, such as {missing[0]}: fetch its files again")
    config = _config_of(body.config, kind, folder)
    return VideoEncoder(config, body.encoder if kind == "vjepa2" else body)


def _config_of(said: Any, kind: str, folder: Path) -> VideoEncoderConfig:
    """Our configuration for one of transformers."""
    kept = {name: value for name, value in said.to_diff_dict().items() if name not in _NOT_KEPT}
    video = kind in ("videomae", "vjepa2")
    if kind == "videomae":  # whose default is the layout for fine-tuning
        kept["use_mean_pooling"] = said.use_mean_pooling
    if hasattr(said, "intermediate_size"):  # the same holds for this, where we take four times the width
        kept["intermediate_size"] = said.intermediate_size
    colours = folder / "preprocessor_config.json"
    colours = colours if colours.is_file() else folder / "video_preprocessor_config.json"
    known = json.loads(colours.read_text(encoding="utf-8")) if colours.is_file() else {}
    frames = {"videomae": "num_frames", "vjepa2": "frames_per_clip"}.get(kind)
    return VideoEncoderConfig(
        family=kind if video else "frames",  # type: ignore[arg-type]  # it is one of the three
        width=said.hidden_size,
        depth=said.num_hidden_layers,
        heads=said.num_attention_heads,
        side=said.crop_size if kind == "vjepa2" else said.image_size,
        frames=getattr(said, frames) if frames else FRAMES,
        patch=said.patch_size,
        tubelet=said.tubelet_size if video else 1,
        name=folder.resolve().name,
        image_model="dinov3_vit" if video else kind,
        mean=tuple(known.get("image_mean", IMAGENET_MEAN)),
        std=tuple(known.get("image_std", IMAGENET_STD)),
        details=json.dumps(kept),
    )
