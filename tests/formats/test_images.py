from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trocar.formats.images import ImageSource, images_in, natural_key
from trocar.frames import FrameSource


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def test_natural_order_counts() -> None:
    names = ["f10.png", "f2.png", "F1.png", "a.png", "10.png", "9.png"]
    assert sorted(names, key=natural_key) == ["9.png", "10.png", "a.png", "F1.png", "f2.png", "f10.png"]


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        save(tmp_path / f"frame{number}.png", np.full((4, 6, 3), number, np.uint8))
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"")
    source = ImageSource(images_in(tmp_path), str(tmp_path))
    assert isinstance(source, FrameSource)
    assert [source[i].image[0, 0, 0] for i in range(len(source))] == [1, 2, 10]
    assert source.names == ("frame1", "frame2", "frame10")
    assert source[2].name == "frame10.png"
    assert source.geometry.size == (4, 6)


def test_equal_stems_keep_their_endings(tmp_path: Path) -> None:
    for name in ("a.png", "a.bmp"):
        save(tmp_path / name, np.zeros((4, 6), np.uint8))
    assert ImageSource(images_in(tmp_path)).names == ("a.bmp", "a.png")


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    """By hand: orientation 6 says that the stored left column is the top row when shown."""
    pixels = np.zeros((4, 6, 3), np.uint8)
    pixels[:, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    source = ImageSource(save(tmp_path / "p.png", pixels, exif=exif))
    assert source.geometry.size == (6, 4)
    shown = source[0].image
    assert (shown[0] == 255).all()
    assert (shown[1:] == 0).all()


def test_mixed_sizes_name_both_files(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((4, 6), np.uint8))
    save(tmp_path / "b.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(ValueError, match=r"a\.png is 6x4 pixels but b\.png is 6x5 pixels"):
        ImageSource(images_in(tmp_path))


def test_deep_grey_is_windowed(tmp_path: Path) -> None:
    """By hand: of 1..1000 the 0.5 and 99.5 percentiles are 5.995 and 995.005; the middle lies at 127.5."""
    values = np.arange(1, 1001, dtype=np.uint16).reshape(25, 40)
    image = ImageSource(save(tmp_path / "deep.png", values))[0].image
    assert image.shape == (25, 40, 3)
    assert image.ravel()[0] == 0
    assert image.ravel()[-1] == 255
    assert image[12, 19].tolist() in ([127] * 3, [128] * 3)  # value 500


def test_pages_of_a_tiff_are_frames(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((4, 6), n, np.uint8)) for n in (7, 8, 9)]
    pages[0].save(tmp_path / "s.tif", save_all=True, append_images=pages[1:])
    source = ImageSource(tmp_path / "s.tif")
    assert [source[i].image[0, 0, 0] for i in (2, 0, 1)] == [9, 7, 8]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "LA"])
def test_every_pixel_kind_becomes_rgb(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (6, 4)).save(tmp_path / "m.tif")
    frame = ImageSource(tmp_path / "m.tif")[0]
    assert (frame.image.shape, frame.image.dtype) == ((4, 6, 3), np.uint8)


def test_unreadable_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"bad\.png cannot be read as a picture"):
        ImageSource(tmp_path / "bad.png")
    whole = save(tmp_path / "w.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.png cannot be read.*cut short"):
        ImageSource(tmp_path / "cut.png")[0]
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ImageSource(tmp_path / "gone.png")
    with pytest.raises(IndexError, match="frames 0 to 0"):
        ImageSource(tmp_path / "w.png")[1]


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is empty"):
        images_in(tmp_path)
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(ValueError, match="holds no pictures"):
        images_in(tmp_path)
