"""PerSAM: one picture with a mask says what to look for (Zhang et al., "Personalize Segment Anything Model with One
Shot", ICLR 2024), as a baseline for class prompts.

The mean feature inside the mask is compared with every place of another picture. The place most like it becomes a
positive click, the least alike a negative one; the likeness also guides the decoder's attention, and the feature is
added to its tokens. The answer is refined twice: by its own logits, then also by its own box. The variant with two
parameters ("PerSAM-F") has a positive click only and no guidance; it learns on the reference how to weigh the three
candidates.

The released code resizes a mask like a picture and takes every cell that it touches; here a cell counts by the part of
it that the mask covers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from trocar.classprompt.contrast import class_embeddings
from trocar.model.mask_decoder import Guidance
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures, PromptTensors

LOGIT_LIMIT = 32.0  # logits are fed back within +-32, as SAM 2 does
STEPS, RATE, EPSILON = 1000, 1e-3, 1e-4  # of the two parameters, as released
FOCAL_ALPHA, FOCAL_GAMMA = 0.25, 2.0


@dataclass(frozen=True, eq=False)
class Reference:
    """What is known of a target from one picture.

    Args:
        target: (D,) its mean feature.
        direction: (D,) of length 1, with which places are compared.
        weights: (3,) of the three candidates, which sum to 1; None for the variant without training.
    """

    target: Tensor
    direction: Tensor
    weights: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Answer:
    """A mask in the network's input: (s, s) logits, s being a quarter of its side, and its predicted IoU."""

    logits: Tensor
    quality: float


@torch.no_grad()
def reference_of(features: ImageFeatures, mask: Tensor) -> Reference:
    """The target of one picture.

    Args:
        features: of the picture.
        mask: (S, S) bool or 0..1, where the target is in the network's input.

    Raises:
        ValueError: the mask is empty.
    """
    if not bool((mask > 0).any()):
        raise ValueError("the reference mask is empty: mark the target on a picture that shows it")
    target = class_embeddings(features.stride16, mask[None].to(features.stride16.dtype))[0]
    return Reference(target, F.normalize(target, dim=0))


@torch.no_grad()
def segment_like(
    network: Network, features: ImageFeatures, reference: Reference, extent: tuple[int, int] | None = None
) -> Answer:
    """The reference's target on another picture, as if it were there: PerSAM cannot say that it is not.

    Args:
        network: whose features these are.
        features: of one picture.
        reference: from `reference_of`, or from `weigh_candidates` for the variant with two parameters.
        extent: (rows, columns) of the input that the picture takes, see `NetworkInput.extent`; None for all of it.
    """
    alike = likeness(features, reference, extent)
    best, worst = _place(alike.argmax(), alike.shape[1]), _place(alike.argmin(), alike.shape[1])
    if reference.weights is None:
        prompts = _clicks([best, worst], [1, 0], features)
        first = _decoded(network, features, prompts, range(1), _guidance(alike, reference, features))
        again = replace(prompts, mask_logits=_fed_back(first.masks[:1]))
        return _with_box(network, features, prompts, _decoded(network, features, again, range(1, 4)).best())
    prompts = _clicks([best], [1], features)
    three = _decoded(network, features, prompts, range(1, 4))
    weighed = (reference.weights[:, None, None] * three.masks).sum(0, keepdim=True)
    second = _with_box(network, features, prompts, Answer(weighed[0], float(three.quality.max())))
    return _with_box(network, features, prompts, second)


