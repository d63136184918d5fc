"""Names of video encoders: found in the folder of weights, refused where they cannot be read, explained otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from trocar.model.registry import WEIGHTS_FOLDER
from trocar.model.video_encoder_names import VIDEO_ENCODERS, find_video_encoder


@pytest.mark.parametrize("name", VIDEO_ENCODERS)
def test_each_name_says_where_it_comes_from_under_which_licence(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEIGHTS_FOLDER, raising=False)
    info = VIDEO_ENCODERS[name]
    with pytest.raises((FileNotFoundError, ValueError)) as found:
        find_video_encoder(name)
    assert info.repository in str(found.value)
    assert info.licence in str(found.value)
    assert isinstance(found.value, ValueError) == bool(info.unread)


def test_a_folder_under_either_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WEIGHTS_FOLDER, str(tmp_path))
    (tmp_path / "vjepa2-vitl-fpc64-256").mkdir()
    assert find_video_encoder("vjepa2-vitl") == tmp_path / "vjepa2-vitl-fpc64-256"
    (tmp_path / "vjepa2-vitl").mkdir()
    assert find_video_encoder("vjepa2-vitl") == tmp_path / "vjepa2-vitl"
    assert find_video_encoder(str(tmp_path)) == tmp_path


def test_other_names_are_explained() -> None:
    with pytest.raises(ValueError, match="did you mean 'videomae-base'"):
        find_video_encoder("videomae-bas")
    with pytest.raises(FileNotFoundError, match="a folder of transformers"):
        find_video_encoder("runs/mae/encoder.safetensors")
