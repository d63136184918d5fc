"""Who finds the instrument types of a frame: oracles, a detector's boxes, tracked points, PerSAM, a class model.

SurgicalSAM's tables have a row of each. A method's name says what it is told: "oracle" stands in the name of all that
read the truth of a frame that is scored, be it where a class is or only which classes there are. What is told the
classes cannot find absent ones, so that its IoU equals its Challenge IoU.

Left open by the papers: the centroid is the mean of a class's pixels, whether or not it is on one of them; a class in
several pieces has one prompt; the further points of "5 points" are SAM's simulated corrections on the first frame that
shows the class; PerSAM's reference is the first frame of the named split on which the class takes 1/200 of the
picture, and a class without one is not found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trocar.bench.trackers import AnnotatedFrames
from trocar.classprompt import ClassModel, open_class_model
from trocar.classprompt.presence import believed
from trocar.classprompt.reference import Reference, reference_of, segment_like, weigh_candidates
from trocar.datasets.location import locate
from trocar.formats.coco_detections import read_detections
from trocar.load import load_dataset, load_memory
from trocar.memory import NoMemory
from trocar.metrics.endovis import merge_classes
from trocar.model.network import Network
from trocar.model.tensors import ImageFeatures
from trocar.prompts import Box, Point, Prompt, center_click, tight_box
from trocar.track.features import NetworkInput, input_of
from trocar.track.session import Session, SessionOptions

Labels = NDArray[np.integer]
Mask = NDArray[np.bool_]
Truths = Callable[[int], Mapping[int, Mask]]
"""The place of an annotated frame -> class number -> its true mask, for those that the frame shows."""
MethodName = Literal[
    "oracle box",
    "oracle centroid",
    "detector",
    "detector (oracle classes)",
    "1 point tracked (oracle start)",
    "5 points tracked (oracle start)",
    "PerSAM (oracle classes)",
    "PerSAM-F (oracle classes)",
    "class model",
    "class model (oracle classes)",
]
REFERENCE_AREA = 1 / 200  # of the picture, from which on a class's frame will do as a reference


@dataclass(frozen=True, eq=False)
class Asked:
    """What a method has to work with.

    Args:
        network: as loaded.
        dataset: a name of `DATASETS`.
        names: of its classes, class 1 first.
        case: the case's name.
        image_size: side of the network's input in pixels; None for its own.
        detections: folder of COCO files, DATASET/CASE.json.
        detector_score: detections below it are left out.
        memory: the policy that tracks.
        references: DATASET/SPLIT of PerSAM's references.
        class_model: file of a class model.
    """

    network: Network
    dataset: str
    names: Sequence[str]
    case: str
    image_size: int | None = None
    detections: str = ""
    detector_score: float = 0.5
    memory: str = "recent"
    references: str = ""
    class_model: str = ""


class Method(Protocol):
    """Finds the class map of each annotated frame of a case, in order."""

    def __call__(self, asked: Asked, view: AnnotatedFrames, truths: Truths) -> Iterator[Labels]: ...


def class_maps(name: MethodName, asked: Asked, view: AnnotatedFrames, truths: Truths) -> Iterator[Labels]:
    """(rows, columns) class numbers of each annotated frame, by the method of this name."""
    return METHODS[name](asked, view, truths)


def oracle_prompts(
    asked: Asked, view: AnnotatedFrames, truths: Truths, prompt_of: Callable[[Mask], Prompt]
) -> Iterator[Labels]:
    """Each class of the frame from a prompt that its truth gives."""
    session = Session(asked.network, view, NoMemory(), SessionOptions(image_size=asked.image_size))
    for place in range(len(view)):
        yield _asked_all(session, place, [(number, prompt_of(mask)) for number, mask in truths(place).items()])
    session.close()


def detected_boxes(asked: Asked, view: AnnotatedFrames, truths: Truths, told: bool) -> Iterator[Labels]:
    """The boxes of a detector as prompts; with `told` only those of classes that the frame shows."""
    if not asked.detections:
        raise ValueError("the method 'detector' needs boxes: name their folder with detections = ...")
    path = Path(asked.detections) / asked.dataset / f"{asked.case}.json"
    numbers = {name: number for number, name in enumerate(asked.names, start=1)}
    found = read_detections(path, len(view), dict(enumerate(asked.names, start=1)))
    session = Session(asked.network, view, NoMemory(), SessionOptions(image_size=asked.image_size))
    for place, detections in enumerate(found):
        shown = truths(place) if told else {}
        prompts: list[tuple[int, Prompt]] = []
        for one in detections:
            number = numbers.get(one.class_name)
            if number and one.score >= asked.detector_score and (not told or number in shown):
                prompts.append((number, _within(one.box, view.geometry.size)))
        yield _asked_all(session, place, prompts)
    session.close()


def tracked_points(asked: Asked, view: AnnotatedFrames, truths: Truths, points: int) -> Iterator[Labels]:
    """Each class from points on the first frame that shows it, then from memory (Yang et al., Track Anything, 2023)."""
    session = Session(asked.network, view, load_memory(asked.memory), SessionOptions(image_size=asked.image_size))
    begun: set[int] = set()
    first = len(view)
    for place in range(len(view)):
        for number, truth in truths(place).items():
            if number not in begun:
                begun.add(number)
                first = min(first, place)
                guess: Mask | None = None
                for _ in range(points):
                    click = center_click(truth, guess)
                    if click is not None:  # None: nothing is wrong with the mask
                        guess = session.add(click, frame=place, object_id=number).masks[number]
    for place in range(first):
        yield _nothing(view, place)
    for answer in session.propagate() if begun else ():
        masks = {number: mask for number, mask in answer.masks.items() if mask.any()}
        if masks:
            yield merge_classes(list(masks.values()), list(masks), [answer.scores[number] for number in masks])
        else:
            yield _nothing(view, answer.frame)
    session.close()


def like_references(asked: Asked, view: AnnotatedFrames, truths: Truths, tuned: bool) -> Iterator[Labels]:
    """Each class that the frame shows by PerSAM, from one reference of the class."""
    references = _references(asked.network, asked.references, len(asked.names), asked.image_size, tuned)
    yield from persam_maps(asked.network, references, input_of(asked.network.config, asked.image_size), view, truths)


def persam_maps(
    network: Network, references: Mapping[int, Reference], shown: NetworkInput, view: AnnotatedFrames, truths: Truths
) -> Iterator[Labels]:
    """The classes that each frame shows and that have a reference."""
    for place in range(len(view)):
        image, numbers = view[place].image, [number for number in truths(place) if number in references]
        if not numbers:
            yield _nothing(view, place)
            continue
        size = (image.shape[0], image.shape[1])
        features = _encoded(network, shown, image)
        answers = [segment_like(network, features, references[n], shown.extent(size)) for n in numbers]
        logits = torch.stack([one.logits for one in answers])
        yield painted(logits, [one.quality for one in answers], numbers, shown, size)


def of_class_model(asked: Asked, view: AnnotatedFrames, truths: Truths, told: bool) -> Iterator[Labels]:
    """The classes by their names alone; with `told` only those that the frame shows, as in SurgicalSAM's tables."""
    if not asked.class_model:
        raise ValueError("the method 'class model' needs one: name its file with class_models = ...")
    model = opened(Path(asked.class_model), asked.network)
    if not told and not model.config.presence:
        raise ValueError(
            f"{asked.class_model} cannot say which classes are there: its presence was never calibrated. Calibrate it "
            "on tune data, or ask with the method 'class model (oracle classes)'"
        )
    known = {name: index for index, name in enumerate(model.config.names)}
    indices = {number: known[name] for number, name in enumerate(asked.names, start=1) if name in known}
    shown = input_of(asked.network.config, model.config.side)
    for place in range(len(view)):
        image = view[place].image
        there = truths(place) if told else indices
        wanted = [number for number in indices if number in there]
        if not wanted:
            yield _nothing(view, place)
            continue
        with torch.inference_mode():
            features = _encoded(asked.network, shown, image)
            found = model.masks(asked.network, features, [indices[number] for number in wanted])
            if not told:
                found = believed(model, features, found, [indices[number] for number in wanted])
        kept = [slot for slot, logits in enumerate(found.logits[0]) if told or bool((logits > 0).any())]
        numbers = [wanted[slot] for slot in kept]
        size = (image.shape[0], image.shape[1])
        yield painted(found.logits[0, kept], found.quality[0, kept].tolist(), numbers, shown, size)


