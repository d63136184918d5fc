"""From masks to an output folder, while they are made: nothing waits in memory and nothing finished is lost."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from trocar.formats.mask_set import MaskSet, ObjectInfo, frame_name
from trocar.formats.rle import MaskJournal
from trocar.formats.table import FORMATS, check_fits
from trocar.formats.whole_file import sweep
from trocar.frames import FrameSource, geometry_of
from trocar.masks import FrameMasks, joined

JOURNAL = "masks.jsonl"

Progress = Callable[[str, int, int], None]
"""Told (name of the file being written, frames written, frames to write) while outputs are finished."""


class MaskOutput:
    """An output folder that takes masks as they are made, in any order.

    Every frame goes to a journal (masks.jsonl) at once, and so do formats of one file a frame. `finish` writes the
    other formats from the journal in display order: overlays, volumes and documents are therefore right for backward
    passes, for corrections and after a resume alike. As a context manager it finishes on success and on Ctrl+C; after
    any other error the unfinished journal (.part) stays, from which `resume` goes on.

    Args:
        folder: where to write; it is made if need be. Without `resume`, what an earlier run on the same source wrote
            there is replaced; files of others are never touched.
        source: what the masks belong to.
        formats: names from FORMATS.
        resume: go on with what an interrupted run left there.
        progress: told how far finishing is.
        objects: what the objects are, for formats that hold names.

    Raises:
        ValueError: an unknown format, one that the source cannot have, or a folder with masks of something else.
    """

    def __init__(
        self,
        folder: str | Path,
        source: FrameSource,
        formats: Sequence[str] = ("png",),
        resume: bool = False,
        progress: Progress | None = None,
        objects: Mapping[int, ObjectInfo] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self._source = source
        self._progress = progress
        self._formats = tuple(dict.fromkeys(formats))
        _check_formats(self._formats, source)
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} is a file, not a folder: choose another name for the output")
        self._journal = MaskJournal(self.folder / JOURNAL, source)
        self._masks = MaskSet(source, lambda: iter(self._journal), objects or {})
        self._take_over(resume)

    @property
    def done(self) -> list[int]:
        """Numbers of the frames that are on disk, ascending."""
        return self._journal.frames

    @property
    def paths(self) -> list[Path]:
        """What has been written: one path a format (none for a run without frames), then the finished journal."""
        paths = [*(self.folder / FORMATS[name].output for name in self._formats), self.folder / JOURNAL]
        return [path for path in paths if path.exists()]

    def write(self, masks: FrameMasks) -> None:
        """Store one frame; when this returns, a crash cannot lose it.

        Raises:
            ValueError: masks that do not fit the source or a format.
            OSError: the disk is full.
        """
        size = geometry_of(self._source, masks.frame).size
        if not 0 <= masks.frame < len(self._source):
            raise ValueError(
                f"frame {masks.frame} is outside {self._source.name}, which has {len(self._source)} frames"
            )
        for object_id, mask in masks.masks.items():
            if mask.shape != size:
                raise ValueError(
                    f"the mask of object {object_id} on frame {masks.frame} is {mask.shape}, its source is {size}"
                )
        if masks.adds and masks.frame in self._journal:
            masks = joined(self._journal[masks.frame], masks)
        # Files first: a frame in the journal has all its files.
        self._write_frame(masks)
        self._journal.append(masks)

    def finish(self) -> list[Path]:
        """Write the remaining formats for all frames stored, and return `paths`."""
        frames = self._journal.frames
        for name in self._formats:
            info = FORMATS[name]
            if info.write_all is not None and frames:
                info.write_all(self.folder / info.output, self._counted(info.output))
        self._journal.finish()
        return self.paths

    def __enter__(self) -> MaskOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self.finish()
        else:
            self._journal.close()

    def _take_over(self, resume: bool) -> None:
        """Make the folder ready: an earlier run's files go (or are completed), files of others are refused."""
        for folder in {self.folder, *(self.folder / FORMATS[name].output for name in self._formats)}:
            sweep(folder)
        for name in self._formats:
            path = self.folder / FORMATS[name].output
            if name not in self._journal.formats and path.exists():
                self._journal.close()
                raise ValueError(f"{path} was there before, from something else: choose another output folder")
        if not resume:
            for name in self._journal.formats:
                path = self.folder / FORMATS[name].output
                if FORMATS[name].write_frame is None:
                    path.unlink(missing_ok=True)
                else:
                    for frame in self._journal.frames:
                        for file in self._files_of(name, frame):
                            file.unlink()
            self._journal.clear()
        self._journal.note_formats(self._formats)
        one_file_each = [name for name in self._formats if FORMATS[name].write_frame is not None]
        for frame in self._journal.frames:
            if not all(self._files_of(name, frame) for name in one_file_each):
                self._write_frame(self._journal[frame], only_missing=True)

    def _write_frame(self, masks: FrameMasks, only_missing: bool = False) -> None:
        for name in self._formats:
            info = FORMATS[name]
            if info.write_frame is None:
                continue
            if not (only_missing and self._files_of(name, masks.frame)):
                info.write_frame(self.folder / info.output, masks, self._masks)

    def _files_of(self, name: str, frame: int) -> list[Path]:
        """The files that a format of one file a frame, or several, has written for a frame."""
        pattern = FORMATS[name].frame_files.format(name=glob.escape(frame_name(self._source, frame)))
        return list((self.folder / FORMATS[name].output).glob(pattern))

    def _counted(self, name: str) -> MaskSet:
        """All masks, with progress told; formats that go through them twice are told of twice."""

        def frames() -> Iterator[FrameMasks]:
            total = len(self._journal.frames)
            for count, masks in enumerate(self._journal, start=1):
                yield masks
                if self._progress is not None:
                    self._progress(name, count, total)

        return replace(self._masks, frames=frames)


def write_masks(
    folder: str | Path,
    frames: Iterable[FrameMasks],
    source: FrameSource | None = None,
    formats: Sequence[str] = ("png",),
    resume: bool = False,
) -> list[Path]:
    """Write masks to a folder while they are made, and return what was written.

    Ctrl+C leaves valid files of all finished frames and is raised again.

    Args:
        folder: where to write.
        frames: masks, in any order; each is written before the next is asked for.
        source: what they belong to; by default `frames.source`.
        formats: names from FORMATS: those that `trocar formats` says masks go out in.
        resume: keep the frames that an earlier, interrupted run left there.

    Raises:
        ValueError: no source, an unknown format, or masks that do not fit.
        OSError: the disk is full.
    """
    if source is None:
        source = getattr(frames, "source", None)
    if source is None:
        raise ValueError("the masks do not say what they belong to: give source=")
    with MaskOutput(folder, source, formats, resume) as output:
        for masks in frames:
            output.write(masks)
    return output.paths


def _check_formats(formats: Sequence[str], source: FrameSource) -> None:
    writable = [name for name, info in FORMATS.items() if info.writes]
    for name in formats:
        if name not in writable:
            raise ValueError(f"masks cannot be written as {name!r}: use {', '.join(writable)}")
        check_fits(name, source)
