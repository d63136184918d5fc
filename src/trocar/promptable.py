"""How well a network answers prompts: on single images, and prompted once over a clip.

Every object-frame with at least `MIN_AREA_PX` true pixels counts once on images. Boxes are tight (corner pixels
included, no jitter); clicks are SAM 2's simulated ones: the first farthest from the object's border, the later ones in
the middle of the largest error. Tracking prompts each object once, with its box or its mask, on the first frame where
it is that large, runs forward, and is scored on the frames after it (SA-V's J and F, ends not skipped, a frame without
the object scores 1 if nothing is found).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from trocar.datasets import Clip
from trocar.frames import ArraySource
from trocar.memory import MemoryPolicy, NoMemory
from trocar.metrics import SequenceRules, SequenceScore, iou, j_and_f, pooled
from trocar.model.network import Network
from trocar.prompts import Prompt, center_click, tight_box
from trocar.track.session import Session

MIN_AREA_PX = 100
CLICKS = (1, 3)
RULES = SequenceRules(skip_ends=False)

Mask = NDArray[np.bool_]


@dataclass
class ImageScores:
    """IoU of every object-frame, by kind of prompt."""

    ious: dict[str, list[float]] = field(default_factory=dict)

    def add(self, kind: str, value: float) -> None:
        self.ious.setdefault(kind, []).append(value)

    def means(self) -> dict[str, float]:
        return {kind: float(np.mean(values)) for kind, values in self.ious.items()}

    @property
    def object_frames(self) -> int:
        return max((len(values) for values in self.ious.values()), default=0)


def object_frames(clip: Clip) -> Iterator[tuple[int, int, Mask]]:
    """(frame, object, mask) of every object-frame that counts."""
    for frame, labels in enumerate(clip.labels):
        for name in sorted(clip.classes):
            mask = labels == name
            if mask.sum() >= MIN_AREA_PX:
                yield frame, name, mask


def first_frames(clip: Clip) -> dict[int, int]:
    """The frame on which each object is prompted for tracking; the last frame leaves nothing to track."""
    firsts: dict[int, int] = {}
    for frame, name, _ in object_frames(clip):
        firsts.setdefault(name, frame)
    return {name: frame for name, frame in firsts.items() if frame + 1 < len(clip.labels)}


def score_images(network: Network, clips: Iterable[Clip], clicks: Sequence[int] = CLICKS) -> ImageScores:
    """IoU from a box and after each of some numbers of clicks, every object-frame for itself."""
    scores = ImageScores()
    for clip in clips:
        session = Session(network, ArraySource(clip.images, clip.name), NoMemory())
        for frame, name, truth in object_frames(clip):
            scores.add("box", iou(_ask(session, frame, name, tight_box(truth)), truth).value)
            session.remove(name)
            guess: Mask | None = None
            for count in range(1, max(clicks, default=0) + 1):
                click = center_click(truth, guess)
                if click is not None:  # None: the mask is perfect already
                    guess = _ask(session, frame, name, click)
                if count in clicks and guess is not None:
                    scores.add(f"{count} click{'s' if count > 1 else ''}", iou(guess, truth).value)
            if clicks:
                session.remove(name)
        session.close()
    return scores


def _ask(session: Session, frame: int, name: int, prompt: Prompt) -> Mask:
    return session.add(prompt, frame=frame, object_id=name).masks[name]


def score_tracking(
    network: Network,
    clips: Iterable[Clip],
    memory: Callable[[], MemoryPolicy],
    prompt: Callable[[Mask], Prompt] = tight_box,
) -> SequenceScore:
    """J and F of every object that is prompted once, averaged over objects.

    Args:
        network: what tracks.
        clips: what it tracks in.
        memory: makes the policy it tracks with, one for each clip.
        prompt: makes the prompt of the object's true mask: `tight_box`, or `MaskPrompt` for the mask itself.
    """
    scores: dict[str, SequenceScore] = {}
    for clip in clips:
        firsts = first_frames(clip)
        if firsts:
            session = Session(network, ArraySource(clip.images, clip.name), memory())
            for name, frame in firsts.items():
                session.add(prompt(clip.labels[frame] == name), frame=frame, object_id=name)
            found = np.zeros((max(firsts) + 1, *clip.labels.shape), np.bool_)
            for masks in session.propagate():
                for name, mask in masks.masks.items():
                    found[name, masks.frame] = mask
            session.close()
            scores |= objects_scored(clip, {name: found[name] for name in firsts}, firsts)
    return pooled(scores)


def objects_scored(clip: Clip, found: dict[int, Mask], firsts: dict[int, int]) -> dict[str, SequenceScore]:
    """Objects are scored one by one, since found masks may overlap."""
    return {
        f"{clip.name}/{name}": j_and_f(
            mask.astype(np.uint8), (clip.labels == name).astype(np.uint8), RULES, {1: firsts[name]}
        )
        for name, mask in found.items()
    }
