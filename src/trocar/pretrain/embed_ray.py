"""Embedding on a Ray cluster: machines without a GPU decode, actors with one embed; the shards are those of `embed`.

Ray Data streams shards from the readers to the embedders and holds the readers back when these are busy. What survives
a driver that dies is the shard files, as without Ray.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from trocar.pretrain.corpus import Corpus
from trocar.pretrain.embed import (
    Embedding,
    Shard,
    ShardFrames,
    embed_frames,
    is_done,
    open_embedder,
    read_shard,
    shards_of,
    write_shard,
)

Progress = Callable[[int, int], None]


def embed_on_ray(corpus: Corpus, settings: Embedding, embedders: int = 1, progress: Progress | None = None) -> int:
    """Write the shards that are not there yet; a Ray that runs already (RAY_ADDRESS) is used, else one is started.

    Args:
        embedders: actors that hold the encoder, each with a GPU where the cluster has some.

    Returns:
        How many shards were written.

    Raises:
        ValueError: Ray is not installed, or a shard there is of other weights.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ValueError("embedding on Ray needs it: pip install 'trocar[ray]'") from error
    shards = shards_of(corpus, settings, open_embedder(replace(settings, device="cpu")).digest())
    left = [shard for shard in shards if not is_done(shard)]
    if not left:
        return 0
    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False)
    try:
        before = len(shards) - len(left)
        return _stream(ray, left, settings, embedders, lambda done: _tell(progress, before + done, len(shards)))
    finally:
        if started:
            ray.shutdown()


def _tell(progress: Progress | None, done: int, count: int) -> None:
    if progress:
        progress(done, count)


def _stream(ray: Any, left: list[Shard], settings: Embedding, embedders: int, tell: Callable[[int], None]) -> int:
    """Readers, then embedders, then one short row a shard that is written."""
    resources: dict[str, float] = ray.cluster_resources()
    gpus = 1 if resources.get("GPU", 0) else 0
    side = open_embedder(replace(settings, device="cpu")).side

    def read(row: dict[str, Any]) -> dict[str, Any]:
        shown = read_shard(left[int(row["item"])], settings.frames, side, settings.readers)
        return {"item": row["item"], "images": shown.images, "errors": "\n".join(shown.errors)}

    written = (
        ray.data.from_items(list(range(len(left))), override_num_blocks=len(left))
        .map(read)
        .map(_Embedder, fn_constructor_args=(left, settings), concurrency=embedders, num_gpus=gpus)
    )
    count = 0
    for count, _ in enumerate(written.iter_rows(), 1):
        tell(count)
    return count


class _Embedder:
    """An actor: it opens the encoder once, then embeds and writes one shard after the other."""

    def __init__(self, left: list[Shard], settings: Embedding) -> None:
        self._left, self._settings = left, settings
        self._embedder = open_embedder(settings)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        shard = self._left[int(row["item"])]
        errors = tuple(str(row["errors"]).split("\n"))
        frames = ShardFrames(np.asarray(row["images"], np.uint8), errors)
        write_shard(shard, embed_frames(frames, self._embedder, self._settings.batch), errors)
        return {"item": row["item"]}
