"""The corpus' manifest: its sources, videos and clips, and why some of them are left out.

Three Parquet files in one folder. What is excluded stays listed, with its reason, so that a person can look at it and
the next scan does not bring it back.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trocar.pretrain.row_files import notes_of, read_rows, read_table, write_rows

SCAN_FIRST = "run `trocar curate scan ROOTS --out DIR` first"


@dataclass(frozen=True)
class Source:
    """Where videos come from.

    Args:
        name: what its videos' ids begin with.
        folder: where it was scanned.
        pool: what its clips are drawn as: "unlabelled", "clinical" or "core".
        licence: of its videos, as its owner states it; empty where nobody said.
        split: of a benchmark: "train", "val" or "test"; empty for what belongs to none.
    """

    name: str
    folder: str
    pool: str
    licence: str
    split: str


@dataclass(frozen=True)
class Video:
    """One video file.

    Args:
        video: its id, SOURCE/PATH.
        source: name of its source.
        path: of the file, from the source's folder.
        source_video: id of the recording that it shows, equal for all data sets that share the recording.
        domain, procedure: by the taxonomy; "unknown" where no keyword fits.
        licence, split, pool: of its source.
        duration_s, fps, rows, columns: as it shows them.
        excluded: why it is left out; empty when it is not.
    """

    video: str
    source: str
    path: str
    source_video: str
    domain: str
    procedure: str
    licence: str
    split: str
    pool: str
    duration_s: float
    fps: float
    rows: int
    columns: int
    excluded: str


@dataclass(frozen=True)
class Clip:
    """A stretch of a video.

    Args:
        clip: its id, VIDEO@START with the start in seconds.
        video, source_video, domain, procedure, split, pool: of its video.
        start_s, stop_s: where it lies.
        picture_hash: perceptual hash of its middle frame, 16 hexadecimal digits; empty where that was not read.
        excluded: why it is left out; empty when it is not.
    """

    clip: str
    video: str
    source_video: str
    domain: str
    procedure: str
    split: str
    pool: str
    start_s: float
    stop_s: float
    picture_hash: str
    excluded: str


@dataclass(frozen=True, eq=False)
class Corpus:
    """A manifest.

    Args:
        folder: where its files lie.
    """

    folder: Path
    sources: tuple[Source, ...]
    videos: tuple[Video, ...]
    clips: tuple[Clip, ...]

    def usable(self) -> list[Clip]:
        """The clips that are not excluded, in the order of the manifest."""
        return [clip for clip in self.clips if not clip.excluded]

    def file_of(self, clip: Clip) -> Path:
        """The file to read a clip from: the transcoded one where there is one."""
        video, source = self._videos[clip.video], self._sources[self._videos[clip.video].source]
        small = transcoded(self.folder, video)
        return small if small.is_file() else Path(source.folder) / video.path

    def __post_init__(self) -> None:
        object.__setattr__(self, "_videos", {video.video: video for video in self.videos})
        object.__setattr__(self, "_sources", {source.name: source for source in self.sources})

    _videos: dict[str, Video] = dataclasses.field(init=False, repr=False)
    _sources: dict[str, Source] = dataclasses.field(init=False, repr=False)


def transcoded(folder: Path, video: Video) -> Path:
    """Where the small copy of a video belongs."""
    return folder / "videos" / f"{video.video}.mp4"


def fingerprint(clips: Sequence[Clip]) -> str:
    """A digest of which clips these are and where they lie, in their order; later stages compare it."""
    digest = hashlib.sha256()
    for clip in clips:
        digest.update(f"{clip.clip}\t{clip.start_s:.3f}\t{clip.stop_s:.3f}\n".encode())
    return digest.hexdigest()[:16]


def write_corpus(corpus: Corpus) -> None:
    """Write the three files; the clips last, so that a folder with clips has everything."""
    write_rows(corpus.folder / "sources.parquet", Source, corpus.sources)
    write_rows(corpus.folder / "videos.parquet", Video, corpus.videos)
    write_rows(corpus.folder / "clips.parquet", Clip, corpus.clips, {"corpus": fingerprint(corpus.usable())})


def read_corpus(folder: Path) -> Corpus:
    """A manifest.

    Raises:
        FileNotFoundError: one of its files is missing.
        ValueError: one is damaged, or they do not belong together.
    """
    table = read_table(folder / "clips.parquet", SCAN_FIRST)
    corpus = Corpus(
        folder,
        tuple(read_rows(folder / "sources.parquet", Source, SCAN_FIRST)),
        tuple(read_rows(folder / "videos.parquet", Video, SCAN_FIRST)),
        tuple(read_rows(folder / "clips.parquet", Clip, SCAN_FIRST)),
    )
    known = {video.video for video in corpus.videos}
    stray = next((clip.clip for clip in corpus.clips if clip.video not in known), None)
    if stray or notes_of(table).get("corpus") != fingerprint(corpus.usable()):
        raise ValueError(f"{folder}: clips.parquet and videos.parquet are of different scans: {SCAN_FIRST}")
    return corpus
