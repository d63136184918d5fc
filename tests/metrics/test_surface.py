"""Surface measures by hand, and what must hold for any pair of masks."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from trocar.metrics import assd, hausdorff, hd95, nsd
from trocar.metrics.cells import contour_lengths, surface_areas
from trocar.metrics.surface import surface_distances

METHODS = ["medpy", "monai", "deepmind"]
SPACINGS = st.tuples(*[st.sampled_from([0.5, 0.7, 1.0, 2.5])] * 3)
SOLIDS = arrays(np.bool_, (3, 4, 5)).filter(np.any)


def voxel(*place, shape=(6, 7, 8)):
    mask = np.zeros(shape, np.bool_)
    mask[place] = True
    return mask


@pytest.mark.parametrize("method", METHODS)
def test_two_voxels_lie_as_far_apart_as_their_spacing_says(method):
    # 2 slices of 5 mm and 3 columns of 0.5 mm apart
    expected = math.hypot(2 * 5, 3 * 0.5)
    a, b = voxel(1, 1, 1), voxel(3, 1, 4)
    assert hausdorff(a, b, (5, 1, 0.5), method=method).value == pytest.approx(expected)
    assert hausdorff(a[1:4, 1], b[1:4, 1], (5, 0.5), method=method).value == pytest.approx(math.hypot(2 * 5, 3 * 0.5))


def test_percentiles_by_hand():
    # Two bars of 20 pixels: 19 of them shared, then one of the prediction 10 pixels away.
    gt = np.zeros((1, 40), np.bool_)
    gt[0, :20] = True
    pred = gt.copy()
    pred[0, 19], pred[0, 29] = False, True
    # Distances: prediction 19 x 0 and 10; truth 19 x 0 and 1.
    assert hausdorff(pred, gt, (1, 1)).value == 10
    assert hd95(pred, gt, (1, 1), "medpy").value == pytest.approx(0.05)  # of 40 in all, the place 37.05
    assert hd95(pred, gt, (1, 1), "monai").value == pytest.approx(0.5)  # of 20, the place 18.05: 5 % of the way to 10
    assert assd(pred, gt, (1, 1)).value == pytest.approx(11 / 40)
    assert nsd(pred, gt, (1, 1), 1, "monai").value == pytest.approx(39 / 40)


def test_a_tolerance_is_met_at_its_very_value():
    a, b = voxel(2, 2, 2), voxel(2, 2, 5)
    assert nsd(a, b, (1, 1, 0.7), 3 * 0.7, "monai").value == 1
    assert nsd(a, b, (1, 1, 0.7), 2.09, "monai").value == 0


def test_areas_of_plain_solids():
    # A block's faces count in full where the surface is flat; its 12 edges and 8 corners are cut.
    block = np.zeros((12, 14, 16), np.bool_)
    block[1:11, 2:12, 3:13] = True
    assert surface_distances(block, block, (1.0, 1.0, 1.0)).areas_gt.sum() == pytest.approx(
        6 * 81 + 12 * 9 * math.sqrt(0.5) + 8 * math.sqrt(3) / 8
    )
    flat = surface_areas((3.0, 0.5, 2.0))[0b11110000]  # upper slice inside: the area of a voxel's face
    assert flat == pytest.approx(0.5 * 2)
    assert contour_lengths((3.0, 0.5))[0b1100] == 0.5


def test_a_cell_and_its_negative_and_its_turns_have_the_same_area():
    areas = surface_areas((1.0, 1.0, 1.0))
    corners = np.arange(256)[:, None] >> np.arange(7, -1, -1) & 1
    cells = corners.reshape(-1, 2, 2, 2)
    weights = 1 << np.arange(7, -1, -1)
    assert areas == pytest.approx(areas[(1 - corners) @ weights])
    for axes in ((1, 2), (1, 3), (2, 3)):
        assert areas == pytest.approx(areas[np.rot90(cells, axes=axes).reshape(256, 8) @ weights])
    stretched = surface_areas((1.0, 2.0, 3.0))
    assert stretched == pytest.approx(
        surface_areas((3.0, 2.0, 1.0))[cells.transpose(0, 3, 2, 1).reshape(256, 8) @ weights]
    )


@pytest.mark.parametrize("method", METHODS)
def test_empty_masks(method):
    full, empty = voxel(1, 1, 1), np.zeros((6, 7, 8), np.bool_)
    for pair, status in (((full, empty), "gt_empty"), ((empty, full), "pred_empty"), ((empty, empty), "both_empty")):
        score = hd95(*pair, (1, 1, 1), method)
        assert score.status == status
        assert math.isinf(score.value) if method == "deepmind" else math.isnan(score.value)
        assert assd(*pair, (1, 1, 1)).status == status
        near = nsd(*pair, (1, 1, 1), 2)
        assert near.status == status
        assert math.isnan(near.value) if status == "both_empty" else near.value == 0


@given(SOLIDS, SOLIDS, SPACINGS)
def test_what_holds_for_any_pair(pred, gt, spacing):
    for method in METHODS:
        score = hd95(pred, gt, spacing, method)
        assert score.value == pytest.approx(hd95(gt, pred, spacing, method).value)
        assert score.value <= hausdorff(pred, gt, spacing, method=method).value
        assert hausdorff(gt, gt, spacing, method=method).value == 0
        doubled = tuple(2 * step for step in spacing)
        assert hd95(pred, gt, doubled, method).value == pytest.approx(2 * score.value)
    shares = [nsd(pred, gt, spacing, tolerance).value for tolerance in (0, 0.5, 1, 2, 100)]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1)


@given(SOLIDS, SOLIDS, SPACINGS)
def test_distances_are_those_of_a_distance_transform(pred, gt, spacing):
    padded = [np.pad(mask, 1) for mask in (pred, gt)]
    shells = [mask & ~ndimage.binary_erosion(mask) for mask in padded]
    far = ndimage.distance_transform_edt(~shells[1], sampling=spacing)[shells[0]]
    found = surface_distances(pred, gt, spacing, "voxels").pred_to_gt
    assert found == pytest.approx(np.sort(far), abs=1e-14)


def test_spacings_that_do_not_fit_are_refused():
    mask = voxel(1, 1, 1)
    for spacing in ((1, 1), (1, 1, 0), (1, 1, math.inf)):
        with pytest.raises(ValueError, match="does not fit masks of shape"):
            hd95(mask, mask, spacing)
    with pytest.raises(ValueError, match="bool"):
        nsd(mask.astype(np.uint8), mask, (1, 1, 1), 2)
