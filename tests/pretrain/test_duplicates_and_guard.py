"""Videos that repeat one another, and recordings of test splits under any name."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from made_corpus import SETTINGS, made_clip, noise, render

from trocar.pretrain.duplicates import Duplicates, bits_apart, duplicate_videos, picture_hash
from trocar.pretrain.guard import read_test_videos, recording, refuse_test_videos
from trocar.pretrain.rendered_corpus import write_video
from trocar.pretrain.scan import scan


def test_a_hash_survives_size_codec_and_brightness_and_tells_pictures_apart() -> None:
    images = [noise(seed, 128) for seed in range(12)]
    codes = [picture_hash(image) for image in images]
    for image, code in zip(images, codes, strict=True):
        small = cv2.resize(image, (70, 80), interpolation=cv2.INTER_AREA)
        packed = cv2.imdecode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
        darker = np.asarray(packed * 0.8, np.uint8)
        assert bits_apart(picture_hash(darker), code) <= 6
    apart = [bits_apart(one, other) for one in codes for other in codes if one != other]
    assert min(apart) > 10


def test_bits_are_counted_by_hand() -> None:
    assert bits_apart("0000000000000000", "0000000000000000") == 0
    assert bits_apart("000000000000000f", "8000000000000001") == 4


def test_a_video_repeats_another_when_half_of_the_shorter_one_does() -> None:
    codes = ["0123456789abcdef", "fedcba9876543210", "a5a5a5a55a5a5a5a", "0f0f0f0ff0f0f0f0", "3333cccc3333cccc"]
    whole = [made_clip("whole", 2.0 * n, code) for n, code in enumerate(codes)]
    part = [made_clip("part", 0.0, codes[1]), made_clip("part", 2.0, codes[2])]
    other = [
        made_clip("other", 0.0, codes[0]),
        *(made_clip("other", 2.0 * n, f"{n}1e2d3c4b5a69788") for n in (1, 2, 3)),
    ]
    assert duplicate_videos([*whole, *part, *other], Duplicates()) == {"part": "whole"}
    assert duplicate_videos([*part, *whole], Duplicates()) == {"whole": "part"}
    assert duplicate_videos([*whole, *part, *other], Duplicates(share=0.25)) == {"part": "whole", "other": "whole"}


def test_pictures_without_content_repeat_nothing() -> None:
    blank = [made_clip("a", 0.0, "8000000000000000"), made_clip("b", 0.0, "8000000000000000")]
    assert duplicate_videos(blank, Duplicates()) == {}


@pytest.mark.parametrize(
    ("source", "path", "expected"),
    [
        ("Cholec80", "videos/video07.mp4", "cholec80/video7"),
        ("cholect45", "data/VID07.mp4", "cholec80/video7"),
        ("cholect50", "videos/VID111.mp4", "cholec80/video111"),
        ("web", "a/B.v2.mp4", "web/a/b.v2"),
        ("web", "folder.1/plain", "web/folder.1/plain"),
    ],
)
def test_data_sets_that_share_recordings_give_them_one_id(source: str, path: str, expected: str) -> None:
    assert recording(source, path) == expected


def test_clips_of_test_recordings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "test.toml"
    path.write_text('cholect50 = ["VID51"]\nweb = ["a/b.mp4"]\n')
    test = read_test_videos([path])
    assert test == {"cholec80/video51": "cholect50", "web/a/b": "web"}
    refuse_test_videos([made_clip("cholec80/video50", 0.0)], test)
    with pytest.raises(ValueError, match=r"1 clips .* cholec80/video51@0.00 \(cholect50\): name these"):
        refuse_test_videos([made_clip("cholec80/video51", 0.0)], test)
    with pytest.raises(ValueError, match="its own data set"):
        refuse_test_videos([made_clip("x/1", 0.0, split="test")], {})
    path.write_text("cholec80 = 3\n")
    with pytest.raises(ValueError, match="must be a list of video ids"):
        read_test_videos([path])


def test_the_scan_excludes_repeats_and_test_recordings_and_what_repeats_these(tmp_path: Path) -> None:
    root, bench = tmp_path / "web", tmp_path / "cholec80"
    render(root / "0.mp4", 0, "laparoscopy")
    render(root / "1.mp4", 1, "laparoscopy")
    again = [cv2.resize(image, (64, 64)) for image in _images(root / "0.mp4")]
    write_video(root / "2.mp4", np.stack(again).astype(np.uint8), 4)
    render(bench / "video50.mp4", 2, "laparoscopy")
    (root / "3.mp4").write_bytes((bench / "video50.mp4").read_bytes())
    (tmp_path / "test.toml").write_text('cholec80 = ["video50"]\n')
    settings = SETTINGS.__class__(2.0, 1.0, exclusion=SETTINGS.exclusion, test_videos=(str(tmp_path / "test.toml"),))
    corpus = scan([bench, root], tmp_path / "corpus", settings)
    assert {video.video: video.excluded for video in corpus.videos} == {
        "cholec80/video50.mp4": "test split: of cholec80",
        "web/0.mp4": "",
        "web/1.mp4": "",
        "web/2.mp4": "duplicate: of web/0.mp4",
        "web/3.mp4": "test split: of cholec80, repeated by this video",
    }
    assert {clip.video for clip in corpus.usable()} == {"web/0.mp4", "web/1.mp4"}


def _images(path: Path) -> list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    from trocar.pretrain.clip_frames import frames_at

    return frames_at(path, [number / 4 for number in range(16)])
