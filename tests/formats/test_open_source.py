from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from made_videos import Recipe, write_video
from PIL import Image

from trocar.formats import open_source
from trocar.frames import FrameSource


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_video(tmp_path / "v.mp4", Recipe(times_ms=(0, 40)))
    write_video(tmp_path / "t.ts")
    nib.save(nib.Nifti1Image(np.ones((64, 48, 2), np.int16), np.eye(4)), tmp_path / "n.nii")
    nib.save(nib.Nifti1Image(np.ones((64, 48, 2), np.int16), np.eye(4)), tmp_path / "n.nii.gz")
    Image.new("L", (64, 48)).save(tmp_path / "i.PNG", format="PNG")
    Image.new("L", (64, 48)).save(tmp_path / "i.tif")
    (tmp_path / "set").mkdir()
    Image.new("RGB", (64, 48)).save(tmp_path / "set/a.jpg")
    return tmp_path


@pytest.mark.parametrize("name", ["v.mp4", "t.ts", "n.nii", "n.nii.gz", "i.PNG", "i.tif", "set"])
def test_each_kind_opens(folder: Path, name: str) -> None:
    source = open_source(folder / name)
    assert isinstance(source, FrameSource)
    assert source.geometry.size == (48, 64)
    assert source[len(source) - 1].image.shape == (48, 64, 3)
    assert name in source.name


@pytest.mark.parametrize("name", ["v.mp4", "t.ts", "n.nii", "i.PNG", "i.tif"])
def test_files_are_known_by_their_bytes(folder: Path, name: str) -> None:
    """NIfTI readers go by the name, so that one says so instead."""
    bare = (folder / name).rename(folder / "bare")
    if name == "n.nii":
        with pytest.raises(ValueError, match="cannot be read as NIfTI"):
            open_source(bare)
    else:
        assert open_source(bare).geometry.size == (48, 64)


def test_what_cannot_be_read_says_what_can(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone does not exist"):
        open_source(tmp_path / "gone")
    (tmp_path / "a.docx").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"a\.docx is not of a kind that can be read: .*\.mp4.*\.png.*\.nii"):
        open_source(tmp_path / "a.docx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty is empty"):
        open_source(tmp_path / "empty")


def test_options_reach_volumes(folder: Path) -> None:
    assert len(open_source(folder / "n.nii", plane="coronal")) == 48
    with pytest.raises(ValueError, match="no window is called"):
        open_source(folder / "n.nii", window="nope")
