"""How much memory a training step on clips takes, measured on a CPU at small sizes and scaled to the recipe's.

    python scripts/training_memory.py [RECIPE] [--model NAME] [--sides 128 256] [--to 512]

A step of one clip (8 frames, 3 objects, all corrections) is run at each side in a process of its own, with what
recomputing activations saves and without. Two figures are taken: what autograd saves for the backward pass (each
storage once, weights left out), and the growth of the process at its peak, which also holds gradients, copies of the
weights in bfloat16 and what operations need for a moment. Both grow with the number of pixels, plus a constant: the
line through the two sides gives the figure at the side asked for. Weights, AdamW's two means and the moving average
come on top, and a flat copy of the gradients where there are several processes. A GPU's own context (about half a GB)
and the gaps in its allocator's blocks are not in it. Attention is measured without dropout: GPUs have fused kernels
with it, of linear memory, and CPUs have them without it alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor

from trocar.model.memory_attention import RotaryAttention
from trocar.settings import read_settings
from trocar.train.clips import Sample
from trocar.train.engine import Engine, recompute_activations
from trocar.train.lesson import lesson_of
from trocar.train.plan import draw_plan
from trocar.train.recipe import Recipe
from trocar.train.start import build_network
from trocar.train.steps import clip_losses

SETTINGS = {
    "all kept": Engine(),
    "image encoder recomputed": Engine(recompute_image_encoder=True),
    "and memory attention": Engine(recompute_image_encoder=True, recompute_memory_attention=True),
}
GB = 1 << 30


def made_sample(recipe: Recipe, side: int, objects: int) -> Sample:
    """Noise with square objects that stay where they are."""
    rng = np.random.default_rng(0)
    plan = draw_plan(recipe.plan.for_step(recipe.stages[-1].frames, rng), 40, True, rng)
    frames = len(plan.frames)
    images = torch.from_numpy(rng.standard_normal((frames, 3, side, side), np.float32))
    masks = torch.zeros(objects, frames, side, side, dtype=torch.bool)
    for number in range(objects):
        start = side // 8 * (1 + 2 * number)
        masks[number, :, start : start + side // 8, start : start + side // 8] = True
    return Sample(images, masks, torch.ones(frames, side, side, dtype=torch.bool), ("",) * objects, plan)


def measured(recipe: Recipe, setting: str, side: int, objects: int) -> dict[str, float]:
    """Saved and peak bytes of one step, in this process, which should be a fresh one."""
    torch.set_num_threads(1)
    network = build_network(recipe).train()
    for module in network.modules():
        if isinstance(module, RotaryAttention):
            module.dropout = 0.0
    recompute_activations(network, SETTINGS[setting])
    sample = made_sample(recipe, side, objects)
    lesson = lesson_of(recipe, recipe.stages[-1], corrections=1)
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    own = {parameter.untyped_storage().data_ptr() for parameter in parameters}
    saved: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    before = psutil.Process().memory_info().rss
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        with torch.autocast("cpu", torch.bfloat16):
            losses = clip_losses(network, [sample], lesson, np.random.default_rng(1))
        kept = sum(saved.values())
        losses.pop("reached")
        torch.autograd.grad(torch.stack(list(losses.values())).sum(), parameters, allow_unused=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    state = sum(parameter.numel() for parameter in parameters) * 4 * 4  # weights, two means, moving average
    return {"saved": kept, "peak": peak, "state": state}


def scaled(small: tuple[int, float], large: tuple[int, float], side: int) -> float:
    """The value at `side` on the line through two, over the number of pixels."""
    (first, low), (second, high) = small, large
    slope = (high - low) / (second**2 - first**2)
    return low + slope * (side**2 - first**2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, nargs="?", default=Path("recipes/sam2s.toml"))
    parser.add_argument("--model", default="sam2.1-tiny")
    parser.add_argument("--sides", type=int, nargs=2, default=(128, 256))
    parser.add_argument("--to", type=int, default=512)
    parser.add_argument("--objects", type=int, default=3)
    parser.add_argument("--one", nargs=2, metavar=("SETTING", "SIDE"), help="measure one only, and print JSON")
    given = parser.parse_args()
    if given.one:
        recipe = read_settings(Recipe, given.recipe)
        semantic = replace(recipe.semantic, encoder="stand-in")
        recipe = replace(recipe, model=given.model, workers=1, semantic=semantic)
        print(json.dumps(measured(recipe, given.one[0], int(given.one[1]), given.objects)))
        return
    # Without arenas that grow and stay, what the process gives back is seen to be given back.
    quiet = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    sides = "".join(f" {side} px saved / peak |" for side in given.sides)
    print(f"| {given.model}, GB |{sides} {given.to} px saved / peak | and state | together |")
    print("|---|" + "---|" * (len(given.sides) + 3))
    for setting in SETTINGS:
        found = []
        for side in given.sides:
            own = [__file__, str(given.recipe), "--model", given.model, "--objects", str(given.objects)]
            command = [sys.executable, *own, "--one", setting, str(side)]
            said = subprocess.run(command, env=quiet, check=True, capture_output=True, text=True).stdout
            found.append(json.loads(said.splitlines()[-1]))
        small, large = ((side, one) for side, one in zip(given.sides, found, strict=True))
        whole = {
            name: scaled((small[0], small[1][name]), (large[0], large[1][name]), given.to) for name in ("saved", "peak")
        }
        cells = [f"{one['saved'] / GB:.2f} / {one['peak'] / GB:.2f}" for one in (*found, whole)]
        state = found[0]["state"]
        step = max(whole["peak"], whole["saved"] + state / 4)  # at small sides the peak is mostly constant
        together = (step + state) / GB
        print(f"| {setting} | {' | '.join(cells)} | {state / GB:.2f} | {together:.1f} |", flush=True)


if __name__ == "__main__":
    main()
