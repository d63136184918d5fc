"""How far two surfaces, or contours in a picture, lie apart: Hausdorff distances, mean distances and surface Dice.

Three libraries are in use, and they measure three things. MedPy and MONAI take the voxels that touch the outside (the
image's border is outside too) and count each once. DeepMind's surface-distance lays a surface through the corners of
voxels and weighs each piece by its area. Masks are (rows, columns) or (slices, rows, columns), and the spacing is in
the order of their axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from trocar.metrics.cells import contour_lengths, surface_areas
from trocar.metrics.score import Mask, Score, Status, check_pair, status_of

Method = Literal["medpy", "monai", "deepmind"]
Distances = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SurfaceDistances:
    """Distances in mm from each element of one surface to the nearest element of the other, sorted.

    Args:
        pred_to_gt, gt_to_pred: one an element; infinite where the other mask is empty.
        areas_pred, areas_gt: what each element weighs: its area in mm^2 (length in mm in a picture), or 1 a voxel.
        status: whether a mask was empty.
    """

    pred_to_gt: Distances
    gt_to_pred: Distances
    areas_pred: Distances
    areas_gt: Distances
    status: Status


def hd95(pred: Mask, gt: Mask, spacing_mm: tuple[float, ...], method: Method = "medpy") -> Score:
    """95th percentile of the Hausdorff distance in mm, as a library computes it; see `hausdorff`."""
    return hausdorff(pred, gt, spacing_mm, 95, method)


def hausdorff(
    pred: Mask,
    gt: Mask,
    spacing_mm: tuple[float, ...],
    percentile: float = 100,
    method: Method = "medpy",
    connectivity: int = 1,
) -> Score:
    """A percentile of the distances between two surfaces, in mm.

    "medpy" takes one percentile of both directions together; "monai" and "deepmind" take the larger of one
    percentile a direction, by voxels and by area. With an empty mask the value is what the library returns: infinite in
    "deepmind", and in "monai" at 100 if one mask is empty; else NaN. MedPy itself raises.

    Args:
        pred: bool mask in two or three dimensions.
        gt: bool mask of the same shape.
        spacing_mm: size of a voxel along each axis of the arrays.
        percentile: 0 to 100.
        method: the library to follow.
        connectivity: how far voxels touch, as in `surface_distances`.

    Raises:
        ValueError: the masks differ in shape or are not bool, or the spacing does not fit them.
    """
    found = surface_distances(pred, gt, spacing_mm, "areas" if method == "deepmind" else "voxels", connectivity)
    if found.status != "ok":
        one_at_most = method == "monai" and percentile == 100 and found.status != "both_empty"
        return Score(math.inf if method == "deepmind" or one_at_most else math.nan, found.status)
    if method == "medpy":
        both = np.concatenate([found.pred_to_gt, found.gt_to_pred])
        return Score(float(np.percentile(both, percentile)), "ok")
    if method == "monai":
        return Score(float(max(np.percentile(one, percentile) for one in (found.pred_to_gt, found.gt_to_pred))), "ok")
    forward = _area_percentile(found.pred_to_gt, found.areas_pred, percentile)
    return Score(max(forward, _area_percentile(found.gt_to_pred, found.areas_gt, percentile)), "ok")


def assd(pred: Mask, gt: Mask, spacing_mm: tuple[float, ...]) -> Score:
    """Average symmetric surface distance in mm: the mean over the voxels of both surfaces, as in MedPy and MONAI.

    NaN if a mask is empty. Arguments and errors as for `hausdorff`.
    """
    found = surface_distances(pred, gt, spacing_mm, "voxels")
    if found.status != "ok":
        return Score(math.nan, found.status)
    return Score(float(np.concatenate([found.pred_to_gt, found.gt_to_pred]).mean()), "ok")


def nsd(
    pred: Mask,
    gt: Mask,
    spacing_mm: tuple[float, ...],
    tolerance_mm: float,
    method: Literal["deepmind", "monai"] = "deepmind",
) -> Score:
    """Normalised surface Dice, in 0..1: the part of both surfaces that is near the other (Nikolov et al. 2018).

    0 if one mask is empty, NaN if both are.

    Args:
        pred: bool mask in two or three dimensions.
        gt: bool mask of the same shape.
        spacing_mm: size of a voxel along each axis of the arrays.
        tolerance_mm: how far is near; the tolerance itself is near.
        method: weighed by area (DeepMind, and MONAI with subvoxels), or by voxels (MONAI's default).

    Raises:
        ValueError: the masks differ in shape or are not bool, or the spacing does not fit them.
    """
    found = surface_distances(pred, gt, spacing_mm, "areas" if method == "deepmind" else "voxels")
    if found.status != "ok":
        return Score(math.nan if found.status == "both_empty" else 0.0, found.status)
    near = (
        found.areas_pred[found.pred_to_gt <= tolerance_mm].sum()
        + found.areas_gt[found.gt_to_pred <= tolerance_mm].sum()
    )
    return Score(float(near / (found.areas_pred.sum() + found.areas_gt.sum())), "ok")


def surface_distances(
    pred: Mask,
    gt: Mask,
    spacing_mm: tuple[float, ...],
    elements: Literal["voxels", "areas"] = "areas",
    connectivity: int = 1,
) -> SurfaceDistances:
    """The distances that all measures here are made of.

    Args:
        pred: bool mask in two or three dimensions.
        gt: bool mask of the same shape.
        spacing_mm: size of a voxel along each axis of the arrays.
        elements: voxels on the surface, each of weight 1, or pieces of surface with their areas.
        connectivity: of voxels: a voxel is on the surface if one outside lies beside it along at most this many axes.

    Raises:
        ValueError: the masks differ in shape or are not bool, or the spacing does not fit them.
    """
    check_pair(pred, gt)
    spacing = tuple(float(step) for step in spacing_mm)
    if len(spacing) != gt.ndim or gt.ndim not in (2, 3) or not all(0 < step < math.inf for step in spacing):
        raise ValueError(
            f"the spacing {spacing_mm} does not fit masks of shape {gt.shape}: give 2 or 3 positive lengths in mm, "
            "one an axis"
        )
    box = _box(pred | gt)
    if box is None:
        nothing = np.zeros(0)
        return SurfaceDistances(nothing, nothing, nothing, nothing, "both_empty")
    pred, gt = np.pad(pred[box], 1), np.pad(gt[box], 1)
    status = status_of(pred.any(), gt.any())
    if elements == "areas":
        table = contour_lengths(spacing) if gt.ndim == 2 else surface_areas(spacing)
        of_pred, of_gt = (_pieces(mask, table) for mask in (pred, gt))
    else:
        of_pred, of_gt = (_shell(mask, connectivity) for mask in (pred, gt))
    pred_to_gt, areas_pred = _to_nearest(of_pred, of_gt, spacing)
    gt_to_pred, areas_gt = _to_nearest(of_gt, of_pred, spacing)
    return SurfaceDistances(pred_to_gt, gt_to_pred, areas_pred, areas_gt, status)


class _Surface(NamedTuple):
    """The elements of a surface: a map of them, where they are (N, axes), and what each weighs (N,)."""

    shown: Mask
    places: NDArray[np.intp]
    weights: Distances


def _box(mask: Mask) -> tuple[slice, ...] | None:
    """The box around a mask; None if it is empty."""
    box: list[slice] = []
    for axis in range(mask.ndim):
        where = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        if not len(where):
            return None
        box.append(slice(int(where[0]), int(where[-1]) + 1))
        mask = mask[(slice(None),) * axis + (box[-1],)]
    return tuple(box)


def _shell(mask: Mask, connectivity: int) -> _Surface:
    """Voxels of a mask that touch one outside. The mask ends before the array does."""
    whole = (slice(1, -1),) * mask.ndim
    inner = mask[whole].copy()
    for step in product((-1, 0, 1), repeat=mask.ndim):
        if 0 < sum(map(abs, step)) <= connectivity:
            inner &= mask[tuple(slice(1 + by, length - 1 + by) for by, length in zip(step, mask.shape, strict=True))]
    shell = mask[whole] & ~inner
    places = np.argwhere(shell)
    return _Surface(shell, places, np.ones(len(places)))


def _pieces(mask: Mask, table: Distances) -> _Surface:
    """The cells between voxels that the surface goes through, with its area in each by the table of codes."""
    corners = list(product((0, 1), repeat=mask.ndim))
    codes = np.zeros([length - 1 for length in mask.shape], np.uint8)
    bits = mask.view(np.uint8)
    for place, corner in enumerate(corners):
        part = bits[tuple(slice(at, at + length) for at, length in zip(corner, codes.shape, strict=True))]
        codes |= part << np.uint8(len(corners) - 1 - place)
    mixed = (codes > 0) & (codes < len(table) - 1)
    return _Surface(mixed, np.argwhere(mixed), table[codes[mixed]])


def _to_nearest(surface: _Surface, other: _Surface, spacing: tuple[float, ...]) -> tuple[Distances, Distances]:
    """Distances from the elements of one surface to the nearest of another, sorted, and the elements' weights."""
    if not len(other.places):
        return np.full(len(surface.places), math.inf), surface.weights
    distances = np.zeros(len(surface.places))
    apart = np.flatnonzero(~other.shown[surface.shown])  # good predictions share much of their surface
    if len(apart):
        here = surface.places[apart]
        # The number of elements grows with the surface only, so a tree of them is faster than a map of the volume.
        nearest = cKDTree(other.places * spacing, balanced_tree=False).query(here * spacing)[1]
        # The tree sees rounded coordinates. Whole steps give exactly the number that a distance transform gives, and
        # tolerances are met or missed by such last bits.
        distances[apart] = np.sqrt((((other.places[nearest] - here) * spacing) ** 2).sum(axis=1))
    order = np.lexsort((surface.weights, distances))
    return distances[order], surface.weights[order]


def _area_percentile(distances: Distances, areas: Distances, percentile: float) -> float:
    """The distance below which this part of the area lies: a step, nothing between two elements."""
    place = int(np.searchsorted(np.cumsum(areas) / areas.sum(), percentile / 100))
    return float(distances[min(place, len(distances) - 1)])
