"""What of a data set is there, missing or damaged: every file that its cases need is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from trocar.datasets.case import Case
from trocar.datasets.dataset import Dataset
from trocar.frames import geometry_of


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a data set on disk, in a sentence that names the file and the remedy."""

    split: str
    case: str
    problem: str


@dataclass
class CheckReport:
    """What was found.

    Args:
        cases: split -> number of cases that are there.
        published: split -> number of cases that the owners publish, where they say.
        frames: split -> number of frames that could be read.
        findings: all problems, in the order of the cases.
    """

    cases: dict[str, int] = field(default_factory=dict)
    published: dict[str, int | None] = field(default_factory=dict)
    frames: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not self.findings


def check_dataset(
    dataset: Dataset, root: Path, pixels: bool = True, report: Callable[[str], object] = lambda message: None
) -> CheckReport:
    """Look through all splits of a set.

    Args:
        dataset: which.
        root: its own folder.
        pixels: decode every frame and truth; else only list the cases.
        report: told what is being looked at.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    found = CheckReport()
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is not a folder: put {dataset.title} there ({dataset.obtain})")
    for name, wanted in dataset.checksums.items():
        if (root / name).is_file() and (problem := _wrong_sum(root / name, wanted)):
            found.findings.append(Finding("", name, problem))
    for name, split in dataset.splits.items():
        try:
            cases = dataset.read(root, name)
        except (ValueError, OSError) as error:
            found.cases[name], found.frames[name], found.published[name] = 0, 0, split.cases
            found.findings.append(Finding(name, "", one_line(error)))
            continue
        found.cases[name], found.published[name], found.frames[name] = len(cases), split.cases, 0
        for missing in sorted(set(split.names) - {case.name for case in cases}):
            found.findings.append(Finding(name, missing, f"the case {missing} is missing: fetch it again"))
        if not split.names and split.cases is not None and len(cases) < split.cases:
            problem = f"{len(cases)} cases are there and {split.cases} are published: fetch the others"
            found.findings.append(Finding(name, "", problem))
        for case in cases if pixels else ():
            report(f"{name}: {case.name}")
            readable, problems = _read_through(case)
            found.frames[name] += readable
            found.findings += [Finding(name, case.name, problem) for problem in problems]
    return found


def _read_through(case: Case) -> tuple[int, list[str]]:
    """How many frames could be read, and what is wrong with the others."""
    try:
        source = case.open()
    except (ValueError, OSError) as error:
        return 0, [one_line(error)]
    readable, problems = 0, []
    if len(source) != case.frames:
        problems.append(f"{source.name} has {len(source)} frames and {case.frames} are expected: fetch it again")
    annotated = set(case.annotated_frames)
    for frame in range(min(case.frames, len(source))):
        try:
            image = source[frame].image
            truth = case.truth(frame) if frame in annotated else None
        except (ValueError, OSError) as error:
            problems.append(one_line(error))
            continue
        readable += 1
        for number, mask in (truth.masks if truth else {}).items():
            if number not in case.objects:
                problems.append(f"frame {frame} of {case.name} has the object {number}, which no class belongs to")
            if mask.shape != image.shape[:2] or mask.shape != geometry_of(source, frame).size:
                problems.append(f"frame {frame} of {case.name} is {image.shape[:2]} and its truth {mask.shape}")
    return readable, problems


def one_line(error: Exception) -> str:
    """What an error says, in one line."""
    return " ".join(str(error).split())


def _wrong_sum(path: Path, wanted: str) -> str | None:
    kind, _, digest = wanted.partition(":")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, kind).hexdigest()
    return None if found == digest else f"{path} has the {kind} {found}, published is {digest}: fetch it again"
