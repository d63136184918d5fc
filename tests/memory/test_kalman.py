"""The filter and the boxes against sums worked out by hand."""

import numpy as np
import pytest
import torch

from trocar.memory.boxes import box_area, box_iou, box_iou_with_piece, enlarged, enlarged_box, tight_box
from trocar.memory.kalman import box_of, initiate, predict, update

SQUARE = (10.0, 20.0, 30.0, 60.0)  # centre (20, 40), aspect 0.5, height 40


def test_a_new_object_is_at_rest() -> None:
    mean, covariance = initiate(SQUARE)
    assert mean.tolist() == [20, 40, 0.5, 40, 0, 0, 0, 0]
    # Height 40: position 2 * 40 / 20 = 4, velocity 10 * 40 / 160 = 2.5; aspect 0.01 and 0.00001.
    expected = [4, 4, 0.01, 4, 2.5, 2.5, 1e-5, 2.5]
    assert covariance.diag().sqrt().tolist() == pytest.approx(expected)
    assert torch.equal(covariance, covariance.diag().diag())
    assert box_of(mean) == SQUARE


def test_prediction_moves_by_the_velocity_and_grows_less_sure() -> None:
    mean, covariance = initiate(SQUARE)
    mean[4:] = torch.tensor([2.0, -3.0, 0.0, 4.0])
    moved, spread = predict(mean, covariance)
    assert moved.tolist() == [22, 37, 0.5, 44, 2, -3, 0, 4]
    # var(x) = 4^2 + 2.5^2 + (40 / 20)^2 = 26.25; cov(x, vx) = 2.5^2; var(vx) = 2.5^2 + (40 / 160)^2 = 6.3125.
    assert spread[0, 0].item() == pytest.approx(26.25)
    assert spread[0, 4].item() == pytest.approx(6.25)
    assert spread[4, 4].item() == pytest.approx(6.3125)


def test_several_steps_are_single_steps_in_turn() -> None:
    mean, covariance = initiate(SQUARE)
    mean[7] = 2.0  # growing, so that the noise differs from step to step
    state = (mean, covariance)
    for _ in range(5):
        state = predict(*state)
    assert all(torch.equal(a, b) for a, b in zip(state, predict(mean, covariance, 5), strict=True))


def test_an_update_weighs_the_measurement_by_certainty() -> None:
    mean, covariance = initiate(SQUARE)
    updated, spread = update(mean, covariance, (15.0, 20.0, 35.0, 60.0))  # 5 to the right
    # Prior variance 4^2 = 16, of the measurement (40 / 20)^2 = 4: gain 16 / 20, so x = 20 + 0.8 * 5 = 24.
    assert updated[0].item() == pytest.approx(24)
    assert spread[0, 0].item() == pytest.approx(16 * 0.2)
    assert updated[1:4].tolist() == pytest.approx([40, 0.5, 40])
    # Position and velocity are not yet linked.
    assert updated[4].item() == 0


def test_a_steady_motion_is_learned() -> None:
    state = initiate((0.0, 0.0, 20.0, 20.0))
    for step in range(1, 60):
        state = update(*predict(*state), (3.0 * step, 0.0, 20.0 + 3 * step, 20.0))
    assert state[0][4].item() == pytest.approx(3, abs=0.05)
    assert box_of(predict(*state)[0]) == pytest.approx((180, 0, 200, 20), abs=0.5)


def test_the_covariance_stays_symmetric_and_positive() -> None:
    rng = np.random.default_rng(0)
    state = initiate(SQUARE)
    for _ in range(500):
        x, y, width, height = rng.uniform(1, 60, 4)
        state = predict(*state)
        if rng.random() < 0.7:
            state = update(*state, (x, y, x + width, y + height))
        assert torch.allclose(state[1], state[1].T)
        assert torch.linalg.eigvalsh(state[1]).min() > 0


def test_a_box_without_height_has_its_width_as_aspect() -> None:
    assert initiate((0.0, 0.0, 0.0, 0.0))[0][:4].tolist() == [0, 0, 0, 1]
    assert initiate((2.0, 5.0, 6.0, 5.0))[0][:4].tolist() == [4, 5, 4, 1]


def test_boxes_of_masks_end_after_the_last_pixel() -> None:
    mask = torch.zeros(6, 8, dtype=torch.bool)
    assert tight_box(mask) is None
    mask[2:5, 3:4] = True
    mask[4, 6] = True
    assert tight_box(mask) == (3, 2, 7, 5)


def test_iou_of_boxes() -> None:
    assert box_iou((0, 0, 4, 4), (2, 0, 6, 4)) == pytest.approx(8 / 24)
    assert box_iou((0, 0, 4, 4), (4, 0, 8, 4)) == 0
    assert box_iou((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert box_iou((0, 0, 0, 0), (0, 0, 0, 0)) == 0
    assert box_area((4, 4, 0, 0)) == 0


def test_enlarging_keeps_an_edge_half_way_between_pixels() -> None:
    # Logits of -8 and 8 cross 0 half way between two pixel centres, on the pixels' common edge.
    logits = torch.full((16, 16), -8.0, requires_grad=True).detach().clone()
    logits[4:10, 5:9] = 8.0
    assert tight_box(enlarged(logits, (64, 64)) > 0) == (20, 16, 36, 40)
    assert not enlarged(logits.requires_grad_(), (64, 64)).requires_grad


def test_the_enlarged_box_is_that_of_the_whole_mask_enlarged() -> None:
    draw = torch.Generator().manual_seed(0)
    for count in (0, 1, 1, 1, 3, 10, 200):
        for _ in range(20):
            logits = -8 * torch.rand(24, 24, generator=draw)
            places = torch.randint(0, 24 * 24, (count,), generator=draw)
            logits.view(-1)[places] = 8 * torch.rand(count, generator=draw)
            assert enlarged_box(logits, 4) == tight_box(enlarged(logits, (96, 96)) > 0)


def test_only_the_largest_piece_outside_counts() -> None:
    mask = np.zeros((12, 12), np.bool_)
    mask[0:4, 0:4] = True
    assert box_iou_with_piece(mask, mask) == 1
    assert box_iou_with_piece(mask, np.zeros_like(mask)) == 1
    other = mask.copy()
    other[0:2, 4:6] = True  # 4 pixels: the box becomes 6 x 4
    other[11, 10:12] = True  # 2 pixels far away
    assert box_iou_with_piece(mask, other) == pytest.approx(16 / 24)


def test_pieces_hang_together_by_corners() -> None:
    mask = np.zeros((12, 12), np.bool_)
    mask[0:4, 0:4] = True
    other = np.zeros_like(mask)
    other[[4, 5, 6], [4, 5, 6]] = True  # a diagonal of 3 pixels, one piece of the eight neighbours
    other[11, 0:2] = True  # 2 pixels
    assert box_iou_with_piece(mask, other) == pytest.approx(16 / 49)
