"""Colour and cine objects: pixels are those that went in, frames come at their times."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from made_dicom import cine, header, save
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.pixels import convert_color_space
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless, UltrasoundImageStorage

from trocar.formats import Preparation, open_source
from trocar.frames import FrameSource


def colours(frames: int = 4) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (frames, 40, 48, 3), np.uint8)


@pytest.mark.parametrize("syntax", ["", RLELossless, JPEG2000Lossless])
def test_colour_frames(tmp_path: Path, syntax: str) -> None:
    one = cine(colours())
    if syntax:
        one.compress(syntax, generate_instance_uid=False)
    source = open_source(save(one, tmp_path / "c.dcm"))
    assert isinstance(source, FrameSource)
    assert (len(source), source.geometry.size, source.rate_hz) == (4, (40, 48), pytest.approx(25))
    assert all(np.array_equal(source[i].image, colours()[i]) for i in (3, 0, 2, 1))
    assert source[3].time_s == pytest.approx(0.12)
    with pytest.raises(IndexError, match="frame 4 is outside"):
        source[4]


def test_colour_planes_may_lie_apart(tmp_path: Path) -> None:
    one = cine(colours(), PlanarConfiguration=1)
    one.PixelData = colours().transpose(0, 3, 1, 2).tobytes()
    assert np.array_equal(open_source(save(one, tmp_path / "c.dcm"))[1].image, colours()[1])


def test_ybr_becomes_rgb(tmp_path: Path) -> None:
    """A grey picture has Cb = Cr = 128; red by hand is Y 76, Cb 85, Cr 255 (PS3.3 C.7.6.3.1.2)."""
    grey = np.full((2, 4, 6, 3), 128, np.uint8)
    grey[..., 0] = 90
    grey[1] = (76, 85, 255)
    source = open_source(save(cine(grey, PhotometricInterpretation="YBR_FULL"), tmp_path / "c.dcm"))
    assert source[0].image[0, 0].tolist() == [90] * 3
    assert np.abs(source[1].image[0, 0].astype(int) - (255, 0, 0)).max() <= 1
    both = convert_color_space(colours(), "RGB", "YBR_FULL")
    source = open_source(save(cine(both, PhotometricInterpretation="YBR_FULL"), tmp_path / "d.dcm"))
    assert np.abs(source[0].image.astype(int) - colours()[0]).max() <= 3


def test_jpeg_as_endoscopes_store_it(tmp_path: Path) -> None:
    """Baseline JPEG with halved chroma, written by Pillow: frames are what Pillow shows."""
    smooth = np.linspace(0, 255, 40 * 48 * 3).reshape(40, 48, 3).astype(np.uint8)
    files = []
    for picture in (smooth, smooth[::-1]):
        file = BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=95, subsampling="4:2:2")
        files.append(file.getvalue())
    one = cine(np.stack([smooth, smooth]), PhotometricInterpretation="YBR_FULL_422")
    one.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    one.PixelData = encapsulate(files)
    one["PixelData"].is_undefined_length = True
    source = open_source(save(one, tmp_path / "e.dcm"))
    for index, data in enumerate(files):
        shown = np.asarray(Image.open(BytesIO(data)).convert("RGB"))
        assert np.abs(source[index].image.astype(int) - shown).max() <= 2


def test_palettes_of_8_and_16_bits(tmp_path: Path) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(2, axis=0)
    ramps = {"Red": np.arange(256), "Green": np.arange(256)[::-1], "Blue": np.full(256, 7)}
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        said: dict[str, object] = {"PhotometricInterpretation": "PALETTE COLOR"}
        for name, ramp in ramps.items():
            said[f"{name}PaletteColorLookupTableDescriptor"] = [256, 0, bits]
            said[f"{name}PaletteColorLookupTableData"] = (ramp * (1 if bits == 8 else 257)).astype(dtype).tobytes()
        image = open_source(save(cine(pixels, **said), tmp_path / f"{bits}.dcm"))[1].image
        assert image[0, 5].tolist() == [5, 250, 7]
        assert image[15, 15].tolist() == [255, 0, 7]


def test_grey_loops(tmp_path: Path) -> None:
    """8 bits are shown as they are, also inverted; deeper ones in the percentiles of all frames or of each."""
    grey = colours()[..., 0]
    assert np.array_equal(open_source(save(cine(grey), tmp_path / "a.dcm"))[2].image[..., 1], grey[2])
    inverted = open_source(save(cine(grey, PhotometricInterpretation="MONOCHROME1"), tmp_path / "b.dcm"))
    assert np.array_equal(inverted[2].image[..., 1], 255 - grey[2])
    deep = np.stack([np.arange(1, 121).reshape(10, 12), np.arange(1001, 1121).reshape(10, 12)]).astype(np.uint16)
    path = save(cine(deep), tmp_path / "deep.dcm")
    whole, each = open_source(path), open_source(path, window=Preparation(scope="frame"))
    assert whole[0].image.max() < 40
    assert each[0].image.max() == each[1].image.max() == 255
    assert whole.preparation["low"] == pytest.approx(np.percentile(deep, 0.5))
    assert "low" not in each.preparation
    with pytest.raises(ValueError, match="only volumes are cropped"):
        open_source(path, window="medsam-2")


def test_times_from_a_vector_or_a_rate(tmp_path: Path) -> None:
    vector = cine(colours(), FrameTimeVector=[0, 10, 30, 40])
    del vector.FrameTime
    source = open_source(save(vector, tmp_path / "v.dcm"))
    assert [source[i].time_s for i in range(4)] == pytest.approx([0, 0.01, 0.04, 0.08])
    rate = cine(colours(), CineRate=50)
    del rate.FrameTime
    assert open_source(save(rate, tmp_path / "r.dcm")).rate_hz == pytest.approx(50)
    none = cine(colours())
    del none.FrameTime
    source = open_source(save(none, tmp_path / "n.dcm"))
    assert (source.rate_hz, source[1].time_s) == (None, None)


def test_single_pictures_follow_their_numbers(tmp_path: Path) -> None:
    for number, name in ((2, "a"), (1, "b"), (3, "c")):
        one = header(UltrasoundImageStorage, "US", colours()[number], InstanceNumber=number)
        save(one, tmp_path / f"{name}.dcm")
    source = open_source(tmp_path)
    assert source.names == ("b", "a", "c")
    assert all(np.array_equal(source[i].image, colours()[i + 1]) for i in range(3))
    save(header(UltrasoundImageStorage, "US", colours()[0][:5]), tmp_path / "small.dcm")
    with pytest.raises(ValueError, match="differ in size"):
        open_source(tmp_path)


def test_several_loops_and_streams_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        save(cine(colours()), tmp_path / f"{name}.dcm")
    with pytest.raises(ValueError, match=r"several videos in one series: name the file of one \(a\.dcm, b\.dcm\)"):
        open_source(tmp_path)
    one = cine(colours())
    one.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    one.PixelData = (
        b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00abcd\xfe\xff\xdd\xe0\x00\x00\x00\x00"
    )
    one["PixelData"].is_undefined_length = True
    save(one, tmp_path / "mpeg.dcm")
    with pytest.raises(ValueError, match=r"mpeg\.dcm is compressed as MPEG-4 AVC.*cannot be decoded"):
        open_source(tmp_path / "mpeg.dcm")
