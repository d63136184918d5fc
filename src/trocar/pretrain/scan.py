"""The scan: from folders of videos to a manifest.

Every file is probed once: what it is, a few frames of each of its clips, and by them whether it is left out. Then
videos that repeat another one's pictures and recordings in benchmarks' test splits are excluded as well. What was
found is noted in a journal as it comes, so that a scan that stops goes on where it was; a file that changed since, or
other settings, are looked at anew. Damaged files are listed in damaged.csv and stop nothing.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from trocar.formats.video import EXTENSIONS
from trocar.formats.video_index import open_video
from trocar.formats.whole_file import whole_file
from trocar.pretrain.clip_frames import frames_at, uniform_moments
from trocar.pretrain.corpus import Clip, Corpus, Source, Video, write_corpus
from trocar.pretrain.duplicates import Duplicates, picture_hash, without_duplicates
from trocar.pretrain.exclusion import Exclusion, excluded_by_list
from trocar.pretrain.guard import read_test_videos, recording, without_test_videos
from trocar.pretrain.taxonomy import Taxonomy, read_taxonomy
from trocar.settings import read_table

POOLS = ("unlabelled", "clinical", "core")
DESCRIPTION = "source.toml"
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scan:
    """How a corpus is scanned.

    Args:
        clip_s: length of a clip, seconds; SurgRec's 554 thousand clips have 387 frames each, about 15 s.
        min_clip_s: a shorter rest at a video's end joins the clip before.
        taxonomy: a TOML file of keywords that go before the shipped ones; empty for those alone.
        exclusion: what is left out.
        duplicates: which videos count as one.
        test_videos: TOML files that name the recordings in benchmarks' test splits, see `guard.read_test_videos`.
    """

    clip_s: float = 15.0
    min_clip_s: float = 2.0
    taxonomy: str = ""
    exclusion: Exclusion = field(default_factory=Exclusion)
    duplicates: Duplicates = field(default_factory=Duplicates)
    test_videos: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Probe:
    """What a file needs to be looked at, in a process of its own; `digest` stands for all of it."""

    settings: Scan
    taxonomy: Taxonomy
    patterns: tuple[str, ...]
    digest: str


def scan(
    roots: Sequence[Path], out: Path, settings: Scan, processes: int = 1, progress: Progress | None = None
) -> Corpus:
    """Scan folders and write the manifest.

    Args:
        roots: one folder a source; a file source.toml in it may give its name, pool, licence, split and domain.
        out: folder of the manifest.
        processes: how many look at files at once.
        progress: told how many files of how many are done.

    Raises:
        FileNotFoundError: a root is missing.
        ValueError: no videos, two sources of one name, or a description that does not fit.
    """
    if not (settings.clip_s > 0 and 0 <= settings.min_clip_s <= settings.clip_s):
        raise ValueError(
            f"a clip of {settings.clip_s} s with at least {settings.min_clip_s} s: both positive, in order"
        )
    described = [_describe(root) for root in roots]
    sources = [source for source, _ in described]
    twice = next((one.name for one in sources if sum(one.name == other.name for other in sources) > 1), None)
    if twice:
        raise ValueError(f"two sources are called {twice!r}: give one of them another name in its {DESCRIPTION}")
    files = [(source, domain, path) for source, domain in described for path in _videos(Path(source.folder))]
    if not files:
        raise ValueError(f"no videos ({', '.join(EXTENSIONS)}) in {', '.join(map(str, roots))}: check the folders")
    taxonomy = read_taxonomy(Path(settings.taxonomy) if settings.taxonomy else None)
    patterns = settings.exclusion.named()
    said = (settings.clip_s, settings.min_clip_s, settings.exclusion, patterns, taxonomy.keywords)
    probe = _Probe(settings, taxonomy, patterns, hashlib.sha256(repr(said).encode()).hexdigest())
    test = read_test_videos([Path(name) for name in settings.test_videos])
    found = _probed(files, out, probe, processes, progress)
    corpus = Corpus(
        out,
        tuple(sources),
        tuple(Video(**one["video"]) for one in found if "video" in one),
        tuple(Clip(**clip) for one in found for clip in one.get("clips", ())),
    )
    corpus = without_test_videos(without_duplicates(corpus, settings.duplicates), test)
    _write_damaged(out / "damaged.csv", [one for one in found if "error" in one])
    write_corpus(corpus)
    return corpus


def _describe(root: Path) -> tuple[Source, str]:
    """The source in a folder, and the domain that it says for all its videos."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder: give the folders that hold the videos")
    path = root / DESCRIPTION
    table = read_table(path) if path.is_file() else {}
    known = {"name": root.resolve().name, "pool": "unlabelled", "licence": "", "split": "", "domain": ""}
    for key, value in table.items():
        if key not in known or not isinstance(value, str):
            raise ValueError(f"{path}: {key} = {value!r} does not fit: texts {', '.join(known)} are known")
    said = known | table
    if said["pool"] not in POOLS:
        raise ValueError(f"{path}: pool = {said['pool']!r}: choose one of {', '.join(POOLS)}")
    if said["split"] not in ("", "train", "val", "test"):
        raise ValueError(f"{path}: split = {said['split']!r}: choose train, val or test, or leave it out")
    return Source(said["name"], str(root.resolve()), said["pool"], said["licence"], said["split"]), said["domain"]


def _videos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS and path.is_file())


