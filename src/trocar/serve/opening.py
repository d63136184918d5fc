"""From what a client asks to be opened to a source of frames, and what is told of it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from trocar.formats import open_source
from trocar.formats.image_set import open_image_set
from trocar.formats.intensity import WindowChoice
from trocar.formats.mask_set import frame_name
from trocar.formats.volume import PLANES, VolumeSource
from trocar.frames import FrameSource
from trocar.serve.errors import Refusal
from trocar.serve.projects import Projects
from trocar.serve.safety import below, check_files, check_picture_size
from trocar.serve.settings import ServeSettings
from trocar.wire import Located, NewSource, SourceMessage


class Opener:
    """Opens files under the offered folders and finished uploads, and nothing else.

    Args:
        settings: folders and limits.
        projects: knows the uploads.
    """

    def __init__(self, settings: ServeSettings, projects: Projects) -> None:
        self._settings = settings
        self._projects = projects

    def locate(self, asked: NewSource) -> Path:
        """The file or folder meant, checked.

        Raises:
            Refusal: none or both of root and upload, a path outside, an upload that is not whole, or files too large.
        """
        if (asked.upload is None) == (asked.root is None):
            raise Refusal("invalid", "a source is a path under a root, or an upload: give one of root and upload")
        if asked.upload is not None:
            path = self._uploaded(asked.upload)
            home = self.upload_folder(asked.upload)
        else:
            home = self.root(asked.root or "")
            path = below(home, asked.path or "")
        check_files(path, home, self._settings.limits)
        return path

    def root(self, name: str) -> Path:
        """An offered folder.

        Raises:
            Refusal: there is none of this name.
        """
        if name not in self._settings.roots:
            offered = ", ".join(sorted(self._settings.roots)) or "none: start the server with --root"
            raise Refusal("missing", f"no folder is offered under that name; offered are: {offered}")
        return Path(self._settings.roots[name])

    def upload_folder(self, upload: str) -> Path:
        """Where the files of an upload lie; its name is one that the server made."""
        return self._settings.folder / "uploads" / upload

    def open(self, asked: NewSource, plane: str | None = None, window: WindowChoice | None = None) -> FrameSource:
        """The frames of a source, to be read by one thread at a time.

        Raises:
            Refusal: see `locate`; or it is larger than the limits.
            ValueError: the file is damaged, or an option does not fit it.
        """
        path = self.locate(asked)
        source = _open(path, asked, plane, window)
        limits = self._settings.limits
        if len(source) > limits.frames:
            raise Refusal("too_large", f"{path.name} has {len(source)} frames: cut it to {limits.frames} at most")
        for geometry in {one.size: one for one in getattr(source, "geometries", (source.geometry,))}.values():
            rows, columns = geometry.size
            check_picture_size(path.name, rows, columns, limits)
        return source

    def stamp(self, asked: NewSource) -> list[Any]:
        """Changes when a file of the source does."""
        path = self.locate(asked)
        files = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        said = [(str(one.relative_to(path)), (stat := one.stat()).st_size, stat.st_mtime_ns) for one in files]
        return [len(files), hashlib.blake2b(repr(said).encode(), digest_size=12).hexdigest()]

    def _uploaded(self, upload: str) -> Path:
        files, folder = self._projects.upload(upload), self.upload_folder(upload)
        for file in files:
            path = folder / file["name"]
            if not path.is_file() or path.stat().st_size != file["size"]:
                raise Refusal("invalid", f"{file['name']} has not arrived as a whole: upload the rest of it first")
        return folder / files[0]["name"] if len(files) == 1 else folder


def _open(path: Path, asked: NewSource, plane: str | None, window: WindowChoice | None) -> FrameSource:
    said = asked.window
    wanted: Any = window or (tuple(said) if isinstance(said, list) else said)
    if isinstance(wanted, tuple) and len(wanted) != 2:
        raise ValueError("a window is [level, width], or a name: give two numbers")
    try:
        if asked.image_set:
            return open_image_set(path, window=wanted)
        plane = plane or asked.plane
        return open_source(path, window=wanted, plane=plane, series=asked.series, key=asked.key, uneven=asked.uneven)
    except (ValueError, OSError) as error:
        # Clients name files their own way; where the server keeps them is not theirs to know.
        message = str(error).replace(str(path), path.name).replace(str(path.parent), "the folder")
        raise Refusal("missing" if isinstance(error, FileNotFoundError) else "invalid", message) from error


def describe(source: FrameSource, name: str) -> SourceMessage:
    """What is told of a source; ids are given when it is stored."""
    geometry = source.geometry
    is_volume = isinstance(source, VolumeSource)
    kind = "volume" if is_volume else "video" if getattr(source, "ordered", True) else "images"
    sizes = [list(one.size) for one in getattr(source, "geometries", ())]
    named = bool(getattr(source, "names", ()))
    return SourceMessage(
        id=0,
        project=0,
        name=name,
        kind=kind,
        frames=len(source),
        size=list(geometry.size),
        sizes=sizes if len({tuple(size) for size in sizes}) > 1 else [],
        names=[frame_name(source, frame) for frame in range(len(source))] if named else [],
        rate_hz=source.rate_hz,
        spacing_mm=None if geometry.spacing_mm is None else list(geometry.spacing_mm),
        affine=None if geometry.affine is None else geometry.affine.tolist(),
    )


def shapes(source: VolumeSource, plane: str) -> dict[str, list[int]]:
    """(slices, rows, columns) of a volume in each plane, from those in one."""
    # Slices, rows and columns of each plane run along these axes of the patient: up, front, right.
    axes = {"axial": (0, 1, 2), "coronal": (1, 0, 2), "sagittal": (2, 0, 1)}
    here = (len(source), *source.geometry.size)
    lengths = {axis: here[place] for place, axis in enumerate(axes[plane])}
    return {name: [lengths[axis] for axis in axes[name]] for name in PLANES}


def locate(told: SourceMessage, points_mm: list[list[float]]) -> list[Located]:
    """Where points in RAS+ mm lie on the slices of the tracked plane.

    Raises:
        Refusal: the source does not say where it lies, or a point has no three finite numbers.
    """
    if told.affine is None:
        raise Refusal("invalid", f"{told.name} does not say where in the patient it lies: use slices and pixels")
    if any(len(point) != 3 or not np.isfinite(point).all() for point in points_mm):
        raise Refusal("invalid", "a point in the patient is [x, y, z] in mm: give three numbers each")
    back = np.linalg.inv(np.array(told.affine))
    found = []
    for point in points_mm:
        at, row, column = (back @ np.array([*point, 1.0]))[:3].clip(-1e9, 1e9)
        frame, x, y = round(float(at)), float(column) + 0.5, float(row) + 0.5
        inside = 0 <= frame < told.frames and 0 <= x <= told.size[1] and 0 <= y <= told.size[0]
        found.append(Located(frame, x, y, inside))
    return found
