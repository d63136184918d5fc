"""A class model: a class-prompt head and its own tuned mask decoder, beside a network that stays as it is."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trocar.classprompt.config import ClassPromptConfig
from trocar.classprompt.encoder import ENCODER, encoder_fingerprint
from trocar.classprompt.head import ClassPromptHead
from trocar.classprompt.likeness import Likeness
from trocar.model.checkpoint import WeightsError, read_head
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures

KIND = "trocar class model"


@dataclass(frozen=True, eq=False)
class ClassAnswers:
    """What R rows got, a row being a class that is asked for on a frame.

    Args:
        logits: (R, s, s), s being a quarter of the input's side.
        quality: (R,) predicted IoU.
        object_score: (R,) logit; the same high value for all of a network that does not tell (SAM).
    """

    logits: Tensor
    quality: Tensor
    object_score: Tensor


@dataclass(frozen=True, eq=False)
class ClassMasks:
    """C classes on F frames.

    Args:
        logits: (F, C, s, s).
        quality: (F, C) predicted IoU.
        object_score: (F, C) logit.
    """

    logits: Tensor
    quality: Tensor
    object_score: Tensor


class ClassModel(nn.Module):
    """Masks of named classes from a network's features (SurgicalSAM, figure 3).

    Only `head` and `decoder` learn; `likeness` is fitted when they have. The network gives features, the positions of
    places, and nothing else; it is passed to each call and never changed.
    """

    def __init__(self, config: ClassPromptConfig, network: Network) -> None:
        """A model to be trained.

        Args:
            config: its classes and sizes; the encoder's fingerprint is filled in where it is missing.
            network: whose mask decoder and point embeddings it starts from.

        Raises:
            ValueError: the head is for features of another width.
        """
        super().__init__()
        if config.dim != network.config.hidden_dim:
            raise ValueError(
                f"a head for features of {config.dim} channels does not fit {network.config.name!r}, which has "
                f"{network.config.hidden_dim}: choose the network that it was made for"
            )
        self.config = replace(config, encoder=config.encoder or encoder_fingerprint(network))
        self.head = ClassPromptHead(self.config)
        self.head.take_signs(network)
        self.likeness = Likeness(len(config.names))
        self.decoder = copy.deepcopy(network.mask_decoder)
        for name, parameter in self.decoder.named_parameters():  # all but what encoding an image runs through
            parameter.requires_grad_(not f"mask_decoder.{name}".startswith(ENCODER))

    def answer(
        self, network: Network, features: ImageFeatures, classes: Tensor, frame: Tensor | None = None
    ) -> ClassAnswers:
        """One mask a row, by the single-mask token as in the release; differentiable in what learns.

        Args:
            network: the frozen one that encoded the images.
            features: of F frames.
            classes: (R,) long.
            frame: (R,) long, the frame that each row looks at; None where row r looks at frame r.
        """
        frame = torch.arange(len(classes), device=classes.device) if frame is None and self.config.added else frame
        groups = self._apart(classes)
        if len(groups) == 1 or frame is None:
            return self._answer(network, features, classes, frame)
        parts = [self._answer(network, features, classes[rows], frame[rows]) for rows in groups]
        back = torch.cat(groups).argsort()
        logits, quality, score = (
            torch.cat([getattr(one, name) for one in parts])[back] for name in ("logits", "quality", "object_score")
        )
        return ClassAnswers(logits, quality, score)

    def _apart(self, classes: Tensor) -> list[Tensor]:
        """The rows that go together: those of the trained classes, and those of each added one."""
        if not self.config.added:
            return [torch.arange(len(classes), device=classes.device)]
        of = classes.clamp(min=self.config.trained - 1)
        return [(of == one).nonzero()[:, 0] for one in of.unique()]

    def _answer(self, network: Network, features: ImageFeatures, classes: Tensor, frame: Tensor | None) -> ClassAnswers:
        """The answers of rows that go together."""
        dtype = self.head.prototypes.dtype
        raw = features.stride16.to(dtype)
        with torch.no_grad():
            fused = network.unremembered(features.stride16).to(dtype)
            place = network.prompt_encoder.grid(*raw.shape[-2:]).to(dtype)
        prompts = self.head.embed(raw, classes, frame)
        if frame is not None:
            fused, features = fused[frame], features.rows(frame)
        tokens, image, iou, score = self.decoder(
            fused + prompts.dense, features.stride4.to(dtype), features.stride8.to(dtype), prompts.sparse, place
        )
        return ClassAnswers(self.decoder.paint(tokens, image, range(1))[:, 0], iou[:, 0], score)

    def masks(self, network: Network, features: ImageFeatures, classes: Sequence[int]) -> ClassMasks:
        """The masks of some classes on F frames, whether or not they show there.

        Args:
            network: the frozen one that encoded the images.
            features: of F frames.
            classes: C numbers of classes, from 0; `config.numbers` gives them for names.
        """
        device, count = features.stride16.device, len(features.stride16)
        wanted = torch.tensor(list(classes), dtype=torch.long, device=device)
        frame = torch.arange(count, device=device).repeat_interleave(len(wanted))
        rows = self.answer(network, features, wanted.repeat(count), frame)
        return ClassMasks(
            *(one.unflatten(0, (count, len(wanted))) for one in (rows.logits, rows.quality, rows.object_score))
        )

    def save(self, path: Path, info: dict[str, str] | None = None, dtype: torch.dtype = torch.float16) -> None:
        """Write head and decoder as safetensors that say what they are; the file appears whole or not at all.

        Args:
            path: where.
            info: what else people should know (recipe, data, licence), kept as text in the file's head.
            dtype: float16 halves the file; float32 keeps every bit.
        """
        tensors = {
            # What likeness was fitted to spans many sizes, which half the bits would lose.
            name: one.detach().to("cpu", torch.float32 if name.startswith("likeness.") else dtype).contiguous()
            for name, one in self.state_dict().items()
        }
        head = {**(info or {}), "kind": KIND, "class_prompts": json.dumps(asdict(self.config))}
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, part, metadata=head)
        part.chmod(0o644)
        os.replace(part, path)


def read_class_config(path: Path) -> ClassPromptConfig:
    """What a file of a class model says of itself, without its tensors.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not one of ours.
    """
    said = read_head(path)
    if said.get("kind") != KIND:
        raise WeightsError(f"{path} is not a class model: `trocar train` writes one from a recipe of class prompts")
    values = json.loads(said["class_prompts"])
    if unknown := sorted(set(values) - {field.name for field in fields(ClassPromptConfig)}):
        raise WeightsError(f"{path} was written by another version: it sets {', '.join(unknown)}; update trocar")
    presence = tuple(tuple(row) for row in values.pop("presence", ()))
    return ClassPromptConfig(**{**values, "names": tuple(values["names"]), "presence": presence})


def open_class_model(path: Path, network: Network) -> ClassModel:
    """The class model that `ClassModel.save` wrote, in evaluation mode, on the network's device.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a class model, is of an earlier version, or was trained on another encoder's features.
    """
    config = read_class_config(path)
    own = encoder_fingerprint(network)
    if config.encoder != own:
        raise WeightsError(
            f"{path} was trained on the features of another image encoder ({config.encoder}; {network.config.name!r} "
            f"has {own}): load it with the network that it was trained on, or train it again"
        )
    model = ClassModel(config, network)
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118 (not a dict)
        if "likeness.middle" not in tensors:
            raise WeightsError(
                f"{path} was written by an earlier version, which did not look inside masks: train it again"
            )
        model.likeness = Likeness(len(config.names), len(tensors["likeness.middle"]))
        model.load_state_dict(tensors)
    except (SafetensorError, RuntimeError) as error:
        raise WeightsError(f"{path} is damaged ({str(error).splitlines()[0]}): fetch or train it again") from error
    return model.to(next(network.prompt_encoder.parameters()).device).eval()
