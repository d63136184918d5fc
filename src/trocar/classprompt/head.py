"""The prototype-based class prompt encoder (Yue et al., "SurgicalSAM", AAAI 2024, section 3.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trocar.classprompt.config import ClassPromptConfig
from trocar.model.network import Network
from trocar.model.tensors import PromptEmbeddings

NEGATIVE, POSITIVE = 0, 1  # rows of the prompt encoder's codes for points


class ClassPromptHead(nn.Module):
    """From image features and the number of a class to the prompt embeddings that a mask decoder takes.

    The positive and negative embeddings are those of SAM's foreground and background points and do not learn, nor does
    what stands for dense embeddings where a head has none: SAM's embedding of "no mask".
    """

    positive: Tensor
    negative: Tensor
    no_mask: Tensor

    def __init__(self, config: ClassPromptConfig) -> None:
        super().__init__()
        self.config = config
        dim, hidden = config.dim, config.hidden
        prototypes = torch.randn(len(config.names), dim)  # section 8.2
        self.prototypes = nn.Parameter(prototypes, requires_grad=config.learns_prototypes)
        if config.dense:
            self.dense1, self.dense2 = nn.Conv2d(dim, hidden, 1), nn.Conv2d(hidden, dim, 1)
        if config.sparse:
            self.sparse1, self.sparse2 = nn.Linear(config.cells, hidden), nn.Linear(hidden, config.tokens)
        for name in ("positive", "negative", "no_mask"):
            self.register_buffer(name, torch.zeros(dim))

    @torch.no_grad()
    def take_signs(self, network: Network) -> None:
        """Copy what does not learn from the network's prompt encoder."""
        encoder = network.prompt_encoder
        self.positive.copy_(encoder.point_codes[POSITIVE][0])
        self.negative.copy_(encoder.point_codes[NEGATIVE][0])
        self.no_mask.copy_(encoder.no_mask[0])

    def similarity(self, features: Tensor, added: int | None = None) -> Tensor:
        """The dot product of each place with each prototype (equation 5): (R, D, h, w) -> (R, K, h, w).

        K counts the classes that were trained together, and after them the `added` one, if one is named.
        """
        prototypes = self.prototypes[: self.config.trained]
        if added is not None:
            prototypes = torch.cat((prototypes, self.prototypes[added : added + 1]))
        return torch.einsum("rdhw,kd->rkhw", features, self.config.scale * prototypes.to(features.dtype))

    def activated(self, features: Tensor, similarity: Tensor) -> Tensor:
        """The class-activated features (equation 6): (R, D, h, w) and (R, K, h, w) -> (R, K, D, h, w)."""
        return features[:, None] * similarity[:, :, None] + features[:, None]

    def tokens(self, features: Tensor, added: int | None = None) -> Tensor:
        """The sparse embeddings of all classes before any is prompted (equation 8): (R, D, h, w) -> (R, K, n, D).

        The classes are those of `similarity`.

        Raises:
            ValueError: the map has another number of places than the head was made for.
        """
        if features.shape[-2] * features.shape[-1] != self.config.cells:
            raise ValueError(
                f"this class-prompt head reads maps of {self.config.cells} cells (inputs of {self.config.side} px), "
                f"not of {features.shape[-2]} x {features.shape[-1]}: run the network at {self.config.side} px"
            )
        # Features times (1 + similarity) times weight, summed over places: the first two factors to be multiplied are
        # the small ones, so that no activated map of a class is ever kept.
        gain = 1 + self.similarity(features, added).flatten(2)
        weight = (gain[:, :, None] * self.sparse1.weight).flatten(1, 2)  # (R, K * hidden, h * w)
        first = features.flatten(2) @ weight.transpose(1, 2)
        hidden = F.relu(torch.unflatten(first, 2, (gain.shape[1], -1)) + self.sparse1.bias)  # (R, D, K, hidden)
        tokens: Tensor = self.sparse2(hidden)
        return tokens.permute(0, 2, 3, 1)

    def embed(self, features: Tensor, classes: Tensor, frame: Tensor | None = None) -> PromptEmbeddings:
        """The prompts of R rows (equations 7 and 9).

        Args:
            features: (F, D, h, w).
            classes: (R,) long, the class that each row asks for; an added one goes by itself.
            frame: (R,) long, the frame that each row looks at; None where row r looks at frame r.
        """
        frame = torch.arange(len(classes), device=classes.device) if frame is None else frame
        return PromptEmbeddings(self._sparse(features, classes, frame), self._dense(features[frame], classes))

    def _dense(self, features: Tensor, classes: Tensor) -> Tensor:
        if not self.config.dense:
            return self.no_mask[None, :, None, None].expand_as(features)
        own = torch.einsum("rdhw,rd->rhw", features, self.config.scale * self.prototypes[classes].to(features.dtype))
        active = self.activated(features, own[:, None])[:, 0]
        dense: Tensor = self.dense2(F.relu(self.dense1(active)))
        return dense

    def _sparse(self, features: Tensor, classes: Tensor, frame: Tensor) -> Tensor:
        if not self.config.sparse:
            return features.new_zeros(len(classes), 0, features.shape[1])
        trained = self.config.trained
        added = int(classes[0]) if self.config.added and int(classes[0]) >= trained else None
        tokens = self.tokens(features, added)[frame]
        if self.config.signs:
            prompted = F.one_hot(classes.clamp(max=tokens.shape[1] - 1), tokens.shape[1]).bool()[:, :, None, None]
            tokens = tokens + torch.where(prompted, self.positive, self.negative)
        return tokens.flatten(1, 2)
