"""Videos that show the same pictures, by a perceptual hash of one frame a clip.

The hash is that of the discrete cosine transform ("pHash"): the signs of the lowest frequencies of a small grey
picture. It changes little under another size, codec or brightness. Two hashes are near when few of their 64 bits
differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from trocar.pretrain.corpus import Clip, Corpus

PLAIN_BITS = 20
"""Hashes of pictures without content, such as a blank frame, have this many or fewer bits of either kind."""


@dataclass(frozen=True)
class Duplicates:
    """When two videos count as one.

    Args:
        bits: how many of 64 bits may differ between hashes of the same picture.
        share: of the shorter video's clips must have a counterpart in the other.
    """

    bits: int = 6
    share: float = 0.5


def picture_hash(image: NDArray[np.uint8]) -> str:
    """The hash of an RGB picture (rows, columns, 3): 16 hexadecimal digits."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    waves = cv2.dct(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA))[:8, :8].ravel()
    bits = waves > np.median(waves[1:])  # the first is the mean brightness
    return np.packbits(bits).tobytes().hex()


def bits_apart(one: str, other: str) -> int:
    """How many bits of two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def duplicate_videos(clips: Sequence[Clip], settings: Duplicates) -> dict[str, str]:
    """Video -> the earlier video (in the order of the clips) whose pictures it repeats.

    Clips of a benchmark's test split come first whatever their place, so that what repeats them is found.
    """
    hashed = [clip for clip in clips if clip.picture_hash and not _plain(clip.picture_hash)]
    hashed.sort(key=lambda clip: clip.split != "test")  # stable
    order = list(dict.fromkeys(clip.video for clip in hashed))
    place = {video: number for number, video in enumerate(order)}
    codes = np.array([int(clip.picture_hash, 16) for clip in hashed], np.uint64)
    videos = np.array([place[clip.video] for clip in hashed], np.int64)
    counts = np.bincount(videos, minlength=len(order))
    shared: dict[tuple[int, int], tuple[set[int], set[int]]] = {}
    for number in range(len(hashed)):
        near = np.flatnonzero(np.bitwise_count(codes[:number] ^ codes[number]) <= settings.bits)
        for other in near[videos[near] != videos[number]].tolist():
            originals, repeats = shared.setdefault((int(videos[other]), int(videos[number])), (set(), set()))
            originals.add(other)
            repeats.add(number)
    found: dict[str, str] = {}
    for (earlier, later), (originals, repeats) in sorted(shared.items()):
        shorter = len(repeats) / counts[later] if counts[later] <= counts[earlier] else len(originals) / counts[earlier]
        if shorter >= settings.share and order[later] not in found:
            found[order[later]] = found.get(order[earlier], order[earlier])
    return found


def without_duplicates(corpus: Corpus, settings: Duplicates) -> Corpus:
    """The corpus with repeating videos excluded, each with the video that it repeats as the reason."""
    repeats = duplicate_videos([clip for clip in corpus.clips if not clip.excluded], settings)
    reasons = {video: f"duplicate: of {original}" for video, original in repeats.items()}
    return replace(
        corpus,
        videos=tuple(
            replace(one, excluded=reasons[one.video]) if one.video in reasons and not one.excluded else one
            for one in corpus.videos
        ),
        clips=tuple(
            replace(one, excluded=reasons[one.video]) if one.video in reasons and not one.excluded else one
            for one in corpus.clips
        ),
    )


def _plain(code: str) -> bool:
    ones = int(code, 16).bit_count()
    return min(ones, 64 - ones) <= PLAIN_BITS
