"""Every frame carries its number as a barcode: the truth is the picture itself."""

from __future__ import annotations

import os
import warnings
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from made_videos import Recipe, barcode, number_in, write_cut, write_video

from trocar.formats.video import VideoSource
from trocar.frames import FrameSource

UNEVEN_MS = tuple(int(t) for t in np.cumsum(np.random.default_rng(1).integers(5, 200, 60)))

RECIPES = {
    "plain.mp4": Recipe(),
    "variable_rate.mp4": Recipe(times_ms=UNEVEN_MS),
    "open_gop.mp4": Recipe(options={"g": "12", "bf": "3", "x264-params": "open-gop=1:b-pyramid=2"}),
    "one_keyframe.mp4": Recipe(options={"g": "999", "bf": "2", "x264-params": "scenecut=0"}),
    "transport.ts": Recipe(),
    "open_gop.ts": Recipe(options={"g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "program.mpg": Recipe(codec="mpeg2video", options={"g": "12", "bf": "2"}),
    "b_frames.avi": Recipe(codec="mpeg4", options={"g": "12", "bf": "2"}),
    "stills.avi": Recipe(codec="mjpeg", pix_fmt="yuvj420p", options={}),
    "grey.mkv": Recipe(codec="ffv1", pix_fmt="gray", options={}),
    "web.mkv": Recipe(),
}


def visiting_order(count: int) -> list[int]:
    """Forward, backward, then anywhere."""
    forward = list(range(count))
    return forward + forward[::-1] + np.random.default_rng(0).integers(0, count, 60).tolist()


@pytest.mark.parametrize("name", RECIPES)
def test_every_frame_is_the_one_asked_for(tmp_path: Path, name: str) -> None:
    with VideoSource(write_video(tmp_path / name, RECIPES[name])) as source:
        assert isinstance(source, FrameSource)
        assert len(source) == 60
        for i in visiting_order(60):
            frame = source[i]
            assert (frame.index, number_in(frame.image)) == (i, i)


def test_variable_rate_keeps_the_display_times(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4", Recipe(times_ms=UNEVEN_MS)))
    times = [source[i].time_s for i in range(60)]
    assert times == pytest.approx([(t - UNEVEN_MS[0]) / 1000 for t in UNEVEN_MS], abs=1e-3)
    assert source.rate_hz == pytest.approx(59_000 / (UNEVEN_MS[-1] - UNEVEN_MS[0]), rel=1e-3)


def test_frames_that_an_edit_list_hides_are_not_counted(tmp_path: Path) -> None:
    cut = write_cut(tmp_path / "cut.mp4", write_video(tmp_path / "whole.mp4"), first=15)
    source = VideoSource(cut)
    assert len(source) == 45
    assert all(number_in(source[i].image) == i + 15 for i in visiting_order(45))


@pytest.mark.parametrize("name", ["raw.h264", "b_frames.avi"])
def test_files_without_timestamps_are_counted_by_decoding(tmp_path: Path, name: str) -> None:
    container = "h264" if name.endswith("h264") else None
    with pytest.warns(UserWarning, match="incomplete timestamps"):
        source = VideoSource(write_video(tmp_path / name, Recipe(container=container)))
    assert len(source) == 60
    assert all(number_in(source[i].image) == i for i in (0, 1, 30, 59, 58, 5))


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_rotation_makes_frames_upright(tmp_path: Path, rotation: int) -> None:
    """OpenCV turns frames by the same metadata with its own code."""
    rng = np.random.default_rng(3)
    picture = np.repeat(np.kron(rng.integers(0, 256, (6, 8)), np.ones((8, 8)))[..., None], 3, 2).astype(np.uint8)
    recipe = Recipe(times_ms=(0, 40), rotation=rotation, options={})
    path = write_video(tmp_path / "r.mov", recipe, [picture, picture])
    source = VideoSource(path)
    capture = cv2.VideoCapture(str(path))
    expected = capture.read()[1][..., ::-1]
    capture.release()
    assert source.geometry.size == expected.shape[:2] == source[0].image.shape[:2]
    assert np.abs(source[0].image.astype(int) - expected).mean() < 4


def test_the_quarter_turn_is_clockwise(tmp_path: Path) -> None:
    """By hand: a display matrix (0 1; -1 0) sends the right of the stored picture down (ISO/IEC 14496-12)."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:, 32:] = 255
    path = write_video(tmp_path / "r.mp4", Recipe(times_ms=(0, 40), rotation=90), [picture, picture])
    with av.open(str(path)) as container:
        stored = next(container.decode(video=0))
        matrix = np.frombuffer(bytes(stored.side_data["DISPLAYMATRIX"]), np.int32)
    image = VideoSource(path)[0].image
    bright_down = image[-10:].mean() > 200 and image[:10].mean() < 50
    assert image.shape == (64, 48, 3)
    assert bright_down == (matrix[1] > 0 and matrix[3] < 0)
    assert bright_down != (matrix[1] < 0 and matrix[3] > 0)


@pytest.mark.parametrize(
    ("aspect", "rotation", "size"),
    [(Fraction(2), None, (48, 128)), (Fraction(1, 2), None, (96, 64)), (Fraction(2), 90, (128, 48))],
)
def test_pixels_become_square(tmp_path: Path, aspect: Fraction, rotation: int | None, size: tuple[int, int]) -> None:
    source = VideoSource(write_video(tmp_path / "a.mp4", Recipe(aspect=aspect, rotation=rotation)))
    assert source.geometry.size == size
    assert source[3].image.shape == (*size, 3)


def test_a_file_that_lacks_its_index_is_named(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"cut\.mp4 is cut short.*moov.*copy it again"):
        VideoSource(cut)


def test_a_stream_that_breaks_off_keeps_its_beginning(tmp_path: Path) -> None:
    path = write_video(tmp_path / "whole.mp4")
    with (
        av.open(str(path)) as source,
        av.open(str(tmp_path / "fast.mp4"), "w", options={"movflags": "faststart"}) as to,
    ):
        copy = to.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = copy
                to.mux(packet)
    data = (tmp_path / "fast.mp4").read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(data[: len(data) * 3 // 4])
    with pytest.warns(UserWarning, match=r"cut\.mp4 is damaged or cut short: \d+ frames"):
        source = VideoSource(cut)
    assert 20 < len(source) < 60
    assert all(number_in(source[i].image) == i for i in visiting_order(len(source)))


def test_damage_in_the_middle_does_not_shift_numbers(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mp4", Recipe(options={"g": "10", "bf": "0", "x264-params": "scenecut=0"}))
    with av.open(str(path)) as container:
        packet = next(p for p in container.demux(video=0) if p.pts == 24 * 640)
        position, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[position : position + size] = bytes(size)
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = VideoSource(path)
        seen = [number_in(source[i].image) for i in range(60)]
        back = [number_in(source[i].image) for i in reversed(range(60))][::-1]
    assert len(seen) == 60
    assert seen[:24] + seen[30:] == [*range(24), *range(30, 60)] == back[:24] + back[30:]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("empty.mp4", b"", "is empty"), ("text.mp4", b"not a video" * 100, "damaged or not a video")],
)
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        VideoSource(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4 does not exist"):
        VideoSource(tmp_path / "gone.mp4")


def test_frames_beyond_the_end_do_not_exist(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4", Recipe(times_ms=(0, 40, 80))))
    for index in (3, -1):
        with pytest.raises(IndexError, match="frames 0 to 2"):
            source[index]


def test_a_closed_video_says_so(tmp_path: Path) -> None:
    with VideoSource(write_video(tmp_path / "v.mp4")) as source:
        source[40]
    for index in (40, 0, 59):
        with pytest.raises(ValueError, match="has been closed"):
            source[index]


def test_decoded_frames_held_are_bounded(tmp_path: Path) -> None:
    source = VideoSource(write_video(tmp_path / "v.mp4", Recipe(times_ms=tuple(range(0, 40 * 250, 40)))))
    for i in range(250):
        source[i]
    assert len(source._cache) <= 4
    assert number_in(source[200].image) == 200
    assert number_in(barcode(200, (48, 64))) == 200


@pytest.mark.skipif("TROCAR_DATA" not in os.environ, reason="TROCAR_DATA names no data folder")
def test_real_clips_are_the_same_in_any_order() -> None:
    source = VideoSource(Path(os.environ["TROCAR_DATA"]) / "formats/video/bedroom.mp4")
    assert (len(source), source.geometry.size) == (200, (540, 960))
    assert source.rate_hz == pytest.approx(30)
    wanted = [3, 60, 61]
    with av.open(source.name) as container:
        truth = {i: f.to_ndarray(format="rgb24") for i, f in enumerate(container.decode(video=0)) if i in wanted}
    for i in (61, 60, 3):
        assert np.array_equal(source[i].image, truth[i])
