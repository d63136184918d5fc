"""`trocar bench bank`: what a memory holds while it tracks, for any policy and source (as MedSAM-2, figure 6).

Looked at is what is live: all entries that the policy may ever read again, the prompts' among them. The paper (Zhu
et al. 2024) reports pairwise mutual information of stored embeddings and names no estimator; here it is the plug-in
estimate, in bits, from the joint histogram of two entries' values, cell by cell.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.frames import FrameSource
from trocar.memory import MemoryPolicy
from trocar.memory.seam import MemoryEntry
from trocar.model.network import Network
from trocar.prompts import PlacedPrompt
from trocar.track.features import Features
from trocar.track.order import Pass
from trocar.track.propagate import propagate
from trocar.track.session import Session
from trocar.track.track import Track

Part = Literal["memory", "mask"]
COLUMNS = ("entries", "cosine_mean", "cosine_max", "mi_mean_bits", "mi_total_bits", "age_mean", "age_max")
SUFFIXES = (".png", ".svg")
CURVES = {
    "entries": "entries",
    "cosine_mean": "cosine of pairs, mean",
    "mi_mean_bits": "mutual information, mean, bits",
    "age_mean": "age, mean, frames",
}


@dataclass(frozen=True)
class BankOptions:
    """What is measured.

    Args:
        part: what entries are compared by, their spatial "memory" or their low-resolution "mask".
        every: frames between two looks.
        bins: of the histogram of memories, equally wide from each entry's smallest to its largest value; masks are
            0 or 1 and take two.
    """

    part: Part = "memory"
    every: int = 10
    bins: int = 16

    def __post_init__(self) -> None:
        if self.part not in get_args(Part):
            raise ValueError(f"part is one of {get_args(Part)}, not {self.part!r}")
        if self.every < 1 or not 2 <= self.bins <= 256:
            raise ValueError(f"every is at least 1 and bins 2 to 256, not {self.every} and {self.bins}")


def bank_content(
    network: Network,
    source: FrameSource,
    prompts: Sequence[PlacedPrompt],
    memory: Mapping[str, MemoryPolicy],
    options: BankOptions | None = None,
    report: Callable[[str, int], object] = lambda name, done: None,
) -> dict[str, Any]:
    """Track forward under each policy, and look at what it holds every so many frames.

    Args:
        network: what tracks.
        source: what is tracked through.
        prompts: at least one.
        memory: policies, by the name that the figures are to have.
        options: see `BankOptions`.
        report: told a policy's name and how many frames it has behind it.

    Returns:
        Plain JSON values. `policies` has for each name columns of equal length, a value a look: `frame`, `entries`
        (how many are live), `cosine_mean` and `cosine_max` (of all pairs), `mi_mean_bits` and `mi_total_bits` (mean
        and sum over all pairs), `age_mean` and `age_max` (frames between now and an entry's). Several objects are
        averaged; a value that no object has, as of pairs where there is one entry, is None.

    Raises:
        ValueError: there is no prompt or no policy, or a prompt does not fit the source.
    """
    options = options or BankOptions()
    if not prompts or not memory:
        raise ValueError("bank_content needs at least one prompt and one memory policy")
    return {
        "part": options.part,
        "every": options.every,
        "bins": options.bins if options.part == "memory" else 2,
        "source": {"name": source.name, "frames": len(source)},
        "network": {"name": network.config.name},
        "policies": {
            name: _looks(network, source, prompts, policy, options, partial(report, name))
            for name, policy in memory.items()
        },
    }


def _looks(
    network: Network,
    source: FrameSource,
    prompts: Sequence[PlacedPrompt],
    policy: MemoryPolicy,
    options: BankOptions,
    report: Callable[[int], object],
) -> dict[str, list[float | None]]:
    """The columns of one policy."""
    session = Session(network, source, policy)
    for said in prompts:
        session.add(said.prompt, frame=said.frame, object_id=said.object_id)
    first = min(said.frame for said in prompts)
    stretch = Pass("forward", first, len(source) - 1, len(source), source.geometry.size)
    columns: dict[str, list[float | None]] = {"frame": [], **{name: [] for name in COLUMNS}}
    # Not through `session.propagate`: it hands masks out late where a policy lags, when the bank has long moved on.
    with torch.inference_mode():
        for track in session.tracks.values():
            track.begin(copy.deepcopy(policy), stretch.visit(first))
        features = Features(network, source, network.config.image_size)
        loop = propagate(network, features, session.tracks, stretch, session.options.step)
        for done, (frame, outcomes) in enumerate(loop, 1):
            if done % options.every == 0 or frame == stretch.stop:
                looks = [_look(session.tracks[one.object_id], frame, options) for one in outcomes]
                columns["frame"].append(frame)
                for name in COLUMNS:
                    found = [look[name] for look in looks if name in look]
                    columns[name].append(float(np.mean(found)) if found else None)
            report(done)
    session.close()
    return columns


def _look(track: Track, frame: int, options: BankOptions) -> dict[str, float]:
    """The figures of one object."""
    live = track.policy.live()
    entries = [entry for name, entry in sorted(track.entries.items()) if name in live]
    ages = [abs(frame - entry.time) for entry in entries]
    figures: dict[str, float] = {"entries": len(entries)}
    if entries:
        figures |= {"age_mean": float(np.mean(ages)), "age_max": max(ages)}
    parts = [part for entry in entries if (part := _part(entry, options.part)) is not None]
    if len(parts) > 1:
        bins = options.bins if options.part == "memory" else 2
        cosines = [cosine(first, second) for first, second in combinations(parts, 2)]
        codes = [binned(part, bins) for part in parts]
        shared = [mutual_information(first, second) for first, second in combinations(codes, 2)]
        figures |= {"cosine_mean": float(np.mean(cosines)), "cosine_max": max(cosines)}
        figures |= {"mi_mean_bits": float(np.mean(shared)), "mi_total_bits": float(np.sum(shared))}
    return figures


def _part(entry: MemoryEntry, part: Part) -> NDArray[np.float32] | None:
    """What entries are compared by, as one row of numbers."""
    tensor = entry.spatial if part == "memory" else (entry.logits > 0)
    return None if tensor is None else tensor.float().flatten().cpu().numpy()


def cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Cosine of two rows of numbers; 0 where one of them is all zeros."""
    product = float(np.linalg.norm(first)) * float(np.linalg.norm(second))
    return float(first @ second) / product if product else 0.0


def binned(values: NDArray[np.float32], bins: int) -> NDArray[np.int64]:
    """The bin, from 0, of each value: `bins` of equal width from the smallest to the largest, which falls in the last.

    Values that are all the same fall in bin 0.
    """
    low, high = float(values.min()), float(values.max())
    if low == high:
        return np.zeros(values.shape, np.int64)
    found: NDArray[np.int64] = np.minimum((values - low) * (bins / (high - low)), bins - 1).astype(np.int64)
    return found


def mutual_information(first: NDArray[np.int64], second: NDArray[np.int64]) -> float:
    """Mutual information in bits of two rows of N symbols from 0 on, from their joint frequencies (no bias correction).

    With B bins each it is too large by about (B - 1)^2 / (2 N ln 2): 0.01 bits for nano's memories and 16 bins.
    """
    columns = int(second.max()) + 1
    joint = np.bincount(first * columns + second, minlength=(int(first.max()) + 1) * columns).reshape(-1, columns)
    shared = entropy_bits(joint.sum(axis=1)) + entropy_bits(joint.sum(axis=0)) - entropy_bits(joint.ravel())
    return max(shared, 0.0)  # rounding may leave a hair below


def entropy_bits(counts: NDArray[np.int64]) -> float:
    """Entropy in bits of the frequencies that the counts stand for."""
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum())


def plot_bank_content(figures: Mapping[str, Any], path: Path) -> None:
    """Draw what `bank_content` found, a line a policy, as PNG or SVG by the suffix; needs matplotlib (extra `bench`).

    Raises:
        ValueError: another suffix.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: a plot is written as .png or .svg")
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(2, 2, figsize=(10, 6), sharex=True, layout="constrained")
    for axes, (name, label) in zip(grid.flat, CURVES.items(), strict=True):
        for policy, columns in figures["policies"].items():
            heights = [float("nan") if value is None else value for value in columns[name]]
            axes.plot(columns["frame"], heights, label=policy, marker=".")
        axes.set_ylabel(label)
    for axes in grid[1]:
        axes.set_xlabel("frame")
    figure.legend(*grid[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    compared = "spatial memories" if figures["part"] == "memory" else "masks"
    figure.suptitle(f"{Path(figures['source']['name']).name}, {figures['network']['name']}: {compared} held")
    half_written = path.with_name(f"{path.name}.part")
    figure.savefig(half_written, format=path.suffix[1:].lower(), dpi=110)
    pyplot.close(figure)
    os.replace(half_written, path)
