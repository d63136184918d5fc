"""Made-up pictures with truth, for tiny sets in the layout of a published one."""

from __future__ import annotations

from pathlib import Path

import av
import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def made_up(
    frames: int, ids: tuple[int, ...], size: tuple[int, int] = (48, 64), seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Boxes of their own colours that move over a mottled ground.

    Args:
        frames: how many.
        ids: an object each; every one shows on every frame.
        size: rows and columns, pixels.
        seed: of colours and places.

    Returns:
        (T, rows, columns, 3) RGB and (T, rows, columns) ids, 0 for the ground.
    """
    rng = np.random.default_rng([17, seed])
    rows, columns = size
    images = rng.integers(60, 120, (frames, rows, columns, 3), dtype=np.uint8)
    labels = np.zeros((frames, rows, columns), np.uint8)
    band, side = columns // max(len(ids), 1), max(3, min(columns // (2 * max(len(ids), 1)), rows // 3))
    for place, one in enumerate(ids):
        colour = rng.integers(0, 256, 3)
        for frame in range(frames):
            top, left = 2 + (frame * 2 + place * 3) % (rows - side - 3), place * band + 1 + frame % 2
            labels[frame, top : top + side, left : left + side] = one
            images[frame, top : top + side, left : left + side] = colour
    return images, labels


def save(path: Path, pixels: NDArray[np.generic]) -> None:
    """Write a picture, making its folder; (rows, columns) or (rows, columns, 3) uint8, or grey values up to 65535."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)


def coloured(labels: NDArray[np.uint8], colours: dict[int, tuple[int, int, int]]) -> NDArray[np.uint8]:
    """(rows, columns) ids as an RGB picture; 0 is black unless `colours` says otherwise."""
    out = np.zeros((*labels.shape, 3), np.uint8)
    for one, colour in colours.items():
        out[labels == one] = colour
    return out


def save_volume(path: Path, voxels: NDArray[np.generic]) -> None:
    """Write (slices, rows, columns) as axial slices from feet to head, 1 mm apart: .nii.gz, .nrrd or .npy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, voxels)
    elif path.name.endswith(".nii.gz"):
        nib.save(nib.Nifti1Image(voxels.transpose(2, 1, 0), np.diag([-1.0, -1.0, 1.0, 1.0])), path)
    else:
        import SimpleITK as sitk

        sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))


def save_made_up(image: Path, labels: Path, ids: tuple[int, ...], seed: int = 0) -> None:
    """Write a made-up volume of three slices and its labels; see `made_up` and `save_volume`."""
    images, truth = made_up(3, ids, (20, 28), seed)
    save_volume(image, images[..., 0].astype(np.int16) * 8 - 1000)
    save_volume(labels, truth)


def save_video(path: Path, images: NDArray[np.uint8], rate_hz: int) -> None:
    """Write (T, rows, columns, 3) RGB frames as a video file; its codec (MPEG-4) keeps them roughly."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate_hz)
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