def weigh_candidates(
    network: Network, features: ImageFeatures, mask: Tensor, extent: tuple[int, int] | None = None, steps: int = STEPS
) -> Reference:
    """The reference with two learned parameters, which weigh the three candidates; the network stays as it is.

    Args:
        network: whose features these are.
        features: of the reference picture.
        mask: (S, S) bool, the target in the network's input.
        extent: as for `segment_like`.
        steps: of AdamW, from 1/3 each, with the rate falling along a cosine.

    Raises:
        ValueError: the mask is empty.
    """
    plain = reference_of(features, mask)
    raw = features.stride16[0].flatten(1)
    height, width = features.stride16.shape[-2:]
    inside = F.adaptive_avg_pool2d(mask[None, None].to(raw.dtype), (height, width)).flatten() > 0
    target = (plain.target + raw[:, inside].amax(1)) / 2
    reference = Reference(target, F.normalize(target, dim=0))
    alike = likeness(features, reference, extent)
    prompts = _clicks([_place(alike.argmax(), alike.shape[1])], [1], features)
    with torch.no_grad():
        three = _decoded(network, features, prompts, range(1, 4)).masks
        large = F.interpolate(three[None], size=mask.shape, mode="bilinear", align_corners=False)[0].flatten(1).float()
    truth = mask.flatten().to(large.dtype)
    with torch.enable_grad(), torch.inference_mode(False):
        large, truth = large.clone(), truth.clone()
        free = torch.full((2,), 1 / 3, device=large.device, requires_grad=True)
        optimiser = torch.optim.AdamW([free], lr=RATE, eps=EPSILON)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        for _ in range(steps):
            optimiser.zero_grad()
            mask_loss(_all_three(free) @ large, truth).backward()
            optimiser.step()
            schedule.step()
    return replace(reference, weights=_all_three(free.detach()).to(target))


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Dice (plain denominators, 1 added to both sides) and focal loss of (P,) pixels, as PerSAM adds them."""
    probability = logits.sigmoid()
    dice = 1 - (2 * (probability * truth).sum() + 1) / (probability.sum() + truth.sum() + 1)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    missed = probability * (1 - truth) + (1 - probability) * truth
    balance = FOCAL_ALPHA * truth + (1 - FOCAL_ALPHA) * (1 - truth)
    return dice + (balance * missed**FOCAL_GAMMA * entropy).mean()


@torch.no_grad()
def likeness(features: ImageFeatures, reference: Reference, extent: tuple[int, int] | None = None) -> Tensor:
    """The cosine of each place with the reference, on the pixels that the picture takes: (rows, columns)."""
    raw = features.stride16
    cosine = torch.einsum("dhw,d->hw", F.normalize(raw[0], dim=0), reference.direction.to(raw.dtype))
    large = F.interpolate(cosine[None, None], scale_factor=16, mode="bilinear", align_corners=False)[0, 0]
    rows, columns = extent or large.shape
    return large[:rows, :columns]


@dataclass(frozen=True, eq=False)
class _Candidates:
    masks: Tensor  # (M, s, s) logits
    quality: Tensor  # (M,)

    def best(self) -> Answer:
        which = int(self.quality.argmax())
        return Answer(self.masks[which], float(self.quality[which]))


def _all_three(free: Tensor) -> Tensor:
    return torch.cat((1 - free.sum(0, keepdim=True), free))


def _place(index: Tensor, columns: int) -> tuple[int, int]:
    """(x, y) of a pixel's number."""
    return int(index) % columns, int(index) // columns


def _clicks(places: list[tuple[int, int]], labels: list[int], features: ImageFeatures) -> PromptTensors:
    device = features.stride16.device
    points = torch.tensor([places], dtype=torch.float32, device=device)
    return PromptTensors(points, torch.tensor([labels], dtype=torch.long, device=device))


def _fed_back(logits: Tensor) -> Tensor:
    return logits[None].clamp(-LOGIT_LIMIT, LOGIT_LIMIT)


def _guidance(alike: Tensor, reference: Reference, features: ImageFeatures) -> Guidance:
    height, width = features.stride16.shape[-2:]
    side = 16 * width
    even = ((alike - alike.mean()) / alike.std()).sigmoid()
    whole = F.pad(even, (0, side - alike.shape[1], 0, side - alike.shape[0]))
    places = F.interpolate(whole[None, None], size=(height, width), mode="bilinear", align_corners=False)
    return Guidance(places.flatten(1), reference.target.to(features.stride16.dtype)[None, None])


def _with_box(network: Network, features: ImageFeatures, prompts: PromptTensors, answer: Answer) -> Answer:
    """Ask again with the mask and its box; an empty one stays."""
    side = 16 * features.stride16.shape[-1]
    large = F.interpolate(answer.logits[None, None], size=(side, side), mode="bilinear", align_corners=False)[0, 0]
    rows, columns = torch.nonzero(large > 0, as_tuple=True)
    if not len(rows):
        return answer
    corners = torch.stack([columns.min(), rows.min(), columns.max(), rows.max()]).view(1, 2, 2).to(prompts.points)
    boxed = PromptTensors(
        torch.cat((corners, prompts.points), dim=1),
        torch.cat((torch.tensor([[2, 3]], device=prompts.labels.device), prompts.labels), dim=1),
        _fed_back(answer.logits[None]),
    )
    return _decoded(network, features, boxed, range(1, 4)).best()


def _decoded(
    network: Network, features: ImageFeatures, prompts: PromptTensors, which: range, guidance: Guidance | None = None
) -> _Candidates:
    fused = network.unremembered(features.stride16)
    height, width = fused.shape[-2:]
    encoder, decoder = network.prompt_encoder, network.mask_decoder
    tokens, image, quality, _ = decoder(
        fused + encoder.dense(prompts, height, width),
        features.stride4,
        features.stride8,
        encoder.points(prompts, 16 * width),
        encoder.grid(height, width),
        guidance,
    )
    return _Candidates(decoder.paint(tokens, image, which)[0], quality[0, which.start : which.stop])
