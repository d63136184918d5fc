"""A Kalman filter over boxes: constant velocity, unit time step, noise in proportion to the box's height.

The state is (centre x, centre y, width / height, height) and their four velocities; the first four are measured
(Wojke et al. 2017, "Simple online and realtime tracking with a deep association metric", 2.1). All functions are pure
and work on float64 tensors: `mean` is (8,), `covariance` (8, 8).
"""

from __future__ import annotations

import torch
from torch import Tensor

from trocar.memory.boxes import Box

POSITION = 1 / 20  # standard deviation of centre and height, in heights
VELOCITY = 1 / 160  # of their velocities, in heights a step
ASPECT, ASPECT_VELOCITY = 1e-2, 1e-5
MEASURED_ASPECT = 1e-1


def initiate(box: Box) -> tuple[Tensor, Tensor]:
    """The state of an object that is seen for the first time, at rest: (mean, covariance)."""
    measured = _measurement(box)
    mean = torch.cat([measured, torch.zeros_like(measured)])
    height = float(measured[3])
    return mean, _diagonal(2 * POSITION * height, ASPECT, 10 * VELOCITY * height, ASPECT_VELOCITY)


def predict(mean: Tensor, covariance: Tensor, steps: int = 1) -> tuple[Tensor, Tensor]:
    """The state some steps later: (mean, covariance)."""
    motion = torch.eye(8, dtype=torch.float64)
    motion[:4, 4:] = torch.eye(4, dtype=torch.float64)
    for _ in range(steps):
        height = float(mean[3])
        noise = _diagonal(POSITION * height, ASPECT, VELOCITY * height, ASPECT_VELOCITY)
        mean, covariance = motion @ mean, motion @ covariance @ motion.T + noise
    return mean, covariance


def update(mean: Tensor, covariance: Tensor, box: Box) -> tuple[Tensor, Tensor]:
    """The state after a box was measured: (mean, covariance)."""
    position = POSITION * float(mean[3])
    noise = torch.tensor([position, position, MEASURED_ASPECT, position], dtype=torch.float64).square().diag()
    spread = covariance[:4, :4] + noise
    gain = torch.linalg.solve(spread, covariance[:4]).T
    return mean + gain @ (_measurement(box) - mean[:4]), covariance - gain @ spread @ gain.T


def box_of(mean: Tensor) -> Box:
    """The box of a state."""
    x, y, aspect, height = mean[:4].tolist()
    return (x - aspect * height / 2, y - height / 2, x + aspect * height / 2, y + height / 2)


def _measurement(box: Box) -> Tensor:
    x0, y0, x1, y1 = box
    height = (y1 - y0) or 1.0  # a box without height still has an aspect ratio, namely its width
    return torch.tensor([(x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / height, height], dtype=torch.float64)


def _diagonal(position: float, aspect: float, velocity: float, aspect_velocity: float) -> Tensor:
    deviations = [position, position, aspect, position, velocity, velocity, aspect_velocity, velocity]
    return torch.tensor(deviations, dtype=torch.float64).square().diag()
