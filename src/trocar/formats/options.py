"""What can be asked for when a source is opened; each format says which of it applies to it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from trocar.formats.intensity import WindowChoice


@dataclass(frozen=True)
class OpenOptions:
    """The options of `open_source`.

    Args:
        window: how values become grey levels (see `trocar.formats.intensity.Preparation`).
        plane: "axial", "coronal" or "sagittal", for volumes.
        series: which DICOM series: its number, its UID or the UID's beginning.
        key: which data set of an HDF5 file.
        uneven: "refuse", or "keep" to take DICOM slices that are missing, doubled or unevenly spaced as they are,
            without a geometry.

    Raises:
        ValueError: `uneven` is neither.
    """

    window: WindowChoice = "auto"
    plane: str = "axial"
    series: str | int | None = None
    key: str | None = None
    uneven: str = "refuse"

    def __post_init__(self) -> None:
        if self.uneven not in ("refuse", "keep"):
            raise ValueError(f"uneven must be 'refuse' or 'keep', not {self.uneven!r}")

    def check_only(self, takes: tuple[str, ...], path: Path, about: str) -> None:
        """Refuse options that were given but mean nothing for a format.

        Raises:
            ValueError: one was; it is named.
        """
        for option in fields(self):
            if option.name not in takes and getattr(self, option.name) != option.default:
                offered = f"it takes {', '.join(takes)}" if takes else "it takes no options"
                raise ValueError(f"{option.name} does not apply to {path} ({about}): leave it out; {offered}")


DEFAULTS = OpenOptions()
