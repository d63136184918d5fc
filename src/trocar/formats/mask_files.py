"""Masks from a file or folder of any format that holds them."""

from __future__ import annotations

from pathlib import Path

from trocar.formats.mask_set import AS_IT_IS, MaskSet, ReadOptions
from trocar.formats.placing import lay_on
from trocar.formats.rle import KIND
from trocar.formats.table import FORMATS, kind_of_content
from trocar.frames import FrameSource

JSON_KINDS = (
    (f'"{KIND}"', "rle"),
    ('"videos"', "youtube-vis"),
    ('"shapes"', "labelme"),
    ('"annotations"', "coco"),
)
"""(what only such a document has, format), looked for in this order."""


def read_masks(
    path: str | Path, format: str | None = None, source: FrameSource | None = None, options: ReadOptions = AS_IT_IS
) -> MaskSet:
    """Open masks of any format: label volumes, DICOM segmentations, folders of PNG, JSON and XML documents.

    Args:
        path: a file or folder.
        format: a name from FORMATS; by default told by the ending and the content.
        source: what to lay the masks on; volumes are matched by their place in the patient, pictures by their names.
        options: how to read, where there is a choice; for volumes the plane must be the source's.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it holds no masks, is damaged, or does not fit the source; the message says why.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist: check the name")
    name = format or mask_format(path)
    readable = [known for known, info in FORMATS.items() if info.read_masks is not None]
    if name not in readable:
        raise ValueError(f"masks cannot be read as {name!r}: use {', '.join(readable)}")
    reader = FORMATS[name].read_masks
    assert reader is not None
    masks = reader(path, options)
    return masks if source is None else lay_on(masks, source)


def mask_format(path: Path) -> str:
    """The format of a file or folder of masks.

    Raises:
        ValueError: it is none that is known.
    """
    name = _of_folder(path) if path.is_dir() else _of_file(path)
    if name is None:
        raise ValueError(f"{path} holds no masks that are known: see `trocar formats`, or say which format it is")
    return name


def _of_folder(folder: Path) -> str | None:
    if any((folder / name).exists() for name in ("masks.json", "masks.jsonl")):
        return "rle"
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    if any(entry.is_dir() and entry.name.isdecimal() and any(entry.glob("*.png")) for entry in entries):
        return "object-png"
    kinds = {_of_file(entry) for entry in entries if entry.is_file()}
    return next((kind for kind in ("dicom-seg", "labelme", "png") if kind in kinds), None)


def _of_file(path: Path) -> str | None:
    if path.suffix.lower() == ".json":
        text = path.read_text(encoding="utf-8", errors="replace")
        return next((kind for sign, kind in JSON_KINDS if sign in text), None)
    name = path.name.lower()
    for known, info in FORMATS.items():
        if info.read_masks is not None and name.endswith(info.extensions):
            return known
    kind = kind_of_content(path)
    return "dicom-seg" if kind == "dicom" else kind if kind and FORMATS[kind].read_masks is not None else None
