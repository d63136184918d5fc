"""Rules of exclusion on pictures that plainly fall under them, or plainly do not."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from trocar.datasets.procedure_scenes import procedure_clip
from trocar.pretrain.exclusion import Exclusion, excluded_by_list, judged, text_share

WORDS = ["laparoscopic", "cholecystectomy", "step", "by", "in", "a", "difficult", "case", "of", "the", "year"]


def scene(seed: int, domain: str = "laparoscopy") -> NDArray[np.uint8]:
    return procedure_clip(seed, domain, frames=1, side=160).images[0]


def slide(seed: int, behind: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Four to seven lines of text on a plain ground or on a picture."""
    rng = np.random.default_rng(seed)
    ground = int(rng.choice([10, 60, 240]))
    image = np.full((480, 854, 3), ground, np.uint8) if behind is None else cv2.resize(behind, (854, 480))
    colour = (10, 10, 10) if ground > 200 and behind is None else (255, 255, 255)
    for line in range(int(rng.integers(4, 8))):
        words = " ".join(rng.choice(WORDS, 5))
        cv2.putText(image, words, (30, 60 + 55 * line), 0, float(rng.uniform(0.7, 1.2)), colour, 2, cv2.LINE_AA)
    return np.asarray(image, np.uint8)


def test_slides_are_told_from_scenes() -> None:
    """Nearly all slides lie above the threshold, nearly all scenes below it."""
    limit = Exclusion().max_text
    slides = [text_share(judged(slide(seed, scene(seed) if seed % 3 == 0 else None))) for seed in range(20)]
    scenes = [text_share(judged(scene(seed, ("laparoscopy", "robotic")[seed % 2]))) for seed in range(34)]
    assert np.mean(np.array(slides) > limit) > 0.9
    assert np.mean(np.array(scenes) > limit) < 0.03


def test_a_clip_is_left_out_for_what_most_of_its_frames_show() -> None:
    rules = Exclusion()
    black = np.zeros((100, 160, 3), np.uint8)
    green = np.random.default_rng(0).integers((10, 120, 30), (40, 200, 60), (100, 160, 3)).astype(np.uint8)
    warm = np.random.default_rng(0).integers((120, 30, 20), (220, 90, 70), (100, 160, 3)).astype(np.uint8)
    assert rules.why_not_clip([black, black, warm], "laparoscopy") == "quality: dark in 2 of 3 frames"
    assert rules.why_not_clip([black, warm, warm], "laparoscopy") == ""
    assert rules.why_not_clip([np.full_like(black, 90)] * 3, "robotic") == "quality: blank in 3 of 3 frames"
    assert rules.why_not_clip([green] * 3, "laparoscopy") == "out of body in 3 of 3 frames"
    assert rules.why_not_clip([green] * 3, "robotic") == ""  # training pads may have any colour
    assert rules.why_not_clip([slide(0)] * 3, "robotic") == "on-screen text in 3 of 3 frames"
    assert rules.why_not_clip([], "robotic") == "quality: no frame could be read"


def test_a_video_is_left_out_for_its_size_length_and_rate() -> None:
    rules = Exclusion()
    assert rules.why_not_video((480, 640), 60.0, 25.0) == ""
    assert rules.why_not_video((90, 640), 60.0, 25.0) == "quality: 640 x 90 pixels, under 128"
    assert rules.why_not_video((480, 640), 1.5, 25.0) == "quality: 1.5 s long, under 2 s"
    assert rules.why_not_video((480, 640), 60.0, 1.0) == "quality: 1.0 frames a second, under 5"


def test_lists_of_ids_come_from_settings_and_files(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    path.write_text("# consent withdrawn\nweb/17.mp4\n\nweb/private/*\n")
    patterns = Exclusion(ids=("a/1.mp4",), list_file=str(path)).named()
    assert patterns == ("a/1.mp4", "web/17.mp4", "web/private/*")
    assert excluded_by_list("web/private/x/2.mp4", patterns) == "list: web/private/*"
    assert excluded_by_list("web/18.mp4", patterns) == ""
    with pytest.raises(FileNotFoundError, match="list_file"):
        Exclusion(list_file=str(tmp_path / "none.txt")).named()
