"""Where masks lie: boxes (x0, y0, x1, y1) with x to the right and y down, far edges exclusive."""

from __future__ import annotations

import cv2
import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

Box = tuple[float, float, float, float]
MARGIN = 2  # pixels around a mask's box that are enlarged with it


def enlarged(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """(s, s) mask logits at (rows, columns), bilinearly, as SAM 2 enlarges them; no gradients."""
    return F.interpolate(logits.detach()[None, None].float(), size=size, mode="bilinear", align_corners=False)[0, 0]


def tight_box(mask: Tensor) -> tuple[int, int, int, int] | None:
    """The smallest box around the pixels of an (H, W) boolean mask; None where it is empty."""
    rows, columns = (mask.any(dim=axis).nonzero().flatten().tolist() for axis in (1, 0))
    return (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) if rows else None


def enlarged_box(logits: Tensor, factor: int) -> tuple[int, int, int, int] | None:
    """The tight box of an (s, s) mask that is enlarged by a whole factor, in pixels of the enlarged one."""
    small = tight_box(logits > 0)
    if small is None:
        return None
    # Enlarging moves edges by less than a pixel and looks no further than the next one: the rest need not be made.
    left, top = max(0, small[0] - MARGIN), max(0, small[1] - MARGIN)
    part = logits[top : small[3] + MARGIN, left : small[2] + MARGIN]
    box = tight_box(enlarged(part, (part.shape[0] * factor, part.shape[1] * factor)) > 0)
    if box is None:
        return None
    across, down = left * factor, top * factor
    return box[0] + across, box[1] + down, box[2] + across, box[3] + down


def box_area(box: Box) -> float:
    """Area of a box; 0 where its edges are the wrong way round."""
    x0, y0, x1, y1 = box
    return max(0.0, x1 - x0) * max(0.0, y1 - y0)


def box_iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1; 0 where both are empty."""
    shared = box_area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    union = box_area(a) + box_area(b) - shared
    return shared / union if union > 0 else 0.0


def box_iou_with_piece(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """How much of its box a mask keeps when another mask's largest piece joins it.

    Args:
        mask: (H, W), not empty.
        other: (H, W); of its pixels outside `mask` the largest 8-connected piece counts.

    Returns:
        IoU of the box of `mask` and the box of `mask` with that piece; 1 where there is no piece.
    """
    _, _, pieces, _ = cv2.connectedComponentsWithStats((other & ~mask).astype(np.uint8), connectivity=8)
    if len(pieces) < 2:  # the background alone
        return 1.0
    x, y, width, height, _ = max(pieces[1:].tolist(), key=lambda piece: piece[cv2.CC_STAT_AREA])
    rows, columns = np.flatnonzero(mask.any(axis=1)).tolist(), np.flatnonzero(mask.any(axis=0)).tolist()
    own = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    joint = (min(own[0], x), min(own[1], y), max(own[2], x + width), max(own[3], y + height))
    return box_iou(own, joint)
