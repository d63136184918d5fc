"""How the files of recognition sets lie: a few readers, each for several sets, that list clips and read no pixels."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from trocar.formats.images import natural_key


@dataclass(frozen=True)
class FoundClip:
    """A clip with its class as the files spell it."""

    video: Path
    start: int
    stop: int | None
    spelt: str
    case: str
    source: str


Files = Mapping[str, Any]
Reader = Callable[[Path, Files], Iterator[FoundClip]]


def class_folders(root: Path, files: Files) -> Iterator[FoundClip]:
    """Each file is a clip, its class and its case parts of its path; a picture is a clip of one frame."""
    for path in _matching(root, files["clips"]):
        relative = path.relative_to(root).as_posix()
        picture = path.suffix.lower() in (".jpg", ".jpeg", ".png")
        case = part_of(files["case"], relative, path)
        yield FoundClip(path, 0, 1 if picture else None, part_of(files["label"], relative, path), case, case)


def frame_labels(root: Path, files: Files) -> Iterator[FoundClip]:
    """One file a video with a line a frame (or a second): its number and its class. Equal neighbours are one clip."""
    scale, first = files.get("frames_per_row", 1), int(files.get("first", 0))
    for path in _matching(root, files["labels"]):
        case, source, video = _video_of(root, path, files)
        rows = [(int(row[0]) - first, row[1].strip()) for row in _rows(path, files, 2)]
        step = rows[1][0] - rows[0][0] if len(rows) > 1 else 1
        runs = [(spelt, list(run)) for spelt, run in groupby(rows, key=lambda row: row[1])]
        for number, (spelt, run) in enumerate(runs):
            stop = runs[number + 1][1][0][0] if number + 1 < len(runs) else run[-1][0] + step
            yield FoundClip(video, round(run[0][0] * scale), round(stop * scale), spelt, case, source)


def segments(root: Path, files: Files) -> Iterator[FoundClip]:
    """One file a video with a line a clip: first and last frame and class, in `columns`."""
    begin, end, named = files["columns"]
    for path in _matching(root, files["labels"]):
        case, source, video = _video_of(root, path, files)
        for row in _rows(path, files, max(files["columns"]) + 1):
            yield FoundClip(video, int(row[begin]), int(row[end]) + 1, row[named].strip(), case, source)


def starts(root: Path, files: Files) -> Iterator[FoundClip]:
    """One file for all videos with a line a clip: video, first frame, class; it lasts until the next one begins."""
    (path,) = _matching(root, files["labels"])
    by_video: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in _rows(path, {**files, "header": True}, 3):
        by_video[row[0].strip()].append((int(row[1]), row[2].strip()))
    for case, found in by_video.items():
        video = _located(root, path, str(files["video"]).format(case=case))
        found.sort()
        for number, (start, spelt) in enumerate(found):
            stop = found[number + 1][0] if number + 1 < len(found) else None
            if stop != start:  # two phases that begin on one frame: the first never shows
                yield FoundClip(video, start, stop, spelt, case, case)


def json_phases(root: Path, files: Files) -> Iterator[FoundClip]:
    """One JSON file a video with a list "phases" of start, end and label_name."""
    scale = files["frames_per_row"]
    for path in _matching(root, files["labels"]):
        case, source, video = _video_of(root, path, files)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))["phases"]
            spans = [(round(one["start"] * scale), round(one["end"] * scale), one["label_name"]) for one in found]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no list of phases ({error}): fetch it again") from error
        yield from (FoundClip(video, start, stop, spelt, case, source) for start, stop, spelt in spans if stop > start)


def ratings(root: Path, files: Files) -> Iterator[FoundClip]:
    """One table with a line a video and rater; the class is where the mean rating falls between `limits`."""
    (path,) = _matching(root, files["labels"])
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=files["delimiter"])
        wanted = (files["name"], files["person"], files["score"])
        if missing := [name for name in wanted if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{path} has no column {', '.join(missing)}: save the owners' table as it is")
        for row in reader:
            scores[row[files["name"]], row[files["person"]]].append(_number(path, row[files["score"]]))
    for (name, person), given in sorted(scores.items()):
        mean = sum(given) / len(given)
        spelt = files["codes"][sum(mean >= limit for limit in files["limits"])]
        yield FoundClip(_located(root, path, files["video"].format(source=name)), 0, None, spelt, person, name)


LAYOUTS: dict[str, Reader] = {
    "class_folders": class_folders,
    "frame_labels": frame_labels,
    "json_phases": json_phases,
    "ratings": ratings,
    "segments": segments,
    "starts": starts,
}


def released_rows(path: Path) -> list[tuple[str, int]]:
    """(path of a clip, number of its class) from a manifest of SurgRec's release: a line each, a space between.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not of this form.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the folder splits/ of SurgRec's release")
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        clip, space, label = line.rpartition(" ")
        if not space or not label.isdecimal():
            raise ValueError(f"{path}:{number} must be a path, a space and the number of a class, not {line!r}")
        found.append((clip.strip().strip('"').removeprefix("__DATA_ROOT__/"), int(label)))
    return found


def part_of(pattern: str, text: str, path: Path) -> str:
    """What the groups of a pattern that took part in its match hold, joined.

    Raises:
        ValueError: it does not match.
    """
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"{path} is not named as its set's files are ({pattern}): move it away")
    return "".join(group for group in match.groups() if group is not None)


def _matching(root: Path, pattern: str) -> list[Path]:
    found = sorted(
        (path for path in root.glob(pattern) if not path.name.startswith(".")), key=lambda p: natural_key(str(p))
    )
    if not found:
        raise FileNotFoundError(f"{root} has no {pattern}: put the set's files there as its owners pack them")
    return found


def _video_of(root: Path, path: Path, files: Files) -> tuple[str, str, Path]:
    """Case, recording and video that a file of labels belongs to."""
    relative = path.relative_to(root).as_posix()
    case = part_of(files["case"], relative, path)
    source = part_of(files["source"], relative, path) if "source" in files else case
    folder = path.parent.relative_to(root).as_posix()
    video = _located(root, path, files["video"].format(case=case, source=source, folder=folder))
    return case, source, video


def _located(root: Path, labels: Path, relative: str) -> Path:
    """A file under `root` that may be named by a pattern and go up one folder."""
    relative = re.sub(r"[^/]+/\.\./", "", relative)
    found = next(iter(sorted(root.glob(relative))), None) if "*" in relative else root / relative
    if found is None or not found.is_file():
        raise FileNotFoundError(f"{root / relative} is missing, which {labels} tells about: fetch it")
    return found


def _rows(path: Path, files: Files, least: int) -> Iterable[list[str]]:
    """The cells of each line; an empty delimiter means any white space."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()[int(files.get("header", False)) :]
    delimiter = files["delimiter"]
    rows = [line.split() for line in lines] if not delimiter else list(csv.reader(lines, delimiter=delimiter))
    rows = [row for row in rows if row]
    short = next((number for number, row in enumerate(rows) if len(row) < least), None)
    if short is not None or not rows:
        what = "is empty" if not rows else f"has the line {rows[short or 0]}, which is too short"
        raise ValueError(f"{path} {what}: fetch it again")
    return rows


def _number(path: Path, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise ValueError(f"{path}: the rating {text!r} is no number: save the owners' table as it is") from error
