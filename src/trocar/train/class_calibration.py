"""How far a network's classes of tracked objects may be believed: a temperature, fitted on validation clips.

Temperature scaling (Guo et al., ICML 2017) of what the semantic head says (`train/semantic.py`). It changes no class,
only how sure the network says that it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trocar.datasets import Clip
from trocar.formats.whole_file import whole_file
from trocar.frames import ArraySource
from trocar.load import load_memory
from trocar.metrics.calibration import class_calibration, fit_temperature
from trocar.model import Network
from trocar.model.checkpoint import open_network, read_head, save_weights
from trocar.promptable import first_frames
from trocar.prompts import tight_box
from trocar.track.session import Session
from trocar.train.semantic import class_targets


@dataclass(frozen=True)
class ClassCalibration:
    """What was fitted, and how well classes and their probabilities hold on the clips that it was fitted on.

    Args:
        temperature: that logits are divided by; 1 where nothing could be fitted.
        objects: of a known class, each tracked through its clip.
        answers: frames on which a class was said of them.
        accuracy: share of the answers whose likeliest class is right.
        error_before: expected calibration error at the temperature 1, error_after: at the one that was fitted.
    """

    temperature: float = 1.0
    objects: int = 0
    answers: int = 0
    accuracy: float | None = None
    error_before: float | None = None
    error_after: float | None = None


@dataclass(frozen=True, eq=False)
class ClassAnswers:
    """What was said of `objects` objects: (N, K) logits but for a constant of each row, and the (N,) right classes."""

    logits: NDArray[np.float64]
    targets: NDArray[np.int64]
    objects: int


def class_answers(network: Network, clips: Sequence[Clip], memory: str) -> ClassAnswers:
    """Every object of a known class, prompted once with a box and tracked forward, as in validation.

    Args:
        network: with a semantic head; its temperature is not used.
        clips: with names of classes.
        memory: as for `load_memory`.
    """
    semantic = network.config.semantic
    assert semantic is not None
    config = network.config
    # At the temperature `scale` probabilities are those of bare cosines, of which none is too small to tell from 0.
    network.config = replace(config, semantic=replace(semantic, temperature=semantic.scale))
    said: list[tuple[list[float], int]] = []
    objects = 0
    try:
        for clip in clips:
            known = _known_objects(clip, semantic.names)
            objects += len(known)
            session = Session(network, ArraySource(clip.images, clip.name), load_memory(memory))
            for number, (frame, _) in known.items():
                session.add(tight_box(clip.labels[frame] == number), frame=frame, object_id=number)
            for masks in session.propagate() if known else ():
                said += [([*chances.values()], known[one][1]) for one, chances in masks.classes.items()]
            session.close()
    finally:
        network.config = config
    logits = semantic.scale * np.log(np.array([row for row, _ in said]).reshape(-1, len(semantic.names)))
    return ClassAnswers(logits, np.array([target for _, target in said], np.int64), objects)


def _known_objects(clip: Clip, names: Sequence[str]) -> dict[int, tuple[int, int]]:
    """Object id -> the frame to prompt it on and its class, for objects whose class is one of `names`."""
    firsts = first_frames(clip)
    targets = class_targets([clip.classes[number] for number in firsts], names)
    return {
        number: (frame, target) for (number, frame), target in zip(firsts.items(), targets, strict=True) if target >= 0
    }


def fitted(answers: ClassAnswers) -> ClassCalibration:
    """The temperature under which the right classes are likeliest.

    It stays 1 without any answer, and where all are right: then the surest temperature is always the likeliest.
    """
    if not len(answers.targets):
        return ClassCalibration(objects=answers.objects)
    right = answers.logits.argmax(axis=1) == answers.targets
    temperature = 1.0 if right.all() else fit_temperature(answers.logits, answers.targets)
    before, after = (class_calibration(answers.logits, answers.targets, one).error for one in (1.0, temperature))
    return ClassCalibration(temperature, answers.objects, len(right), float(right.mean()), before, after)


def calibrate_file(path: Path, clips: Sequence[Clip], memory: str) -> ClassCalibration:
    """Fit the temperature of a network in a file that `save_weights` wrote, and write it there.

    Args:
        path: safetensors of a network with a semantic head.
        clips: none that results are reported on.
        memory: what objects are tracked with.
    """
    network = open_network(path)
    found = fitted(class_answers(network, clips, memory))
    assert network.config.semantic is not None
    network.config = replace(network.config, semantic=replace(network.config.semantic, temperature=found.temperature))
    info = {name: text for name, text in read_head(path).items() if name != "config"}
    save_weights(network, path, info)
    return found


def write_calibrations(path: Path, found: dict[str, ClassCalibration], data: str) -> None:
    """Note as JSON what was fitted for each file of weights, and on which data."""
    with whole_file(path) as part:
        facts = {"fitted_on": data, "weights": {name: asdict(one) for name, one in found.items()}}
        part.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
