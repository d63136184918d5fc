"""Who may start a track besides the user: a prompter looks at each frame and says what it sees there.

`Session` asks it frame by frame; `watch.py` decides when it is believed. What a class model sees comes from
`trocar.classprompt`, which knows nothing of tracks: `trocar.load_prompter` brings the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from trocar.model.tensors import ImageFeatures


class Sighting(Protocol):
    """One instance of a class on one frame."""

    @property
    def name(self) -> str:
        """Of the class."""
        ...

    @property
    def presence(self) -> float:
        """Probability that the class is there, 0..1."""
        ...

    @property
    def quality(self) -> float:
        """Predicted IoU of the mask, 0..1."""
        ...

    @property
    def logits(self) -> Tensor:
        """(s, s) mask logits of the network's square input, s being a quarter of its side."""
        ...


class Prompter(Protocol):
    """Anything that sees objects of named classes: a class model, a detector, a rule."""

    @property
    def classes(self) -> Sequence[str]:
        """What it looks for."""
        ...

    def look(self, frame: int, features: ImageFeatures) -> Sequence[Sighting]:
        """What it sees on a frame of the session's source.

        It must depend on nothing else, since a frame is looked at again when a stretch is tracked anew.

        Args:
            frame: the frame's number.
            features: of this one frame.
        """
        ...


@dataclass(frozen=True)
class Credibility:
    """When a prompter is believed.

    An object is started once it was seen on several frames in a row, the rule of ReSurgSAM2's credible initial frame
    selection (Liu et al. 2025: five frames with presence > 0.9 and predicted IoU > 0.7). Here presence is a calibrated
    probability, so that one half is the natural bound, and fewer frames serve videos of a low rate too.

    Args:
        frames: in a row, on which an object is seen before it is started.
        presence: least probability of the class.
        quality: least predicted IoU of the mask.
        area: least part of the network's input that a mask covers.
        follow: least IoU by which a sighting goes on where one of the frame before was.
        overlap: from which part of the smaller mask on two masks show the same object.
        doubt: frames in a row without a sighting after which a found object that is still tracked counts as absent;
            0 for never.
    """

    frames: int = 3
    presence: float = 0.5
    quality: float = 0.5
    area: float = 0.0005
    follow: float = 0.2
    overlap: float = 0.5
    doubt: int = 10

    def __post_init__(self) -> None:
        if self.frames < 1:
            raise ValueError(f"frames={self.frames}: an object is seen on at least 1 frame before it is started")
        if self.doubt < 0:
            raise ValueError(f"doubt={self.doubt}: give a number of frames, or 0 for never")
        for name in ("presence", "quality", "area", "follow", "overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)}: give a part of one, from 0 to 1")
