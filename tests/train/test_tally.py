"""What is gathered of a step's answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import torch

from trocar.model.tensors import Decoded
from trocar.train.ambiguity import Ambiguity
from trocar.train.recipe import LossWeights
from trocar.train.tally import Tally

SIDE = 32


def answer(left: float) -> Any:
    """One candidate that is sure of the left half, or of nothing."""
    masks = torch.full((1, 1, SIDE // 4, SIDE // 4), -10.0)
    masks[..., : SIDE // 8] = left
    return SimpleNamespace(decoded=Decoded(masks, torch.zeros(1, 1), torch.zeros(1), torch.zeros(1, 1, 8)))


def truth(*there: bool) -> torch.Tensor:
    masks = torch.zeros(len(there), SIDE, SIDE, dtype=torch.bool)
    masks[list(there), :, : SIDE // 2] = True
    return masks


def tally(answers: list[Any], masks: torch.Tensor) -> dict[str, torch.Tensor]:
    made = Tally(LossWeights(), Ambiguity(), objects=1)
    made.add(answers, masks, torch.ones_like(masks))
    return made.losses()


def test_the_iou_that_was_reached_is_that_of_objects_that_are_there() -> None:
    assert tally([answer(10.0)], truth(True))["reached"].item() == 1
    mixed = tally([answer(10.0), answer(-10.0), answer(10.0)], truth(True, False, False))
    assert mixed["reached"].item() == 1
    absent = tally([answer(-10.0)], truth(False))
    assert "reached" not in absent
    assert absent["presence"].item() > 0
