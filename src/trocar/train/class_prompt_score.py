"""How well a class model finds the classes that frames show, as SurgicalSAM is scored (ISINet's figures)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trocar.classprompt.class_model import ClassModel
from trocar.metrics import endovis
from trocar.train.class_prompt_data import ClassPictures
from trocar.train.class_prompt_pictures import NO_TRUTH

Labels = NDArray[np.uint8]
SCORED_TOGETHER = 8


@torch.no_grad()
def class_scores(model: ClassModel, pictures: ClassPictures, classes: Sequence[int] | None = None) -> dict[str, float]:
    """Challenge IoU, mcIoU and each class's IoU over frames, with the classes that a frame shows given as prompts.

    So Challenge IoU equals IoU, and a class that a frame does not show cannot be found there: the release's protocol.
    Frames are compared in the network's input, and those that show no class are left out.

    Args:
        model: in evaluation mode.
        pictures: of which the frames as they are, are scored.
        classes: numbers of the classes that count; all where None.
    """
    counted = range(len(model.config.names)) if classes is None else classes
    shown: dict[int, list[int]] = {}
    for sample in pictures.samples():
        if sample.class_number in counted:
            shown.setdefault(sample.picture, []).append(sample.class_number)
    pairs = list(_maps(model, pictures, shown))
    counts = endovis.count((one for one, _ in pairs), (one for _, one in pairs), len(model.config.names))
    each = {
        model.config.names[number]: one.value for number, one in enumerate(endovis.class_ious(counts)) if one.counted
    }
    figures = {"Challenge IoU": endovis.challenge_iou(counts).value, "mcIoU": endovis.mean_class_iou(counts).value}
    return figures | each


def _maps(model: ClassModel, pictures: ClassPictures, shown: dict[int, list[int]]) -> Iterator[tuple[Labels, Labels]]:
    """Found and true classes of each frame, from 1; pixels without a truth are ground in both."""
    places = list(shown)
    for at in range(0, len(places), SCORED_TOGETHER):
        own = places[at : at + SCORED_TOGETHER]
        frame = torch.tensor([row for row, place in enumerate(own) for _ in shown[place]])
        asked = torch.tensor([number for place in own for number in shown[place]])
        features, truths = pictures.features(own), pictures.labels(own).cpu().numpy()
        device = features.stride16.device
        answers = model.answer(pictures.network, features, asked.to(device), frame.to(device))
        side = truths.shape[-1]
        logits = F.interpolate(answers.logits[:, None].float(), size=(side, side), mode="bilinear")[:, 0]
        masks, qualities = (logits > 0).cpu().numpy(), answers.quality.float().cpu().numpy()
        for row, truth in enumerate(truths):
            of = np.flatnonzero(frame.numpy() == row)
            found = endovis.merge_classes(
                [masks[one] for one in of], [int(asked[one]) + 1 for one in of], [float(qualities[one]) for one in of]
            )
            wanted = np.isin(truth, [number + 1 for number in shown[own[row]]])
            known = truth != NO_TRUTH
            yield np.where(known, found, 0).astype(np.uint8), np.where(wanted & known, truth, 0).astype(np.uint8)
