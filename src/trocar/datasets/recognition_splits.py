"""Which case of a recognition set belongs to training, validation and test.

Three tiers, as SurgRec has them (section 4.1): the owners' split, one that most papers use, or 7:2:1 by case. Which it
is stands in the table of sets. A file `splits.csv` in a set's folder, with columns case and part, goes before all.
"""

from __future__ import annotations

import csv
import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from trocar.datasets.listing import in_order
from trocar.datasets.recognition_clip import Parts, RecognitionClip
from trocar.formats.whole_file import whole_file

PARTS = ("train", "validation", "test")
VERSION = "1"
"""Of the rules here; a change that moves a case makes it another."""

VALIDATION_SHARE, TEST_SHARE = 0.2, 0.1
OF_TRAINING = 1 / 8
"""What becomes validation where the owners publish training and test cases only."""

OWN_SPLIT = "splits.csv"


def assign_cases(name: str, labels: Mapping[str, set[int]], patterns: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Each case's part.

    Args:
        name: of the set; decides, with `VERSION`, what is drawn.
        labels: case -> classes of its clips. Where every case has one class alone, each class is divided for itself.
        patterns: part -> patterns of case ids; empty for 7:2:1.

    Raises:
        ValueError: a case that fits no pattern or two parts, or too few cases to divide.
    """
    draw = random.Random(f"{name}/{VERSION}")
    if not any(patterns.values()):
        return _divided(name, labels, draw)
    found: dict[str, str] = {}
    for case in labels:
        fitting = [part for part, listed in patterns.items() if any(fits(case, one) for one in listed)]
        if len(fitting) != 1:
            said = " and ".join(fitting) if fitting else "no part"
            raise ValueError(
                f"{name}: case {case} belongs to {said} of the split: move it away, or list it in {OWN_SPLIT}"
            )
        found[case] = fitting[0]
    if not patterns.get("validation"):
        training = in_order(case for case, part in found.items() if part == "train")
        draw.shuffle(training)
        found |= dict.fromkeys(training[: max(1, round(len(training) * OF_TRAINING))], "validation")
    return found


def fits(case: str, pattern: str) -> bool:
    """Whether a case id is one that a pattern means: "v1..v40" is a range of numbers, else `*` stands for anything."""
    first, dots, last = pattern.partition("..")
    if not dots:
        return fnmatchcase(case, pattern)
    numbers = [re.fullmatch(r"(\D*?)(\d+)", text) for text in (first, case, last)]
    if not all(numbers):
        return False
    (before, low), (own, number), (_, high) = [match.groups() for match in numbers if match]
    return before == own and int(low) <= int(number) <= int(high)


def read_own_split(path: Path) -> dict[str, str]:
    """Case -> part from a CSV file with these two columns.

    Raises:
        ValueError: a column is missing, a part unknown, or a case listed twice.
    """
    found: dict[str, str] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if not {"case", "part"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path} has no columns case and part: begin it with the line case,part")
        for row in reader:
            if row["part"] not in PARTS:
                raise ValueError(
                    f"{path}: part {row['part']!r} of case {row['case']} must be one of {', '.join(PARTS)}"
                )
            if found.setdefault(row["case"], row["part"]) != row["part"]:
                raise ValueError(f"{path}: case {row['case']} is in two parts: keep one of its lines")
    return found


def write_manifest(path: Path, name: str, parts: Parts, root: Path) -> None:
    """Write a split as CSV: one line a clip, with the set and the version of the rules, paths relative to `root`."""
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["set", "version", "part", "case", "source_video", "video", "start", "stop", "label"])
        for part, clips in parts.items():
            for clip in clips:
                stop = "" if clip.stop is None else clip.stop
                video = clip.video.relative_to(root).as_posix()
                writer.writerow(
                    [name, VERSION, part, clip.case, clip.source_video, video, clip.start, stop, clip.label]
                )


def write_test_videos(path: Path, name: str, parts: Parts, root: Path) -> None:
    """Write the files of the test part as TOML, as the guard of `trocar curate` and `trocar pretrain` takes it."""
    videos = in_order(clip.video.relative_to(root).with_suffix("").as_posix() for clip in parts["test"])
    lines = "".join(f"  {json.dumps(video)},\n" for video in videos)
    with whole_file(path) as temporary:
        temporary.write_text(f"{json.dumps(name)} = [\n{lines}]\n", encoding="utf-8")


def group_labels(clips: Iterable[RecognitionClip]) -> dict[str, set[int]]:
    """Case -> the classes of its clips, cases in natural order."""
    found: dict[str, set[int]] = defaultdict(set)
    for clip in clips:
        found[clip.case].add(clip.label)
    return {case: found[case] for case in in_order(found)}


def _divided(name: str, labels: Mapping[str, set[int]], draw: random.Random) -> dict[str, str]:
    """7:2:1 for training, validation and test."""
    if len(labels) < 3:
        raise ValueError(f"{name} has {len(labels)} cases and a split needs 3: add more, or list them in {OWN_SPLIT}")
    single = all(len(classes) == 1 for classes in labels.values())
    groups: dict[int, list[str]] = defaultdict(list)
    for case, classes in labels.items():
        groups[min(classes) if single else 0].append(case)
    found: dict[str, str] = {}
    for group in groups.values():
        draw.shuffle(group)
        least = int(len(group) >= 3)
        test = max(least, round(len(group) * TEST_SHARE))
        validation = max(least, round(len(group) * VALIDATION_SHARE))
        found |= dict.fromkeys(group[:test], "test") | dict.fromkeys(group[test : test + validation], "validation")
        found |= dict.fromkeys(group[test + validation :], "train")
    return found
