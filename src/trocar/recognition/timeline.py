"""What a video shows and when: a recognizer on clips that slide over it, and the events that its answers make."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from trocar.formats.whole_file import whole_file
from trocar.frames import FrameSource
from trocar.recognition.recognizer import Recognizer
from trocar.recognition.views import Frames, as_clips, square

COLUMNS = ("class", "start_frame", "stop_frame", "start_s", "stop_s", "probability")


@dataclass(frozen=True)
class Sliding:
    """How clips slide.

    Args:
        step: frames from the middle of a clip to that of the next one.
        stride: frames from one that is looked at to the next; left out, the recognizer's own, or 1 where that is 0.
        smooth: clips over which probabilities are averaged, an odd number; 1 leaves them as they are.
        batch: clips that are computed at once.
    """

    step: int = 8
    stride: int | None = None
    smooth: int = 1
    batch: int = 8

    def __post_init__(self) -> None:
        if min(self.step, self.smooth, self.batch) < 1 or self.smooth % 2 == 0 or (self.stride or 1) < 1:
            raise ValueError("step, stride and batch must be 1 or more, and smooth an odd number")


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers along a video.

    Args:
        middles: (clips,) the frame in the middle of each.
        probabilities: (clips, classes).
    """

    middles: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Event:
    """A stretch of a video with one class.

    Args:
        label: the class.
        start, stop: its first frame and the one after its last.
        start_s, stop_s: the same in seconds; None for a source without a frame rate.
        probability: the mean over its clips.
    """

    label: str
    start: int
    stop: int
    start_s: float | None
    stop_s: float | None
    probability: float


@torch.inference_mode()
def slide(
    recognizer: Recognizer,
    source: FrameSource,
    sliding: Sliding,
    report: Callable[[str, int, int], object] = lambda *said: None,
) -> Answers:
    """Answers for clips about every `step`-th frame; each frame is decoded once.

    At both ends a clip reaches past the video and repeats its first or last frame.
    """
    device = next(recognizer.parameters()).device
    middles = np.arange(min(sliding.step // 2, len(source) - 1), len(source), sliding.step)
    found: list[NDArray[np.float64]] = []
    waiting: list[Frames] = []
    for number, clip in enumerate(_clips(recognizer, source, middles, sliding)):
        waiting.append(clip)
        if len(waiting) == sliding.batch or number + 1 == len(middles):
            found.append(recognizer(as_clips(waiting, device)).softmax(1).double().cpu().numpy())
            waiting = []
            report("recognizing", number + 1, len(middles))
    return Answers(middles, smoothed(np.concatenate(found), sliding.smooth))


def smoothed(probabilities: NDArray[np.float64], clips: int) -> NDArray[np.float64]:
    """The mean over `clips` neighbours of each row; at the ends over as many as there are."""
    reach = clips // 2
    means = [probabilities[max(0, row - reach) : row + reach + 1].mean(0) for row in range(len(probabilities))]
    return np.stack(means)


def events(answers: Answers, classes: Sequence[str], frames: int, rate_hz: float | None) -> list[Event]:
    """Stretches of equal answers, from the first frame to the last; one ends halfway between two clips."""
    found: list[Event] = []
    chosen = answers.probabilities.argmax(1)
    start = 0
    for label, run in groupby(range(len(chosen)), key=lambda clip: int(chosen[clip])):
        clips = list(run)
        last = clips[-1]
        whole = last + 1 == len(chosen)
        stop = frames if whole else int(answers.middles[last] + answers.middles[last + 1] + 1) // 2
        start_s, stop_s = (None, None) if rate_hz is None else (start / rate_hz, stop / rate_hz)
        probability = float(answers.probabilities[clips, label].mean())
        found.append(Event(classes[label], start, stop, start_s, stop_s, probability))
        start = stop
    return found


def write_events(path: Path, found: Sequence[Event]) -> None:
    """Write events as CSV, a line each; seconds are empty for a source without a frame rate."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for one in found:
            seconds = ["" if value is None else f"{value:.3f}" for value in (one.start_s, one.stop_s)]
            writer.writerow([one.label, one.start, one.stop, *seconds, f"{one.probability:.4f}"])


def _clips(
    recognizer: Recognizer, source: FrameSource, middles: NDArray[np.int64], sliding: Sliding
) -> Iterator[Frames]:
    """(T, S, S, 3) about each middle; frames are read in their order, and those that no later clip needs forgotten."""
    config = recognizer.encoder.config
    stride = sliding.stride or recognizer.question.stride or 1
    places = (np.arange(config.frames) - (config.frames - 1) // 2) * stride
    wanted = np.clip(middles[:, None] + places, 0, len(source) - 1)
    coming = iter(np.unique(wanted).tolist())
    kept: dict[int, Frames] = {}
    for clip in wanted:
        while max(kept, default=-1) < clip[-1]:
            number = next(coming)
            kept[number] = square(source[number].image, config.side)
        for number in [one for one in kept if one < clip[0]]:
            del kept[number]
        yield np.stack([kept[int(number)] for number in clip])
