"""A prompter of your own: find whatever has a colour, and track it. own_prompter.py VIDEO R,G,B TOLERANCE"""

import sys
from typing import NamedTuple

import cv2
import numpy as np
import torch

from trocar import Session, load, open_source


class Sighting(NamedTuple):
    name: str
    presence: float
    quality: float
    logits: torch.Tensor


class ByColour:
    def __init__(self, source, colours, tolerance=40):
        self.source, self.colours, self.tolerance = source, colours, tolerance
        self.classes = tuple(colours)

    def look(self, frame, features):
        side = features.stride16.shape[-1] * 4  # masks are a quarter of the network's input
        image = cv2.resize(self.source[frame].image, (side, side), interpolation=cv2.INTER_AREA).astype(int)
        for name, colour in self.colours.items():
            alike = (np.abs(image - np.array(colour)).max(axis=2) <= self.tolerance).astype(np.uint8)
            count, pieces = cv2.connectedComponents(alike)
            for piece in range(1, count):
                yield Sighting(name, 1.0, 1.0, torch.from_numpy(np.where(pieces == piece, 8.0, -8.0)))


if __name__ == "__main__":
    video, colour = open_source(sys.argv[1]), [int(value) for value in sys.argv[2].split(",")]
    session = Session(load("nano"), video, prompter=ByColour(video, {"it": colour}, int(sys.argv[3])))
    frames = sum(any(mask.any() for mask in made.masks.values()) for made in session.propagate())
    print(f"{len(session.found)} objects of this colour on {frames} of {len(video)} frames")
