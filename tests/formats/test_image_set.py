"""Image sets: their pictures' sizes, names and order."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.formats import Preparation
from trocar.formats.image_set import open_image_set
from trocar.frames import FrameSource, geometry_of

SIZES = {"cell2.png": (20, 30), "cell10.png": (40, 25), "cell1.png": (16, 16)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cells").mkdir()
    for number, (name, size) in enumerate(SIZES.items()):
        Image.fromarray(np.full((*size, 3), 10 * number, np.uint8)).save(tmp_path / "cells" / name)
    return tmp_path / "cells"


def test_pictures_keep_their_own_size_in_natural_order(folder: Path) -> None:
    pictures = open_image_set(folder)
    assert isinstance(pictures, FrameSource)
    assert not pictures.ordered
    assert pictures.names == ("cell1", "cell2", "cell10")
    for number, name in enumerate(pictures.files):
        assert geometry_of(pictures, number).size == SIZES[name] == pictures[number].image.shape[:2]
        assert pictures[number].name == name


def test_templates_from_elsewhere_come_first_and_only_once(folder: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 9, 3), np.uint8)).save(tmp_path / "atlas.png")
    pictures = open_image_set(folder, [tmp_path / "atlas.png", folder / "cell2.png"])
    assert pictures.names == ("atlas", "cell1", "cell2", "cell10")
    assert geometry_of(pictures, 0).size == (8, 9)


def test_a_picture_is_found_by_name_with_or_without_ending_or_by_number(folder: Path) -> None:
    pictures = open_image_set(folder)
    assert [pictures.find(name) for name in ("cell10", "cell10.png", "2")] == [2, 2, 2]


def test_a_name_wins_over_a_number(tmp_path: Path) -> None:
    for name in ("1", "2"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{name}.png")
    assert open_image_set(tmp_path).find("1") == 0


@pytest.mark.parametrize(("said", "hint"), [("cel10", "did you mean 'cell10'"), ("3", "'cell1'"), ("zzz", "'cell1'")])
def test_an_unknown_name_is_an_error_with_the_nearest(folder: Path, said: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"no picture '{said}'") as error:
        open_image_set(folder).find(said)
    assert hint in str(error.value)


def test_what_is_no_set_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        open_image_set(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is one file"):
        open_image_set(folder / "cell1.png")
    with pytest.raises(FileNotFoundError, match="atlas"):
        open_image_set(folder, [tmp_path / "atlas.png"])
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "cell1.png")
    with pytest.raises(ValueError, match=r"two pictures of the set are called cell1\.png"):
        open_image_set(folder, [tmp_path / "cell1.png"])
    with pytest.raises(ValueError, match="in common"):
        open_image_set(folder, window=Preparation("percentile", scope="source"))
    page = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    page.save(folder / "pages.tif", save_all=True, append_images=[page])
    with pytest.raises(ValueError, match=r"pages\.tif has 2 pages"):
        open_image_set(folder)
