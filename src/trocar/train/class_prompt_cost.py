"""`trocar bench class-prompt-cost`: what training and asking a class model costs, in the form of SurgicalSAM's Table 5.

Steps of the real training run on features from a cache or encoded anew, with batches of several sizes; then frames are
asked for one class each. Each measurement has a process of its own, since peak memory is that of a process. What frames
show does not matter for the cost: pixels, masks and, where no weights can be had, the encoder's weights are drawn by
chance. On a CPU rates are of the process's own time, so that other work on the machine changes them little.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from trocar.classprompt import ClassModel, ClassPromptConfig
from trocar.classprompt.contrast import class_embeddings, contrast_loss
from trocar.classprompt.embeddings import EmbeddingCache
from trocar.load import best_device
from trocar.machine import machine_record, peak_memory_mb
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures
from trocar.track.features import input_of
from trocar.train.class_prompt_losses import Asked, answer_losses
from trocar.train.class_prompt_recipe import ClassLosses
from trocar.train.journal import peak_memory_gb
from trocar.train.recipe import Recipe
from trocar.train.start import build_network

Mode = Literal["cached", "online"]
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-4
FRAME = (256, 320)  # rows and columns of the frames, in the proportion of EndoVis'
FRAMES = 2  # different ones in the cache; a batch repeats them


@dataclass(frozen=True)
class CostOptions:
    """What is measured.

    Args:
        encoders: names of `trocar models`, with weights drawn by chance.
        modes: where features come from.
        batches: samples of a step.
        tokens: n of the head.
        classes: of the head.
        steps: measured ones, after one that warms up.
        side: of the network's input in pixels; 0 for its own.
        threads: that compute.
        device: as for `load`; None for the best that is there.
    """

    encoders: tuple[str, ...] = ("nano", "sam-vit-b")
    modes: tuple[Mode, ...] = ("cached", "online")
    batches: tuple[int, ...] = (2, 16, 32)
    tokens: int = 2
    classes: int = 7
    steps: int = 2
    side: int = 0
    threads: int = 1
    device: str | None = None

    def __post_init__(self) -> None:
        if min((*self.batches, self.tokens, self.classes, self.steps, self.threads)) < 1:
            raise ValueError("batches, tokens, classes, steps and threads are 1 or more")


def measure_costs(
    options: CostOptions, report: Callable[[dict[str, Any]], object] = lambda row: None
) -> dict[str, Any]:
    """Every combination, each in a process of its own.

    Args:
        options: what is measured.
        report: told each row when it is there.
    """
    rows = []
    for encoder, mode, batch in _combinations(options):
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            rows.append(pool.submit(measure, encoder, mode, batch, options).result())
        report(rows[-1])
    return {"options": asdict(options), "rows": rows}


def _combinations(options: CostOptions) -> Iterator[tuple[str, Mode, int]]:
    for encoder in options.encoders:
        for mode in options.modes:
            for batch in options.batches:
                yield encoder, mode, batch


def measure(encoder: str, mode: Mode, batch: int, options: CostOptions) -> dict[str, Any]:
    """Samples a second and peak memory of training, then frames a second of asking, for one combination."""
    torch.set_num_threads(options.threads)
    device = torch.device(options.device or best_device())
    network = _network(encoder, device)
    side = options.side or network.config.image_size
    names = tuple(f"class {number}" for number in range(1, options.classes + 1))
    config = ClassPromptConfig(names, network.config.hidden_dim, (side // 16) ** 2, side, options.tokens)
    model = ClassModel(config, network).to(device)
    bare = peak_memory_mb()
    with tempfile.TemporaryDirectory(prefix="trocar-") as folder:
        if mode == "cached":  # elsewhere, since encoding would count for this process's peak
            with ProcessPoolExecutor(1, get_context("spawn")) as other:
                other.submit(_fill, encoder, str(device), side, Path(folder), options.threads).result()
        given = _Given(network, side, Path(folder), mode)
        trained = _train(model, given, batch, options.steps)
        peak = peak_memory_gb(device)
        model.eval()
        asked = _rate(lambda: _ask(model, given, batch), batch, options.steps, device)
    return {
        "encoder": encoder,
        "features": mode,
        "batch": batch,
        "train samples/s": trained,
        "peak GB": round(peak, 2),
        "of that before training GB": round(bare / 1024, 2) if device.type == "cpu" else None,
        "ask frames/s": asked,
        "side": side,
        "learned parameters": sum(one.numel() for one in model.parameters() if one.requires_grad),
        "bytes an image": given.cache.bytes_per_image,
        "machine": machine_record(network),
    }


def _network(encoder: str, device: torch.device) -> Network:
    return build_network(Recipe(model=encoder, seed=0)).eval().requires_grad_(False).to(device)


def _fill(encoder: str, device: str, side: int, folder: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    given = _Given(_network(encoder, torch.device(device)), side, folder, "online")
    given.cache.add(given.images)


class _Given:
    """Features of a batch, from a cache that holds them already, or encoded anew."""

    def __init__(self, network: Network, side: int, folder: Path, mode: Mode) -> None:
        self.network, self.mode = network, mode
        shown = input_of(network.config, side)
        self.cache = EmbeddingCache(folder / "features", network, side, shown.pixels, f"{network.config.input} {side}")
        rng = np.random.default_rng(0)
        self.images = [rng.integers(0, 256, (*FRAME, 3), np.uint8) for _ in range(FRAMES)]
        self._keys = [self.cache.key(image) for image in self.images]
        self.side = side

    def features(self, batch: int) -> ImageFeatures:
        if self.mode == "cached":
            return self.cache.read([self._keys[number % FRAMES] for number in range(batch)])
        return self.cache.encode([self.images[number % FRAMES] for number in range(batch)])


def _train(model: ClassModel, given: _Given, batch: int, steps: int) -> float:
    """Samples a second of whole steps: features, forward, losses of the paper, backward, Adam."""
    device = model.head.prototypes.device
    learned = [one for one in model.parameters() if one.requires_grad]
    optimiser = torch.optim.Adam(learned, LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    classes = torch.arange(batch, device=device) % len(model.config.names)
    masks = torch.zeros(batch, given.side, given.side, dtype=torch.bool, device=device)
    masks[:, given.side // 4 : given.side // 2, : given.side // 2] = True
    everywhere = torch.ones_like(masks)

    def step() -> None:
        features = given.features(batch)
        answers = model.answer(given.network, features, classes)
        losses = answer_losses(answers, Asked(masks, everywhere), ClassLosses())
        embeddings = class_embeddings(features.stride16.float(), masks)
        contrast = contrast_loss("release", model.head.prototypes, embeddings, classes, model.config.temperature)
        optimiser.zero_grad(set_to_none=True)
        (losses["dice"] + contrast).backward()
        optimiser.step()

    return _rate(step, batch, steps, device)


@torch.no_grad()
def _ask(model: ClassModel, given: _Given, batch: int) -> Tensor:
    classes = torch.arange(batch, device=model.head.prototypes.device) % len(model.config.names)
    return model.answer(given.network, given.features(batch), classes).logits > 0


def _rate(run: Callable[[], object], batch: int, steps: int, device: torch.device) -> float:
    """Samples a second over the measured steps, after one that warms up; three digits."""
    run()
    begun = _clock(device)
    for _ in range(steps):
        run()
    value = batch * steps / max(_clock(device) - begun, 1e-9)
    return round(value, 2 - math.floor(math.log10(value)))


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time() if device.type == "cpu" else time.perf_counter()