def painted(
    logits: Tensor, qualities: Sequence[float], numbers: Sequence[int], shown: NetworkInput, size: tuple[int, int]
) -> Labels:
    """One class map of the masks of several classes: (C, s, s) logits in the network's input -> (rows, columns)."""
    if not len(numbers):
        return np.zeros(size, np.uint8)
    masks = (shown.to_frame(logits.float(), size) > 0).cpu().numpy()
    return merge_classes(list(masks), numbers, qualities)


@lru_cache(maxsize=8)
def opened(path: Path, network: Network) -> ClassModel:
    """A class model, opened once."""
    return open_class_model(path, network)


def centroid(mask: Mask) -> Point:
    """The mean of a mask's pixels as a click."""
    rows, columns = np.nonzero(mask)
    return Point(float(columns.mean()), float(rows.mean()))


def _asked_all(session: Session, place: int, prompts: Sequence[tuple[int, Prompt]]) -> Labels:
    """The classes of some prompts on a frame, merged; two prompts may be of one class."""
    masks, qualities = [], []
    for _, prompt in prompts:
        answer = session.add(prompt, frame=place)
        session.remove(1)
        masks.append(answer.masks[1])
        qualities.append(answer.scores[1])
    if not masks:
        return np.zeros(session.source[place].image.shape[:2], np.uint8)
    return merge_classes(masks, [number for number, _ in prompts], qualities)


