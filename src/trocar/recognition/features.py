"""Tokens of a task's clips from a frozen encoder, kept in memory-mapped files that a stopped run goes on filling."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from trocar.model.video_encoder import VideoEncoder
from trocar.recognition.recognizer import weights_digest
from trocar.recognition.tasks import Task
from trocar.recognition.views import as_clips, frame_indices

Tokens = NDArray[np.float16]
Report = Callable[[str, int, int], object]


class FeatureCache:
    """Tokens by encoder, task and part.

    The name of a file is a hash of the encoder's weights, the clips and the way frames are taken, so that anything else
    gets another file. Beside it lies which clips are done; a clip counts when its tokens are on disk.

    Args:
        folder: of the files.
        encoder: frozen, on the device that it runs on.
        stride: frames from one that is looked at to the next; 0 for frames spread over the clip.
        views: of each clip.
        mean: keep the mean token alone, which is all that a linear head needs.
    """

    def __init__(self, folder: Path, encoder: VideoEncoder, stride: int, views: int, mean: bool) -> None:
        self._folder, self._encoder = folder, encoder
        self._stride, self._views, self._mean = stride, views, mean
        self._digest = weights_digest(encoder)

    def tokens(self, task: Task, part: str, batch: int = 16, report: Report = lambda *said: None) -> Tokens:
        """(clips, views, N, D), computed where they are missing; the array is a read-only map of the file."""
        path, done = self._files(task, part)
        count = len(task.labels[part])
        missing = np.flatnonzero(~np.asarray(done))
        if len(missing):
            kept = open_memmap(path, mode="r+")
            for begin in range(0, len(missing), batch):
                chosen = missing[begin : begin + batch]
                report(f"{task.name} {part}", count - len(missing) + begin, count)
                kept[chosen] = self._encode(task, part, chosen)
                kept.flush()
                done[chosen] = True
                done.flush()
            report(f"{task.name} {part}", count, count)
        found: Tokens = np.load(path, mmap_mode="r")
        return found

    def _choose(self, length: int) -> NDArray[np.intp]:
        return frame_indices(length, self._encoder.config.frames, self._stride, self._views)

    def _files(self, task: Task, part: str) -> tuple[Path, np.memmap[tuple[int], np.dtype[np.bool_]]]:
        """The file of tokens and the map of what is done; both are made where they are missing."""
        said = f"{self._digest} {task.fingerprint(part, self._choose)} {self._stride} {self._views} {self._mean}"
        name = hashlib.sha256(said.encode()).hexdigest()[:24]
        path, beside = self._folder / f"{name}.npy", self._folder / f"{name}.done.npy"
        config, count = self._encoder.config, len(task.labels[part])
        if not (path.is_file() and beside.is_file()):
            self._folder.mkdir(parents=True, exist_ok=True)
            shape = (count, self._views, 1 if self._mean else config.tokens, config.width)
            beside.unlink(missing_ok=True)
            open_memmap(path, mode="w+", dtype=np.float16, shape=shape).flush()
            part_file = beside.with_name(f".part-{beside.name}")
            np.save(part_file, np.zeros(count, np.bool_))
            part_file.replace(beside)  # last: without it the tokens do not count
        return path, open_memmap(beside, mode="r+")

    @torch.inference_mode()
    def _encode(self, task: Task, part: str, chosen: NDArray[np.intp]) -> Tokens:
        pixels = np.stack([task.pixels(part, int(index), self._choose) for index in chosen])
        device = next(self._encoder.parameters()).device
        tokens = self._encoder(as_clips(pixels.reshape(-1, *pixels.shape[2:]), device))
        tokens = tokens.mean(1, keepdim=True) if self._mean else tokens
        found: Tokens = tokens.half().cpu().numpy().reshape(*pixels.shape[:2], *tokens.shape[1:])
        return found
