"""Validation: the averaged weights, scored every few steps as people use them, on data kept aside for it.

What is measured is what `trocar.promptable` measures for benchmarks, through `Session`. The cases decide which weights
are kept as the best ones, so they must not be those that results are reported on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trocar.datasets import DATASETS, Clip, read_clip
from trocar.datasets.scenes import scene
from trocar.load import UnknownName, load_dataset, load_memory
from trocar.model import Network
from trocar.promptable import score_images, score_tracking
from trocar.train.sampling import Sampling

SCENES = "scenes"
SCENE_SEED = 700_000_000  # the first seed; training and model cards draw others
BEST = "best.safetensors"


@dataclass(frozen=True)
class Validation:
    """What the best weights of a run are chosen by.

    Args:
        dataset: a name of `trocar datasets`, or "scenes" for rendered ones; "" for no validation.
        split: of that data set, and none that results are reported on (`trocar.datasets.dataset.Split.reported`).
        cases: how many, the first of the split.
        every: steps from one validation to the next; the last step is followed by one too.
        metric: "J&F" of objects prompted once with a box and tracked, or "box IoU" on single frames.
        memory: what objects are tracked with, as for `load_memory`.
    """

    dataset: str = ""
    split: str = "tune"
    cases: int = 4
    every: int = 500
    metric: Literal["J&F", "box IoU"] = "J&F"
    memory: str = "recent"

    def __post_init__(self) -> None:
        if self.dataset and min(self.cases, self.every) < 1:
            raise ValueError(f"validation: cases and every must be 1 or more, not {self.cases} and {self.every}")
        if is_reported(self.dataset, self.split):
            raise ValueError(
                f"validation.split {self.split!r} of {self.dataset} is what results are reported on, and the best "
                "weights are chosen by validation: name another split"
            )

    def due(self, step: int, last: bool) -> bool:
        """Whether the weights are scored after so many steps."""
        return bool(self.dataset) and (last or step % self.every == 0)


def is_reported(dataset: str, split: str) -> bool:
    """Whether results are reported on a split of a data set; on rendered scenes for validation they never are."""
    splits = load_dataset(dataset).splits if dataset in DATASETS else {}
    return split in splits and splits[split].reported


def validation_clips(settings: Validation, sampling: Sampling, own: slice = slice(None)) -> list[Clip]:
    """The clips to score; none without validation.

    Args:
        settings: which.
        sampling: says where data sets lie.
        own: those that fall to this process.

    Raises:
        UnknownName: there is no such data set.
        ValueError: it has no such split.
        FileNotFoundError: its files are missing.
    """
    if not settings.dataset:
        return []
    if settings.dataset == SCENES:
        return [scene(SCENE_SEED + number) for number in range(settings.cases)[own]]
    if settings.dataset not in DATASETS:
        raise UnknownName("data set", settings.dataset, [*DATASETS, SCENES])
    dataset = load_dataset(settings.dataset)
    cases = dataset.read(sampling.place(dataset), settings.split)[: settings.cases]
    return [read_clip(case) for case in cases[own]]


def object_scores(network: Network, clips: Sequence[Clip], settings: Validation) -> list[float]:
    """The metric of every object, or of every object on every frame; its mean is the score."""
    if settings.metric == "box IoU":
        return score_images(network, clips, clicks=()).ious.get("box", [])
    tracked = score_tracking(network, clips, lambda: load_memory(settings.memory))
    return [(one.j + one.f) / 2 for one in tracked.objects.values()]