def _nothing(view: AnnotatedFrames, place: int) -> Labels:
    return np.zeros(view[place].image.shape[:2], np.uint8)


def _within(box: Box, size: tuple[int, int]) -> Box:
    """A box cut to the frame."""
    x0, x1 = (min(max(x, 0.0), size[1] - 1.0) for x in (box.x0, box.x1))
    y0, y1 = (min(max(y, 0.0), size[0] - 1.0) for y in (box.y0, box.y1))
    return Box(x0, y0, max(x1, x0 + 1), max(y1, y0 + 1))


@torch.no_grad()
def _encoded(network: Network, shown: NetworkInput, image: NDArray[np.uint8]) -> ImageFeatures:
    return network.encode_image(shown.pixels(image)[None].to(next(network.prompt_encoder.parameters())))


@lru_cache(maxsize=2)
def _references(
    network: Network, place: str, classes: int, image_size: int | None, tuned: bool
) -> Mapping[int, Reference]:
    dataset, _, split = place.partition("/")
    if not split:
        raise ValueError(
            "PerSAM needs a reference of each class: set references = DATASET/SPLIT, such as a train split"
        )

    def shots() -> Iterator[tuple[NDArray[np.uint8], Mapping[int, Mask]]]:
        asked = load_dataset(dataset)
        for case in asked.read(locate(asked.folder), split):
            source = case.open()
            for frame in case.annotated_frames:
                truth = case.truth(frame)
                yield source[frame].image, truth.masks if truth else {}

    return first_references(network, shots(), classes, input_of(network.config, image_size), tuned)


def first_references(
    network: Network,
    shots: Iterable[tuple[NDArray[np.uint8], Mapping[int, Mask]]],
    classes: int,
    shown: NetworkInput,
    tuned: bool,
) -> Mapping[int, Reference]:
    """PerSAM's reference of each class: the first picture that shows enough of it. A class without one is left out.

    Args:
        network: encodes the pictures.
        shots: pictures and, by class number, the masks in them.
        classes: how many there are; when all are found no further picture is read.
        shown: how the network takes pictures.
        tuned: learn the two parameters.
    """
    found: dict[int, Reference] = {}
    for image, masks in shots:
        for number, mask in masks.items():
            if number not in found and mask.mean() >= REFERENCE_AREA:
                found[number] = _learned(network, shown, image, mask, tuned)
        if len(found) == classes:
            break
    return found


def _learned(network: Network, shown: NetworkInput, image: NDArray[np.uint8], mask: Mask, tuned: bool) -> Reference:
    features = _encoded(network, shown, image)
    rows, columns = shown.extent((image.shape[0], image.shape[1]))
    soft = torch.from_numpy(mask)[None, None].float().to(features.stride16.device)
    soft = torch.nn.functional.interpolate(soft, size=(rows, columns), mode="bilinear", antialias=True)
    whole = torch.nn.functional.pad(soft, (0, shown.side - columns, 0, shown.side - rows))[0, 0] >= 0.5
    extent = (rows, columns)
    return weigh_candidates(network, features, whole, extent) if tuned else reference_of(features, whole)


METHODS: Mapping[str, Method] = {
    "oracle box": lambda asked, view, truths: oracle_prompts(asked, view, truths, tight_box),
    "oracle centroid": lambda asked, view, truths: oracle_prompts(asked, view, truths, centroid),
    "detector": lambda asked, view, truths: detected_boxes(asked, view, truths, told=False),
    "detector (oracle classes)": lambda asked, view, truths: detected_boxes(asked, view, truths, told=True),
    "1 point tracked (oracle start)": lambda asked, view, truths: tracked_points(asked, view, truths, 1),
    "5 points tracked (oracle start)": lambda asked, view, truths: tracked_points(asked, view, truths, 5),
    "PerSAM (oracle classes)": lambda asked, view, truths: like_references(asked, view, truths, tuned=False),
    "PerSAM-F (oracle classes)": lambda asked, view, truths: like_references(asked, view, truths, tuned=True),
    "class model": lambda asked, view, truths: of_class_model(asked, view, truths, told=False),
    "class model (oracle classes)": lambda asked, view, truths: of_class_model(asked, view, truths, told=True),
}
