"""DICOM files and the series they belong to, from their headers alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from pydicom.errors import InvalidDicomError

JUNK = {"dicomdir", "thumbs.db", "desktop.ini"}
"""What lies about in folders from a CD or a shared drive."""

NO_PICTURES = {"SEG", "RTDOSE", "RTSTRUCT", "RTPLAN", "SR", "PR", "KO", "REG", "ANN", "FID", "DOC"}
"""Modalities of objects that are about pictures."""


@dataclass(frozen=True)
class Series:
    """The files of one series.

    Args:
        uid: SeriesInstanceUID.
        number: SeriesNumber; None where there is none.
        description: SeriesDescription.
        modality: CT, MR, US, ES ...
        files: (path, header) of each file.
    """

    uid: str
    number: int | None
    description: str
    modality: str
    files: list[tuple[Path, Any]] = field(default_factory=list)

    @property
    def images(self) -> int:
        """How many pictures it holds, the frames of multi-frame files counted one by one."""
        return sum(int(header.get("NumberOfFrames") or 1) for _, header in self.files if "Rows" in header)

    @property
    def size(self) -> tuple[int, int]:
        """(rows, columns) of its first picture, (0, 0) if it holds none."""
        sizes = [(int(header.Rows), int(header.Columns)) for _, header in self.files if "Rows" in header]
        return sizes[0] if sizes else (0, 0)

    @property
    def is_pictures(self) -> bool:
        """Whether it is pictures, rather than segmentations, reports or plans."""
        return self.images > 0 and self.modality not in NO_PICTURES

    def __str__(self) -> str:
        rows, columns = self.size
        number = "without a number" if self.number is None else str(self.number)
        return f"{number}: {self.modality} {self.description!r}, {self.images} images {columns}x{rows}, UID {self.uid}"


def _candidates(folder: Path) -> list[Path]:
    """The files of a folder and below that are not hidden or well-known junk, in order of their names."""
    found = (path for path in folder.rglob("*") if path.name.lower() not in JUNK)
    visible = (p for p in found if not any(part.startswith((".", "__")) for part in p.relative_to(folder).parts))
    return sorted(path for path in visible if path.is_file())


def list_series(path: str | Path) -> list[Series]:
    """All series of a folder, or the one of a file, ordered by number; only headers are read.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a file among them is not DICOM; it is named.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    found: dict[str, Series] = {}
    for file in _candidates(path) if path.is_dir() else [path]:
        header = _header(file)
        uid = str(header.get("SeriesInstanceUID", ""))
        if uid not in found:
            number = header.get("SeriesNumber")
            description = str(header.get("SeriesDescription", ""))
            modality = str(header.get("Modality", ""))
            found[uid] = Series(uid, None if number is None else int(number), description, modality)
        found[uid].files.append((file, header))
    return sorted(found.values(), key=lambda one: (one.number is None, one.number or 0, one.uid))


def choose_series(path: Path, wanted: str | int | None) -> Series:
    """The series asked for, or the only one that is pictures.

    Args:
        path: a folder or a file.
        wanted: its number, its UID or the UID's beginning; None where there is no choice.

    Raises:
        FileNotFoundError, ValueError: none, or several; they are listed.
    """
    found = list_series(path)
    pictures = [one for one in found if one.is_pictures]
    listed = "; ".join(str(one) for one in found)
    if not pictures:
        kinds = ", ".join(sorted({one.modality or "unknown" for one in found})) or "nothing"
        raise ValueError(f"{path} holds no DICOM pictures, but {kinds}: name the folder of the pictures")
    if wanted is None:
        if len(pictures) > 1:
            raise ValueError(
                f"{path} holds {len(pictures)} series: say which with series= and its number, or its UID or the "
                f"beginning of that: {listed}"
            )
        return pictures[0]
    text = str(wanted)
    matches = [one for one in found if str(one.number) == text or one.uid == text]
    matches = matches or [one for one in found if one.uid.startswith(text)]
    if len(matches) != 1:
        how = f"{len(matches)} series are" if matches else "no series is"
        raise ValueError(f"{how} called {text!r} in {path}: it holds {listed}")
    if not matches[0].is_pictures:
        raise ValueError(f"series {text!r} of {path} is {matches[0].modality}, not pictures: choose from {listed}")
    return matches[0]


def _header(path: Path) -> Any:
    remedy = "take it out of the folder, or copy it again if it should be DICOM"
    try:
        # Old files lack the preamble and are told by their name only.
        header = pydicom.dcmread(path, stop_before_pixels=True, force=path.suffix.lower() in (".dcm", ".ima"))
    except (InvalidDicomError, OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a DICOM file: {remedy}") from error
    if "SOPClassUID" not in header:
        raise ValueError(f"{path} is not a DICOM picture, or is damaged: {remedy}")
    return header