def _probed(
    files: Sequence[tuple[Source, str, Path]], out: Path, probe: _Probe, processes: int, progress: Progress | None
) -> list[dict[str, Any]]:
    """What was found in each file, from the journal where it knows the file as it is."""
    out.mkdir(parents=True, exist_ok=True)
    journal = out / "scan.jsonl"
    known = dict(_journal(journal))
    marks = [_mark(source, domain, path, probe) for source, domain, path in files]
    left = [(mark, *file) for mark, file in zip(marks, files, strict=True) if mark not in known]
    with journal.open("a", encoding="utf-8") as lines:
        if journal.stat().st_size and not journal.read_bytes().endswith(b"\n"):
            lines.write("\n")  # a line that was cut off must not take the next one with it
        for number, (mark, record) in enumerate(_look(left, probe, processes), len(files) - len(left) + 1):
            known[mark] = record
            lines.write(json.dumps({"mark": mark, **record}) + "\n")
            lines.flush()
            if progress:
                progress(number, len(files))
    return [known[mark] for mark in marks]


def _journal(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The journal's records; a line that was cut off by the end of a scan is passed over."""
    if not path.is_file():
        return
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        yield record.pop("mark"), record


def _mark(source: Source, domain: str, path: Path, probe: _Probe) -> str:
    """What a file and the way of looking at it are known by: another size, time or setting is another mark."""
    state = path.stat()
    said = (asdict(source), domain, str(path), state.st_size, state.st_mtime_ns, probe.digest)
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]


def _look(
    left: Sequence[tuple[str, Source, str, Path]], probe: _Probe, processes: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    look = partial(_record, probe=probe)
    if processes == 1:
        yield from map(look, left)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(look, left)


def _record(job: tuple[str, Source, str, Path], probe: _Probe) -> tuple[str, dict[str, Any]]:
    """A file's mark, and its video and clips or what is wrong with it, as JSON takes them."""
    mark, source, domain, path = job
    try:
        video, clips = _look_at(path, source, domain, probe)
    except (ValueError, OSError) as error:
        return mark, {"error": " ".join(str(error).split()), "path": os.fspath(path)}
    return mark, {"video": asdict(video), "clips": [asdict(clip) for clip in clips]}


def _look_at(path: Path, source: Source, domain: str, probe: _Probe) -> tuple[Video, list[Clip]]:
    """A file's video and clips.

    Raises:
        ValueError: it cannot be read, or shows nothing.
    """
    inside = path.relative_to(source.folder).as_posix()
    name = f"{source.name}/{inside}"
    duration_s, fps, rows, columns = _header(path)
    found, procedure = probe.taxonomy.classify(f"{source.name} {inside}")
    domain = domain or found
    rules = probe.settings.exclusion
    excluded = excluded_by_list(name, probe.patterns) or rules.why_not_video((rows, columns), duration_s, fps)
    known = recording(source.name, inside)
    video = Video(
        name, source.name, inside, known, domain, procedure, source.licence, source.split, source.pool,
        duration_s, fps, rows, columns, excluded,
    )  # fmt: skip
    clips = []
    for start_s, stop_s in stretches(duration_s, probe.settings.clip_s, probe.settings.min_clip_s):
        clip = Clip(
            f"{name}@{start_s:.2f}", name, known, domain, procedure, source.split, source.pool, start_s, stop_s, "",
            excluded,
        )  # fmt: skip
        clips.append(clip if excluded else _judged(clip, path, probe))
    return video, clips


def _judged(clip: Clip, path: Path, probe: _Probe) -> Clip:
    """A clip with its hash and why it is left out, by some of its frames."""
    rules = probe.settings.exclusion
    try:
        frames = frames_at(path, uniform_moments(clip.start_s, clip.stop_s, rules.frames), short_side=320)
    except ValueError:
        return replace(clip, excluded="quality: cannot be decoded")
    why = excluded_by_list(clip.clip, probe.patterns) or rules.why_not_clip(frames, clip.domain)
    return replace(clip, picture_hash=picture_hash(frames[len(frames) // 2]), excluded=why)


def stretches(duration_s: float, clip_s: float, min_clip_s: float) -> list[tuple[float, float]]:
    """Where clips lie in a video: one after the other, a short rest joined to the last."""
    starts = [number * clip_s for number in range(int(duration_s // clip_s) + 1) if number * clip_s < duration_s]
    if len(starts) > 1 and duration_s - starts[-1] < min_clip_s:
        starts.pop()
    return list(zip(starts, [*starts[1:], duration_s], strict=True))


def _header(path: Path) -> tuple[float, float, int, int]:
    """Duration in seconds, frames a second, rows and columns of the first video stream.

    Raises:
        ValueError: it cannot be read, or has no length.
    """
    with open_video(path) as container:
        stream = container.streams.video[0]
        if stream.duration and stream.time_base:
            duration_s = float(stream.duration * stream.time_base)
        else:
            duration_s = (container.duration or 0) / 1_000_000  # in microseconds
        rate, context = stream.average_rate or stream.guessed_rate, stream.codec_context
        if duration_s <= 0 or not rate or not context.height:
            raise ValueError(
                f"{path} shows nothing: it has no length or no picture size; leave it out or copy it again"
            )
        return duration_s, float(rate), context.height, context.width


def _write_damaged(path: Path, found: Sequence[dict[str, Any]]) -> None:
    with whole_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("path", "error"))
        lines.writerows((one["path"], one["error"]) for one in found)
