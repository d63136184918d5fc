"""How a mask grows better click by click (CVPR 2025, Foundation Models for Interactive 3-D Segmentation)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from trocar.metrics.score import mean


@dataclass(frozen=True)
class ClickCurve:
    """A score before the first click and after each.

    Args:
        start: after the first prompt (a box, in the challenge); 0 where there was none.
        after_clicks: after click 1, 2, ...; the challenge has five.

    Raises:
        ValueError: no click.
    """

    start: float
    after_clicks: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.after_clicks:
            raise ValueError("a click curve needs the score after one click at least")

    @property
    def final(self) -> float:
        return self.after_clicks[-1]

    @property
    def auc(self) -> float:
        """Area under the scores after clicks, by trapezoids one click wide: 0..4 for five clicks, not 0..1.

        The start does not count, as in the challenge.
        """
        return float(np.trapezoid(self.after_clicks))

    def clicks_to(self, target: float) -> int | None:
        """The first click after which the score is at least this; 0 if it was at the start, None if it never is."""
        return next((click for click, score in enumerate((self.start, *self.after_clicks)) if score >= target), None)


def mean_curve(curves: Iterable[ClickCurve]) -> ClickCurve:
    """The mean over cases, click by click.

    Raises:
        ValueError: no curve, or curves of different lengths.
    """
    listed = list(curves)
    lengths = {len(curve.after_clicks) for curve in listed}
    if len(lengths) != 1:
        raise ValueError(f"curves of {sorted(lengths)} clicks have no mean curve: give one or more of the same length")
    columns = zip(*(curve.after_clicks for curve in listed), strict=True)
    return ClickCurve(mean(curve.start for curve in listed), tuple(mean(column) for column in columns))
