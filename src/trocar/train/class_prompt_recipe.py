"""Recipes of class prompts: every setting of a SurgicalSAM training as typed data (`kind = "class-prompts"`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trocar.classprompt.config import Contrast, Prototypes
from trocar.model.text_features import CLIP, TEMPLATE

KIND = "class-prompts"
#: What results are reported on: the best weights must not be chosen there. Folds of EndoVis 2017 are held out.
REPORTED = ("test", "held_out", "fold0", "fold1", "fold2", "fold3")
REPORTED_SOURCES = ("endovis18-instruments/val",)


@dataclass(frozen=True)
class HeadSettings:
    """The class-prompt head, with the paper's defaults; Tables 3 and 6 are made of these switches.

    Args:
        tokens: n sparse tokens a class (Table 3: 2, 4, 6, 8).
        hidden: width between two layers.
        prototypes: "learned"; or fixed, "mean" (Table 3), "text" (section 8.5) or "stand-in".
        contrast: "paper", "release" or "none".
        temperature: of the contrast.
        scale: factor on similarities, see `ClassPromptConfig`.
        dense: whether there are dense embeddings (Table 6).
        sparse: whether there are sparse ones (Table 6).
        signs: whether these get positive and negative embeddings (Table 6).
        text_encoder: CLIP's, for prototypes of "text"; it has to be on this machine.
        text_template: the sentence that a name is put into, at {}.
    """

    tokens: int = 2
    hidden: int = 128
    prototypes: Prototypes = "learned"
    contrast: Contrast = "release"
    temperature: float = 0.07
    scale: float = 1.0
    dense: bool = True
    sparse: bool = True
    signs: bool = True
    text_encoder: str = CLIP
    text_template: str = TEMPLATE

    def __post_init__(self) -> None:
        if self.prototypes != "learned" and self.contrast != "none":
            raise ValueError(
                f"head.contrast {self.contrast!r} moves prototypes, and those of head.prototypes {self.prototypes!r} "
                'are fixed: set head.contrast = "none"'
            )


@dataclass(frozen=True)
class ClassLosses:
    """Weights of the losses. Paper and release: Dice and contrast, 1 each, and nothing else.

    Args:
        dice: 1 - Dice of the probabilities, with squares in the denominator and 1e-3 beside each of its two sums.
        contrast: of the prototypes.
        pixel: cross-entropy of the pixels; the only loss by which an absent class learns an empty mask.
        quality: error of the predicted IoU.
        presence: cross-entropy of the object score, for networks that have one.
        stride_px: pixels of the network's input across a cell of the map on which masks are compared.
    """

    dice: float = 1.0
    contrast: float = 1.0
    pixel: float = 0.0
    quality: float = 0.0
    presence: float = 0.0
    stride_px: Literal[1, 2, 4] = 4


@dataclass(frozen=True)
class ClassData:
    """What is learned from.

    Args:
        sources: each DATASET/SPLIT, or "lookalike-scenes" or "surgical-scenes" for rendered ones.
        names: of the classes, in the order of their numbers; none for all that the sources have.
        rename: name in a source -> the class that it is learned as.
        general: classes that other sources may show without saying so, such as "surgical tool": they are not asked for
            as absent where their source does not label them.
        scenes: clips of each rendered source.
        scene_frames: frames of each clip, all of which are learned from.
        versions: augmented versions of each frame of a data set, an equal part for each of the four families of the
            release (40). Even epochs show the frames as they are, odd ones the versions in turn. Rendered scenes have
            none: more clips serve the same.
        features: "cached" on disk before the training, or "online", encoded at each step. Both see the same pictures.
        precision: of cached features.
        cache: folder of cached features; empty for one in the run's folder for data, named after the image encoder.
        smallest: part of the picture that a class must take to count as there.
        folder: of all data sets; empty for the one that TROCAR_DATA names.
        own_data: folder of the set "own-data"; empty for "own-data" in that of all.
    """

    sources: tuple[str, ...] = ("lookalike-scenes",)
    names: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    general: tuple[str, ...] = ()
    scenes: int = 500
    scene_frames: int = 2
    versions: int = 40
    features: Literal["cached", "online"] = "cached"
    precision: Literal["float16", "float32"] = "float16"
    cache: str = ""
    smallest: float = 0.0
    folder: str = ""
    own_data: str = ""

    def __post_init__(self) -> None:
        if not self.sources or len(set(self.sources)) < len(self.sources):
            raise ValueError("data.sources needs one source or more, each once")
        if self.scenes < 1 or self.scene_frames < 1 or self.versions < 0 or not 0 <= self.smallest < 1:
            raise ValueError("data: scenes and scene_frames are 1 or more, versions 0 or more, smallest from 0 below 1")


@dataclass(frozen=True)
class Selection:
    """Which weights a run ends with.

    The release takes the best epoch on the validation split that it reports. That is refused here.

    Args:
        by: the "last" epoch, or the best one on an "inner" split, which is scored every few epochs.
        sources: of the inner split, as in `data.sources`; rendered scenes are drawn with other seeds.
        cases: of the training sources, by name, that are kept out of training and belong to the inner split.
        scenes: clips of each rendered source in it.
        metric: what the best is by; classes that a frame shows are given, as in the release.
        every: epochs from one scoring to the next; the last epoch is scored too.
    """

    by: Literal["last", "inner"] = "last"
    sources: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    scenes: int = 60
    metric: Literal["Challenge IoU", "mcIoU"] = "Challenge IoU"
    every: int = 10

    def __post_init__(self) -> None:
        if self.by == "inner" and not (self.sources or self.cases):
            raise ValueError('selection.by "inner" needs selection.sources or selection.cases')
        if self.by == "last" and (self.sources or self.cases):
            raise ValueError('selection.sources and cases are for selection.by "inner": say so, or leave them out')
        if self.every < 1 or self.scenes < 1:
            raise ValueError(f"selection: every and scenes are 1 or more, not {self.every} and {self.scenes}")
        for source in self.sources:
            if source in REPORTED_SOURCES or source.partition("/")[2] in REPORTED:
                raise ValueError(
                    f"selection.sources: results are reported on {source}, so the best epoch must not be chosen there: "
                    "name a tune split, or keep cases out of training with selection.cases"
                )


@dataclass(frozen=True)
class ClassPromptRecipe:
    """A training of class prompts (Yue et al., "SurgicalSAM", AAAI 2024), with the release's defaults for EndoVis 2018.

    Args:
        kind: says that this is such a recipe.
        model: a name of `trocar models`; or "tiny-random" or "tiny-sam", for tests.
        weights: "published", the path of a weights file, or "" for fresh ones, for tests. They stay as they are.
        side: of the network's square input in pixels; 0 for its own.
        seed: of the first weights and of every draw.
        epochs: passes over the samples; a sample is an image and a class that shows in it.
        batch: samples in a step.
        absent: for each sample of a batch, how many further rows ask for a class that its image does not show (0 to 1;
            none in paper and release).
        learning_rate: of Adam.
        prototype_rate: factor on it for the prototypes; 1 in paper and release. Drawn from a normal distribution they
            have a long way to go, for which hundreds of epochs are enough and few are not.
        final_share: part of the rate that a cosine leaves at the end; 1 for a constant rate, as in the release.
        weight_decay: of Adam, as it is added to gradients.
        save_seconds: from one checkpoint to the next, beside those after each scoring and at the end.
        data: what is learned from.
        head: what learns beside the mask decoder.
        losses: their weights.
        selection: which weights the run ends with.
    """

    kind: Literal["class-prompts"] = "class-prompts"
    model: str = "sam-vit-h"
    weights: str = "published"
    side: int = 0
    seed: int = 666
    epochs: int = 500
    batch: int = 32
    absent: float = 0.0
    learning_rate: float = 1e-3
    prototype_rate: float = 1.0
    final_share: float = 1.0
    weight_decay: float = 1e-4
    save_seconds: float = 300.0
    data: ClassData = field(default_factory=ClassData)
    head: HeadSettings = field(default_factory=HeadSettings)
    losses: ClassLosses = field(default_factory=ClassLosses)
    selection: Selection = field(default_factory=Selection)

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not 0 <= self.absent <= 1:
            raise ValueError(
                f"epochs and batch are 1 or more and absent from 0 to 1, not {self.epochs}, {self.batch}, {self.absent}"
            )
        if self.absent and not (self.losses.pixel or self.losses.presence):
            raise ValueError("absent classes teach nothing by Dice: set losses.pixel or losses.presence as well")
        both = sorted(name for name in self.selection.sources if "/" in name and name in self.data.sources)
        if both:
            raise ValueError(f"selection.sources: the recipe trains on {both[0]}: name another split")

    def version_at(self, epoch: int) -> int:
        """Which version an epoch shows, both counted from 0: 0 on even epochs, 1, 2, ... in turn on odd ones."""
        return 0 if epoch % 2 == 0 or not self.data.versions else epoch // 2 % self.data.versions + 1
