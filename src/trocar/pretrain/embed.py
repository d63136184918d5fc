"""Embeddings of clips, in shards that any number of processes write without knowing of one another.

The clips are cut into shards of a fixed size. A shard is read (decoding, on CPUs), embedded (on a GPU), and written as
a whole Parquet file; what exists is passed over. So a process that was killed costs its one unfinished shard, and the
same command again does what is left. Processes are told apart by torchrun's or Slurm's environment; `embed_ray` runs
the same two functions on a Ray cluster.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from trocar.formats.whole_file import sweep
from trocar.load import best_device, load
from trocar.model.clip_embedder import ClipEmbedder, Pooling
from trocar.model.registry import MODELS
from trocar.model.video_encoder import open_video_encoder, read_video_encoder_config
from trocar.pretrain.clip_frames import frames_at, uniform_moments
from trocar.pretrain.corpus import Clip, Corpus, fingerprint
from trocar.pretrain.row_files import notes_of, pyarrow, read_table, write_table

FOLDER = "embeddings"
EMBED_FIRST = "run `trocar curate embed DIR` (again) until all shards are there"


@dataclass(frozen=True)
class Embedding:
    """How clips are embedded.

    Args:
        encoder: a name of `trocar models`, a file of a video encoder, or a folder of transformers (such as DINOv3's).
        pooling: "class" (class tokens where there are some) or "mean" (of patches).
        frames: of a clip, spread evenly over it.
        pools: which clips; what is drawn without balance need not be embedded.
        shard: clips in a file.
        batch: clips at once.
        readers: threads that decode.
        device: "cpu", "cuda" or empty for the best.
    """

    encoder: str = "nano"
    pooling: Pooling = "class"
    frames: int = 8
    pools: tuple[str, ...] = ("unlabelled",)
    shard: int = 128
    batch: int = 8
    readers: int = 2
    device: str = ""


@dataclass(frozen=True, eq=False)
class Shard:
    """One shard's work: everything that reading and embedding it needs.

    Args:
        number, count: of it and of all.
        files: of its clips, in their order.
        notes: what its file says of itself: the corpus, the weights, the frames.
    """

    number: int
    count: int
    clips: tuple[Clip, ...]
    files: tuple[str, ...]
    out: str
    notes: Mapping[str, str]

    @property
    def path(self) -> Path:
        return Path(self.out) / f"shard-{self.number:05d}-of-{self.count:05d}.parquet"


@dataclass(frozen=True, eq=False)
class ShardFrames:
    """What was read of a shard.

    Args:
        images: (clips, T, S, S, 3) uint8; black where a clip could not be read.
        errors: of each clip; empty where it could.
    """

    images: NDArray[np.uint8]
    errors: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """All embeddings of a corpus.

    Args:
        clips: their ids.
        vectors: (clips, D) float32 of length 1.
        notes: what the shards say of themselves.
    """

    clips: tuple[str, ...]
    vectors: NDArray[np.float32]
    notes: Mapping[str, str]


def place_among_processes(environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(rank, world) by torchrun, by a Slurm array or by Slurm's tasks; (0, 1) alone.

    Raises:
        ValueError: the environment contradicts itself.
    """
    for rank, world, first in (
        ("RANK", "WORLD_SIZE", ""),
        ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN"),
        ("SLURM_PROCID", "SLURM_NTASKS", ""),
    ):
        if rank in environment and world in environment:
            place = int(environment[rank]) - int(environment.get(first, "0"))
            if not 0 <= place < int(environment[world]):
                raise ValueError(f"{rank}={environment[rank]} is no place among {world}={environment[world]}: set both")
            return place, int(environment[world])
    return 0, 1


def open_embedder(settings: Embedding) -> ClipEmbedder:
    """The encoder, on its device.

    Raises:
        FileNotFoundError, ValueError: there is no such encoder; or clips have another number of frames than it takes.
    """
    path = Path(settings.encoder)
    if settings.encoder in MODELS or (path.is_file() and not _is_video_encoder(path)):
        embedder = ClipEmbedder(load(settings.encoder, "cpu"), settings.pooling)
    elif path.exists():
        encoder = open_video_encoder(path)
        single = encoder.config.family == "frames"
        embedder = ClipEmbedder(open_video_encoder(path, frames=1) if single else encoder, settings.pooling)
    else:
        raise FileNotFoundError(
            f"embedding.encoder: {settings.encoder!r} is neither a model ({', '.join(MODELS)}), a file nor a folder: "
            "give the folder of an image encoder, as transformers saves it"
        )
    if embedder.frames not in (None, settings.frames):
        raise ValueError(f"{settings.encoder} takes clips of {embedder.frames} frames: set embedding.frames")
    torch.backends.cuda.matmul.allow_tf32 = False
    return embedder.to(settings.device or best_device())


def _is_video_encoder(path: Path) -> bool:
    try:
        read_video_encoder_config(path)
    except ValueError:
        return False
    return True


def shards_of(corpus: Corpus, settings: Embedding, digest: str) -> list[Shard]:
    """The shards of a corpus for an encoder with this digest.

    Raises:
        ValueError: there are no clips to embed.
    """
    clips = [clip for clip in corpus.usable() if clip.pool in settings.pools]
    if not clips:
        raise ValueError(f"{corpus.folder} has no usable clips of {', '.join(settings.pools)}: look at its exclusions")
    notes = {
        "corpus": fingerprint(clips),
        "weights": digest,
        "encoder": Path(settings.encoder).name,
        "frames": str(settings.frames),
        "pools": ",".join(settings.pools),
        "shard": str(settings.shard),
    }
    parts = [tuple(clips[start : start + settings.shard]) for start in range(0, len(clips), settings.shard)]
    out = str(corpus.folder / FOLDER)
    return [
        Shard(number, len(parts), part, tuple(str(corpus.file_of(clip)) for clip in part), out, notes)
        for number, part in enumerate(parts)
    ]


def is_done(shard: Shard) -> bool:
    """Whether the shard's file is there.

    Raises:
        ValueError: it is there, but of other weights, another corpus or other settings.
    """
    if not shard.path.is_file():
        strange = next((p for p in Path(shard.out).glob("shard-*") if not p.name.endswith(shard.path.name[-14:])), None)
        if strange:
            raise ValueError(f"{strange} is of another number of shards: delete {shard.out}, then embed again")
        return False
    found = notes_of(read_table(shard.path, EMBED_FIRST))
    for key, wanted in shard.notes.items():
        if found.get(key) != wanted:
            said = f"{key} {found.get(key)!r}, not {wanted!r}"
            raise ValueError(f"{shard.path} was made with {said}: delete {shard.out}, then embed again")
    return True


def read_shard(shard: Shard, frames: int, side: int, readers: int = 1) -> ShardFrames:
    """Decode a shard's clips; one that cannot be read is noted, not fatal."""
    images = np.zeros((len(shard.clips), frames, side, side, 3), np.uint8)

    def read(number: int) -> str:
        clip = shard.clips[number]
        try:
            shown = frames_at(Path(shard.files[number]), uniform_moments(clip.start_s, clip.stop_s, frames), side)
        except (ValueError, OSError) as error:
            return " ".join(str(error).split())
        for place, image in enumerate(shown):
            images[number, place] = _square(image, side)
        return ""

    with ThreadPoolExecutor(readers) as pool:
        errors = tuple(pool.map(read, range(len(shard.clips))))
    return ShardFrames(images, errors)


def _square(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The middle square of a frame, side x side."""
    rows, columns = image.shape[:2]
    short = min(rows, columns)
    top, left = (rows - short) // 2, (columns - short) // 2
    middle = image[top : top + short, left : left + short]
    how = cv2.INTER_AREA if short > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(middle, (side, side), interpolation=how), np.uint8)


def embed_frames(read: ShardFrames, embedder: ClipEmbedder, batch: int) -> NDArray[np.float32]:
    """(clips, D) vectors of length 1; zero where a clip could not be read."""
    device = next(embedder.encoder.parameters()).device
    parts = []
    for start in range(0, len(read.images), batch):
        clips = torch.from_numpy(read.images[start : start + batch]).to(device)
        parts.append(embedder(clips.permute(0, 1, 4, 2, 3).float() / 255).cpu().numpy())
    vectors = np.concatenate(parts)
    vectors[[bool(error) for error in read.errors]] = 0
    return vectors


def write_shard(shard: Shard, vectors: NDArray[np.float32], errors: Sequence[str]) -> None:
    """Write a shard's file, whole; what a killed process left of it goes."""
    sweep(shard.path.parent, shard.path.name)
    pa = pyarrow()
    flat = pa.array(np.ascontiguousarray(vectors, np.float32).ravel())
    table = pa.table(
        {
            "clip": pa.array([clip.clip for clip in shard.clips]),
            "vector": pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
            "error": pa.array(list(errors)),
        }
    )
    write_table(shard.path, table, shard.notes)


def embed(
    corpus: Corpus, settings: Embedding, place: tuple[int, int], progress: Callable[[int, int], None] | None = None
) -> int:
    """Write this process' shards that are not there yet.

    Args:
        place: (rank, world): every world-th shard from the rank on.
        progress: told how many of this process' shards are done.

    Returns:
        How many shards it wrote.
    """
    embedder = open_embedder(settings)
    mine = shards_of(corpus, settings, embedder.digest())[place[0] :: place[1]]
    left = [shard for shard in mine if not is_done(shard)]
    for done, (shard, read) in enumerate(_read_ahead(left, settings, embedder.side), len(mine) - len(left) + 1):
        write_shard(shard, embed_frames(read, embedder, settings.batch), read.errors)
        if progress:
            progress(done, len(mine))
    return len(left)


def _read_ahead(left: Sequence[Shard], settings: Embedding, side: int) -> Iterator[tuple[Shard, ShardFrames]]:
    """Each shard with its frames; the next is read while one is embedded."""
    read = partial(read_shard, frames=settings.frames, side=side, readers=settings.readers)
    with ThreadPoolExecutor(1) as ahead:
        waiting: Any = ahead.submit(read, left[0]) if left else None
        for shard, following in zip_longest(left, left[1:]):
            frames: ShardFrames = waiting.result()
            waiting = ahead.submit(read, following) if following else None
            yield shard, frames


def read_embeddings(corpus: Corpus) -> Embeddings:
    """All embeddings; clips that could not be read are left out.

    Raises:
        FileNotFoundError: shards are missing.
        ValueError: they are of several weights or corpora, or not of this corpus.
    """
    folder = corpus.folder / FOLDER
    paths = sorted(folder.glob("shard-*-of-*.parquet"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no embeddings: {EMBED_FIRST}")
    count = int(paths[0].stem.split("-")[-1])
    if len(paths) != count or len({path.stem.split("-")[-1] for path in paths}) > 1:
        raise FileNotFoundError(f"{folder} has {len(paths)} shards of {count}: {EMBED_FIRST}")
    tables = [read_table(path, EMBED_FIRST) for path in paths]
    notes = notes_of(tables[0])
    other = next((path for path, table in zip(paths, tables, strict=True) if notes_of(table) != notes), None)
    if other:
        raise ValueError(
            f"{other} and {paths[0].name} are of different weights or corpora: delete {folder}, embed again"
        )
    wanted = [clip for clip in corpus.usable() if clip.pool in notes["pools"].split(",")]
    if notes["corpus"] != fingerprint(wanted):
        raise ValueError(
            f"{folder} was made from another manifest than {corpus.folder} has now: delete it, embed again"
        )
    table = pyarrow().concat_tables(tables)
    vectors = np.asarray(table.column("vector").combine_chunks().flatten(), np.float32).reshape(table.num_rows, -1)
    good = np.array([not error for error in table.column("error").to_pylist()], bool)
    clips = [clip for clip, fine in zip(table.column("clip").to_pylist(), good, strict=True) if fine]
    if not clips:
        raise ValueError(f"{folder}: no clip could be read: are the videos still where they were scanned?")
    return Embeddings(tuple(clips), vectors[good], notes)
