"""Frames at moments, and small copies that show the same."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from made_corpus import noise, small_corpus

from trocar.formats.video import VideoSource
from trocar.pretrain.clip_frames import frames_at, uniform_moments
from trocar.pretrain.corpus import transcoded
from trocar.pretrain.rendered_corpus import write_video
from trocar.pretrain.transcode import Transcoding, transcode, write_small_video


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 10 s at 5 frames a second whose n-th frame has the grey level 5 n."""
    path = tmp_path_factory.mktemp("videos") / "counting.mp4"
    images = np.repeat(5 * np.arange(50, dtype=np.uint8), 48 * 64 * 3).reshape(50, 48, 64, 3)
    write_video(path, images, 5)
    return path


def test_moments_are_the_middles_of_equal_parts() -> None:
    assert uniform_moments(10.0, 18.0, 4) == [11.0, 13.0, 15.0, 17.0]


@pytest.mark.parametrize("moments", [[0.0], [3.4], [0.0, 0.6, 9.8], [1.0, 7.0], [2.0, 2.0, 2.2]])
def test_each_moment_gives_the_frame_that_is_shown_then(counting: Path, moments: list[float]) -> None:
    numbers = [round(float(frame.mean()) / 5) for frame in frames_at(counting, moments)]
    assert numbers == [round(moment * 5) for moment in moments]


def test_it_agrees_with_the_numbered_frames_of_the_same_file(counting: Path) -> None:
    with VideoSource(counting) as source:
        for number in (0, 18, 49):
            assert np.array_equal(frames_at(counting, [number / 5])[0], source[number].image)


def test_frames_are_shrunk_and_never_enlarged(counting: Path) -> None:
    assert frames_at(counting, [0.0], short_side=24)[0].shape == (24, 32, 3)
    assert frames_at(counting, [0.0], short_side=480)[0].shape == (48, 64, 3)


def test_bad_files_and_moments_are_refused(counting: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        frames_at(tmp_path / "none.mp4", [0.0])
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match="cannot be read as a video"):
        frames_at(tmp_path / "text.mp4", [0.0])
    with pytest.raises(ValueError, match="must ascend"):
        frames_at(counting, [2.0, 1.0])


def test_a_copy_is_small_has_close_keyframes_and_shows_the_same_at_the_same_time(tmp_path: Path) -> None:
    images = np.stack([np.roll(noise(3, 96), 3 * number, 1) for number in range(40)])
    write_video(tmp_path / "large.mp4", images, 10)
    write_small_video(
        tmp_path / "large.mp4", tmp_path / "small.mp4", Transcoding(short_side=48, keyframe_every=8, crf=12)
    )
    with av.open(str(tmp_path / "small.mp4")) as container:
        packets = [packet for packet in container.demux(container.streams.video[0]) if packet.size]
        assert [packet.is_keyframe for packet in packets] == [number % 8 == 0 for number in range(40)]
        assert (container.streams.video[0].height, container.streams.video[0].width) == (48, 48)
    moments = [0.3, 1.7, 3.9]
    wanted = frames_at(tmp_path / "large.mp4", moments, short_side=48)
    for one, other in zip(frames_at(tmp_path / "small.mp4", moments), wanted, strict=True):
        assert np.abs(one.astype(float) - other).mean() < 6


def test_copies_are_made_once_and_read_in_place_of_the_originals(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path, videos=2)
    assert corpus.file_of(corpus.clips[0]).is_relative_to(tmp_path / "root")
    assert transcode(corpus, Transcoding(short_side=32)) == {}
    copies = [transcoded(corpus.folder, video) for video in corpus.videos]
    assert corpus.file_of(corpus.clips[0]) == copies[0]
    times = [copy.stat().st_mtime_ns for copy in copies]
    copies[1].unlink()
    transcode(corpus, Transcoding(short_side=32))
    assert copies[0].stat().st_mtime_ns == times[0]
    assert copies[1].is_file()


def test_a_video_that_cannot_be_copied_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    corpus = small_corpus(tmp_path, videos=2)
    (Path(corpus.sources[0].folder) / corpus.videos[0].path).write_bytes(b"now it is broken")
    failed = transcode(corpus, Transcoding())
    assert list(failed) == [corpus.videos[0].video]
    assert list((corpus.folder / "videos").rglob("*.part*")) == []
    assert not transcoded(corpus.folder, corpus.videos[0]).exists()
