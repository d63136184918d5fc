"""Training of a head on the tokens of a frozen encoder, its settings chosen on the validation part alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trocar.metrics.recognition import merge_views, top1
from trocar.recognition.features import Tokens
from trocar.recognition.heads import HeadConfig, make_head


@dataclass(frozen=True)
class ProbeTraining:
    """AdamW with a warm-up and a cosine down to nothing, for every pair of rate and decay.

    V-JEPA's probes: 20 epochs, 1e-3, decay 0.01; V-JEPA 2 tries rates from 5e-3 to 1e-4 and decays 0.01, 0.1 and 0.4.

    Args:
        epochs: passes over the training clips.
        batch: clips of a step.
        learning_rates, weight_decays: what is tried.
        warmup: share of the steps over which the rate grows.
    """

    epochs: int = 20
    batch: int = 64
    learning_rates: tuple[float, ...] = (3e-3, 1e-3, 3e-4)
    weight_decays: tuple[float, ...] = (0.01, 0.1)
    warmup: float = 0.1

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1 or not self.learning_rates or not self.weight_decays:
            raise ValueError("probe: epochs and batch must be 1 or more, with a rate and a decay at least")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"probe: warmup must be a share below 1, not {self.warmup}")


@dataclass(frozen=True, eq=False)
class Labelled:
    """Tokens (clips, views, N, D) and classes (clips,) of one part."""

    tokens: Tokens
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """The best head by validation, and how it was found: every pair's best epoch, its accuracy and its loss."""

    head: nn.Module
    chosen: Mapping[str, float]
    tried: tuple[Mapping[str, float], ...]


def train_head(
    config: HeadConfig,
    training: Labelled,
    validation: Labelled,
    settings: ProbeTraining,
    seed: int,
    device: str = "cpu",
) -> TrainedHead:
    """Train a head for each pair of rate and decay, and keep the epoch that is best on the validation clips.

    The best has the highest Acc@1 there, of equals the lowest loss. The same seed gives the same head.

    Raises:
        ValueError: a part has no clip.
    """
    if not len(training.labels) or not len(validation.labels):
        raise ValueError("a probe needs training and validation clips: give both parts some")
    tried: list[dict[str, float]] = []
    best: tuple[tuple[float, float], dict[str, Tensor]] | None = None
    for rate, decay in product(settings.learning_rates, settings.weight_decays):
        head = _fresh(config, seed).to(device)
        optimiser = torch.optim.AdamW(head.parameters(), lr=rate, weight_decay=decay)
        own: tuple[float, float, int] | None = None
        for epoch in range(settings.epochs):
            _epoch(head, optimiser, training, settings, (seed, epoch), rate)
            accuracy, loss = _validate(head, validation)
            if own is None or (accuracy, -loss) > own[:2]:
                own = (accuracy, -loss, epoch + 1)
            if best is None or (accuracy, -loss) > best[0]:
                best = ((accuracy, -loss), {name: one.detach().clone() for name, one in head.state_dict().items()})
        assert own is not None
        said = {"learning_rate": rate, "weight_decay": decay, "epoch": own[2]}
        tried.append({**said, "validation_accuracy": own[0], "validation_loss": -own[1]})
    assert best is not None
    head = _fresh(config, seed).to(device)
    head.load_state_dict(best[1])
    chosen = max(tried, key=lambda one: (one["validation_accuracy"], -one["validation_loss"]))
    return TrainedHead(head.eval(), chosen, tuple(tried))


@torch.inference_mode()
def probabilities(head: nn.Module, tokens: Tokens, batch: int = 64) -> NDArray[np.float64]:
    """(clips, classes): the mean over a clip's views of each one's softmax."""
    head.eval()
    device = next(head.parameters()).device
    found = []
    for begin in range(0, len(tokens), batch):
        some = torch.from_numpy(np.array(tokens[begin : begin + batch])).float().to(device)
        logits = head(some.flatten(0, 1)).unflatten(0, some.shape[:2]).double().cpu().numpy()
        found += [merge_views(one) for one in logits]
    return np.stack(found)


def rate_share(step: int, steps: int, warmup: float) -> float:
    """The part of the learning rate at a step: linear warm-up, then a cosine down to 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _fresh(config: HeadConfig, seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_head(config)


def _epoch(
    head: nn.Module,
    optimiser: torch.optim.Optimizer,
    training: Labelled,
    settings: ProbeTraining,
    drawn: tuple[int, int],
    rate: float,
) -> None:
    """One pass in an order, with one view of each clip, that the seed and the epoch decide."""
    head.train()
    rng = np.random.default_rng([7, *drawn])
    order = rng.permutation(len(training.labels))
    views = rng.integers(training.tokens.shape[1], size=len(order))
    device = next(head.parameters()).device
    steps = math.ceil(len(order) / settings.batch)
    for step in range(steps):
        chosen = np.sort(order[step * settings.batch : (step + 1) * settings.batch])
        share = rate_share(drawn[1] * steps + step, settings.epochs * steps, settings.warmup)
        for group in optimiser.param_groups:
            group["lr"] = rate * share
        tokens = torch.from_numpy(training.tokens[chosen, views[chosen]]).float().to(device)
        loss = F.cross_entropy(head(tokens), torch.from_numpy(training.labels[chosen]).to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def _validate(head: nn.Module, validation: Labelled) -> tuple[float, float]:
    found = probabilities(head, validation.tokens)
    right = found[np.arange(len(found)), validation.labels]
    return top1(found.argmax(1), validation.labels), float(-np.log(np.clip(right, 1e-12, None)).mean())
