"""A real MRML scene without the application: slicer-core, and the two module logics that `slicer.util` asks for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import slicer
import slicer.util

ROWS, COLUMNS, SLICES = 36, 40, 12


def new_scene() -> Any:
    """An empty scene, which is from then on the application's."""
    scene = slicer.vtkMRMLScene()
    slicer.mrmlScene = scene
    segmentations, volumes = slicer.vtkSlicerSegmentationsModuleLogic(), slicer.vtkSlicerVolumesLogic()
    for logic in (segmentations, volumes):
        logic.SetMRMLScene(scene)
    slicer.modules = SimpleNamespace(
        segmentations=SimpleNamespace(logic=lambda: segmentations), volumes=SimpleNamespace(logic=lambda: volumes)
    )
    return scene


def add_volume(scene: Any, values: np.ndarray, affine: np.ndarray, name: str = "CT of somebody") -> Any:
    """A volume node with (k, j, i) values."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    slicer.util.updateVolumeFromArray(node, values)
    node.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(affine))
    return node


def add_points(scene: Any, *world: tuple[float, ...]) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    for point in world:
        node.AddControlPoint(*point)
    return node


def ball(shape: tuple[int, int, int] = (SLICES, ROWS, COLUMNS), centre: tuple[float, ...] = (6, 16, 20)) -> np.ndarray:
    """(k, j, i) int16: a bright ellipsoid."""
    at = np.stack(np.meshgrid(*(np.arange(length) for length in shape), indexing="ij"), -1)
    inside = (((at - np.array(centre)) * (1.5, 1, 1)) ** 2).sum(-1) < 81
    return (inside * 200 + 20 + at[..., 2]).astype(np.int16)


def turned(degrees: float, axes: tuple[int, int]) -> np.ndarray:
    """A rotation in 4x4."""
    matrix, angle = np.eye(4), np.deg2rad(degrees)
    one, other = axes
    matrix[one, one] = matrix[other, other] = np.cos(angle)
    matrix[one, other], matrix[other, one] = -np.sin(angle), np.sin(angle)
    return matrix


def geometry(kind: str) -> np.ndarray:
    """(i, j, k, 1) to RAS mm of volumes as they come."""
    spacing = np.diag([0.7, 0.8, 2.5, 1.0])
    place = np.eye(4)
    place[:3, 3] = (-20.5, 31.25, 5.125)
    if kind == "plain":
        return place @ spacing
    if kind == "as DICOM":  # columns to the left, rows to the back
        return place @ np.diag([-1.0, -1, 1, 1]) @ spacing
    if kind == "oblique":
        return place @ turned(11, (0, 1)) @ turned(-7, (1, 2)) @ np.diag([-1.0, -1, 1, 1]) @ spacing
    assert kind == "sagittal, oblique"
    order = np.array([[0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    return place @ turned(9, (0, 2)) @ order @ spacing
