"""The MRML scene as arrays and points, and back. Only ever called from the window's thread."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import slicer
import vtk
from numpy.typing import NDArray

from TrocarLib.volume_file import Voxels

SENT = "trocar: sent"
TAKEN_BACK = "trocar: taken back"


def voxels_of(volume: Any) -> Voxels:
    """A copy of a volume node's voxels, with its geometry.

    Raises:
        ValueError: it has none, or has colours.
    """
    if volume is None or volume.GetImageData() is None:
        raise ValueError("there is no volume: choose one that is loaded")
    values = slicer.util.arrayFromVolume(volume)
    if values.ndim != 3:
        raise ValueError(f"{volume.GetName()} has colours or vectors: choose a volume of single values")
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return Voxels(volume.GetName(), values.copy(), np.array(slicer.util.arrayFromVTKMatrix(matrix), float))


def world_to_volume(volume: Any) -> NDArray[np.float64]:
    """4x4, the scene's mm to the mm of a volume, which may stand under a linear transform.

    Raises:
        ValueError: the transform is not linear.
    """
    matrix = vtk.vtkMatrix4x4()
    transform = volume.GetParentTransformNode()
    if transform is None:
        return np.eye(4)
    if not slicer.vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(None, transform, matrix):
        raise ValueError(f"{volume.GetName()} stands under a transform that is not linear: harden it first")
    return np.array(slicer.util.arrayFromVTKMatrix(matrix), float)


def new_points(markups: Any) -> list[tuple[int, NDArray[np.float64]]]:
    """(number, scene mm) of the points of a list that were not sent yet; places that are still being chosen are not
    among them."""
    if markups is None:
        return []
    found = []
    for number in range(markups.GetNumberOfControlPoints()):
        is_placed = markups.GetNthControlPointPositionStatus(number) == slicer.vtkMRMLMarkupsNode.PositionDefined
        if is_placed and not markups.GetNthControlPointDescription(number).startswith("trocar:"):
            found.append((number, np.array(markups.GetNthControlPointPositionWorld(number))))
    return found


def note_point(markups: Any, number: int, note: str) -> None:
    """Write into the scene what became of a point; the list of points shows it."""
    markups.SetNthControlPointDescription(number, note)
    markups.SetNthControlPointLocked(number, note == SENT)
    markups.SetNthControlPointVisibility(number, note == SENT)


def roi_corners(roi: Any) -> NDArray[np.float64]:
    """(8, 3): the corners of a box node in scene mm."""
    to_world = np.array(slicer.util.arrayFromVTKMatrix(roi.GetObjectToWorldMatrix()), float)
    half = np.array(roi.GetSize(), float) / 2
    corners = np.array([[*(np.array(signs) * half), 1.0] for signs in product((-1, 1), repeat=3)])
    return (to_world @ corners.T)[:3].T


def moved(matrix: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) points by a 4x4 matrix."""
    points = np.atleast_2d(points)
    return (matrix @ np.column_stack([points, np.ones(len(points))]).T)[:3].T


def segment_voxels(segmentation: Any, segment: str, volume: Any) -> NDArray[np.uint8]:
    """A copy of a segment as a (k, j, i) array of 0 and 1 on a volume's voxels."""
    return np.array(slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume), np.uint8)


def set_segment_voxels(segmentation: Any, segment: str, volume: Any, values: NDArray[np.uint8]) -> None:
    """Make a segment what an array says."""
    slicer.util.updateSegmentBinaryLabelmapFromArray(values, segmentation, segment, volume)


def add_segment(segmentation: Any, name: str, colour: str) -> str:
    """A new empty segment; gives its id."""
    rgb = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return str(segmentation.GetSegmentation().AddEmptySegment("", name, rgb))


def segment_ids(segmentation: Any) -> list[str]:
    """The ids of all segments in their order."""
    return list(segmentation.GetSegmentation().GetSegmentIDs())


def name_and_colour(segmentation: Any, segment: str) -> tuple[str, str]:
    """A segment's name, and its colour as #rrggbb."""
    one = segmentation.GetSegmentation().GetSegment(segment)
    return one.GetName(), "#" + "".join(f"{round(part * 255):02x}" for part in one.GetColor())


def tag(segmentation: Any, segment: str, key: str) -> str:
    """What a segment's tag says; "" where it has none. Tags are saved with the scene."""
    said = vtk.reference("")
    there = segmentation.GetSegmentation().GetSegment(segment).GetTag(key, said)
    return str(said) if there else ""


def set_tag(segmentation: Any, segment: str, key: str, value: str) -> None:
    """Write a segment's tag."""
    segmentation.GetSegmentation().GetSegment(segment).SetTag(key, value)
