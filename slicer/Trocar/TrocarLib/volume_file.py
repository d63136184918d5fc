"""A volume as a NRRD file, with NumPy alone: the server reads it as any other, and geometry loses nothing."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TYPES = {
    "int8": "int8",
    "uint8": "uint8",
    "int16": "int16",
    "uint16": "uint16",
    "int32": "int32",
    "uint32": "uint32",
    "float32": "float",
    "float64": "double",
}


@dataclass(frozen=True, eq=False)
class Voxels:
    """What is sent of a volume.

    Args:
        name: for people.
        values: (k, j, i).
        ijk_to_ras: 4x4, (i, j, k, 1) to RAS mm.
    """

    name: str
    values: NDArray[np.generic]
    ijk_to_ras: NDArray[np.float64]

    def file_name(self, *options: str) -> str:
        """A name that stays the same as long as values, geometry and options do."""
        digest = hashlib.sha256(np.ascontiguousarray(self.values).tobytes())
        digest.update(self.ijk_to_ras.tobytes() + repr((self.values.shape, self.values.dtype, options)).encode())
        plain = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in self.name)
        return f"{plain.strip('-')[:60] or 'volume'}-{digest.hexdigest()[:16]}.nrrd"


def write_nrrd(path: Path, voxels: Voxels) -> None:
    """Write a volume.

    Raises:
        ValueError: colours, or numbers that the format does not hold.
    """
    values = voxels.values
    if values.ndim != 3:
        raise ValueError(f"{voxels.name} has colours or vectors: choose a volume of single values")
    if values.dtype.name in ("int64", "uint64") and not values.size:
        raise ValueError(f"{voxels.name} is empty: load it again")
    if values.dtype.name in ("int64", "uint64"):
        values = values.astype(np.float64)
    if values.dtype.name not in TYPES:
        raise ValueError(f"{voxels.name} holds {values.dtype}: convert it to numbers of up to 64 bits")
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ voxels.ijk_to_ras
    directions = " ".join(_vector(to_lps[:3, axis]) for axis in range(3))
    header = (
        "NRRD0004\n"
        f"type: {TYPES[values.dtype.name]}\n"
        "dimension: 3\n"
        "space: left-posterior-superior\n"
        f"sizes: {values.shape[2]} {values.shape[1]} {values.shape[0]}\n"
        f"space directions: {directions}\n"
        "kinds: domain domain domain\n"
        "endian: little\n"
        "encoding: gzip\n"
        f"space origin: {_vector(to_lps[:3, 3])}\n\n"
    )
    data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
    path.write_bytes(header.encode("ascii") + gzip.compress(data, compresslevel=1))


def _vector(values: NDArray[np.float64]) -> str:
    return f"({','.join(repr(float(value)) for value in values)})"
