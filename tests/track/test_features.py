"""How frames become a network's input and masks come back: stretched, padded, or scaled between their extremes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trocar.geometry import Geometry
from trocar.model import NANO
from trocar.model.config import MEDSAM, SAM_VIT_B
from trocar.prompts import Box, Point
from trocar.track.features import INPUTS, MinMaxInput, NetworkInput, PaddedInput, input_of, to_network_input
from trocar.track.prompt_input import prompt_input
from trocar.track.track import FramePrompt

CPU = torch.device("cpu")


def noise(rows: int, columns: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def grey_of(values: list[list[int]]) -> NDArray[np.uint8]:
    return np.repeat(np.array(values, np.uint8)[..., None], 3, axis=2)


def test_a_network_says_how_it_takes_frames() -> None:
    assert [type(input_of(config)) for config in (NANO, SAM_VIT_B, MEDSAM)] == list(INPUTS.values())
    assert (input_of(NANO).side, input_of(NANO, 512).side, input_of(MEDSAM).side) == (256, 512, 1024)


def test_stretched_is_what_sam2_does() -> None:
    """To the bit: the whole square, one resize of the logits, each axis scaled by itself."""
    shown, image, logits = NetworkInput(64), noise(30, 50), torch.randn(2, 16, 16)
    assert torch.equal(shown.pixels(image), to_network_input(image, 64))
    assert torch.equal(
        shown.to_frame(logits, (30, 50)),
        F.interpolate(logits[None], size=(30, 50), mode="bilinear", align_corners=False)[0],
    )
    said = FramePrompt((Point(25, 15),), Box(0, 3, 10, 30), None)
    asked = prompt_input(said, Geometry((30, 50)), shown, None, CPU)
    torch.testing.assert_close(asked.points, torch.tensor([[0, 6.4], [12.8, 64], [32, 32]]))
    assert asked.labels.tolist() == [2, 3, 1]


@pytest.mark.parametrize(
    ("size", "extent"),
    [
        ((60, 80), (72, 96)),
        ((80, 60), (96, 72)),
        ((41, 43), (92, 96)),
        ((96, 96), (96, 96)),
        ((400, 3), (96, 1)),
        ((1, 400), (1, 96)),
    ],
)
def test_padded_extent_by_hand(size: tuple[int, int], extent: tuple[int, int]) -> None:
    """41 * 96 / 43 = 91.53, and 3 * 96 / 400 = 0.72: to the nearest whole pixel, and at least one."""
    shown = PaddedInput(96)
    assert shown.extent(size) == extent
    pixels = shown.pixels(np.full((*size, 3), 200, np.uint8))
    assert pixels.shape == (3, 96, 96)
    rows, columns = extent
    expected = (200 / 255 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    torch.testing.assert_close(pixels[:, :rows, :columns], expected[:, None, None].expand(-1, rows, columns))
    assert (pixels[:, rows:] == 0).all()
    assert (pixels[:, :, columns:] == 0).all()


def test_padded_prompts_keep_their_proportions() -> None:
    """A frame of 30 x 60 in a square of 96: all is 1.6 times as large, and the lower half stays empty."""
    mask = np.zeros((30, 60), np.bool_)
    mask[10:20, 30:] = True
    shown, geometry = PaddedInput(96), Geometry((30, 60))
    asked = prompt_input(FramePrompt((Point(30, 15),), Box(10, 0, 60, 30), None), geometry, shown, None, CPU)
    assert asked.points.tolist() == [[16, 0], [96, 48], [48, 24]]
    given = prompt_input(FramePrompt((), None, mask), geometry, shown, None, CPU).mask
    assert given is not None
    expected = torch.zeros(96, 96, dtype=torch.bool)
    expected[16:32, 48:] = True
    assert torch.equal(given, expected)


def test_padded_masks_lose_their_padding() -> None:
    """What the decoder paints on the padding is not seen; the frame's edges are those of the mask."""
    logits = torch.full((1, 24, 24), -5.0)
    logits[0, :6] = 5  # the upper half of the frame's 12 rows
    logits[0, 12:] = 50
    mask = PaddedInput(96).to_frame(logits, (30, 60))[0] > 0
    assert mask[:14].all()
    assert not mask[16:27].any()


def test_min_max_by_hand() -> None:
    """Darkest to 0 and brightest to 1 over all channels; nothing is divided by zero."""
    image = noise(8, 8)
    pixels = MinMaxInput(8).pixels(image)
    low, high = float(image.min()), float(image.max())
    torch.testing.assert_close(pixels, (torch.from_numpy(image).permute(2, 0, 1).float() - low) / (high - low))
    assert MinMaxInput(16).pixels(np.full((9, 7, 3), 90, np.uint8)).abs().max() == 0
    stretched = MinMaxInput(32).pixels(noise(20, 11))
    assert (stretched.shape, float(stretched.min()), float(stretched.max())) == ((3, 32, 32), 0, 1)


# Whole levels of scikit-image 0.26.0's transform.resize(image, (6, 6), order=3, preserve_range=True,
# anti_aliasing=True).astype(uint8), as MedSAM's script calls it, on (37 r + 61 c + 11 (r c mod 7)) mod 256.
SCIKIT_IMAGE = {
    (3, 5): [
        [3, 44, 102, 157, 209, 222],
        [3, 44, 102, 157, 209, 222],
        [24, 70, 124, 218, 223, 116],
        [51, 101, 173, 229, 168, 53],
        [71, 120, 225, 185, 72, 66],
        [71, 120, 225, 185, 72, 66],
    ],
    (13, 10): [
        [34, 157, 175, 118, 191, 78],
        [124, 104, 105, 132, 96, 176],
        [163, 79, 218, 10, 97, 214],
        [42, 138, 206, 70, 176, 77],
        [102, 176, 76, 165, 176, 150],
        [135, 54, 195, 11, 82, 135],
    ],
}


@pytest.mark.parametrize("size", SCIKIT_IMAGE)
def test_min_max_resizes_as_medsam_does(size: tuple[int, int]) -> None:
    rows, columns = np.indices(size)
    image = grey_of(((37 * rows + 61 * columns + 11 * (rows * columns % 7)) % 256).tolist())
    levels = torch.tensor(SCIKIT_IMAGE[size]).float()
    expected = (levels - levels.min()) / (levels.max() - levels.min())
    pixels = MinMaxInput(6).pixels(image)
    assert torch.equal(pixels[0], pixels[2])
    torch.testing.assert_close(pixels[0], expected)


def test_grey_pictures_are_not_treated_apart() -> None:
    """One channel is resized for all three, with the result of resizing each."""
    image = np.repeat(noise(20, 11)[..., :1], 3, axis=2)
    coloured = image.copy()
    coloured[0, 0, 2] ^= 1
    grey, other = MinMaxInput(32).pixels(image), MinMaxInput(32).pixels(coloured)
    assert torch.equal(grey[:2], other[:2])


def test_min_max_masks_are_resized_as_probabilities() -> None:
    """Halfway between two cells lies the mean of their probabilities, not of their logits."""
    shown = MinMaxInput(8)
    for low, high in ((-1.0, 9.0), (-9.0, 1.0), (-2.0, 3.0)):
        logits = torch.tensor([low, high]).expand(1, 2, 2)
        middle = shown.to_frame(logits, (2, 3))[0, 0, 1]
        mean = torch.tensor([low, high]).sigmoid().mean()
        torch.testing.assert_close(middle.sigmoid(), mean)
    assert torch.isfinite(shown.to_frame(torch.full((1, 2, 2), -1024.0), (3, 3))).all()
