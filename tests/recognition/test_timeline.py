"""Sliding clips and events along videos whose truth is known."""

import numpy as np
import pytest
from tiny_recognition import CONFIG, level_recognizer, tiny_recognizer

from trocar.frames import ArraySource
from trocar.recognition.timeline import Answers, Event, Sliding, events, slide, smoothed, write_events
from trocar.recognition.timeline_plot import plot_timeline


def levels(*lengths, rate_hz=10.0):
    """Frames that are dark, bright, dark, ... for so many frames each."""
    values = np.concatenate([np.full(length, 40 + 180 * (turn % 2), np.uint8) for turn, length in enumerate(lengths)])
    return ArraySource(np.broadcast_to(values[:, None, None, None], (len(values), 40, 48, 3)).copy(), rate_hz=rate_hz)


def test_events_begin_where_the_video_changes():
    source = levels(20, 30, 10)
    found = events(slide(level_recognizer(), source, Sliding(step=1)), ("dark", "bright"), 60, 10.0)
    assert [(one.label, one.start, one.stop) for one in found] == [
        ("dark", 0, 20),
        ("bright", 20, 50),
        ("dark", 50, 60),
    ]
    assert [(one.start_s, one.stop_s) for one in found] == [(0, 2), (2, 5), (5, 6)]
    assert all(one.probability > 0.99 for one in found)


def test_with_a_step_they_are_found_to_half_a_step():
    found = events(slide(level_recognizer(), levels(20, 30, 10), Sliding(step=5)), ("dark", "bright"), 60, None)
    assert [one.label for one in found] == ["dark", "bright", "dark"]
    assert all(abs(one.stop - truth) <= 3 for one, truth in zip(found, (20, 50, 60), strict=True))
    assert found[0].start_s is None


class Counting(ArraySource):
    def __init__(self, images):
        super().__init__(images)
        self.read = []

    def __getitem__(self, index):
        self.read.append(index)
        return super().__getitem__(index)


@pytest.mark.parametrize("step", [1, 3, 9])
def test_no_frame_is_decoded_twice_nor_backwards(step):
    source = Counting(np.zeros((40, 32, 32, 3), np.uint8))
    slide(level_recognizer(), source, Sliding(step=step, stride=2))
    assert source.read == sorted(set(source.read))


def test_the_batch_changes_nothing():
    rng = np.random.default_rng(0)
    source = ArraySource(rng.integers(255, size=(23, 40, 40, 3)).astype(np.uint8))
    recognizer = tiny_recognizer()
    one, many = (slide(recognizer, source, Sliding(step=2, batch=batch)) for batch in (1, 5))
    np.testing.assert_allclose(one.probabilities, many.probabilities, atol=1e-6)
    assert one.middles.tolist() == list(range(1, 23, 2))
    np.testing.assert_allclose(one.probabilities.sum(1), 1)


def test_a_video_of_one_frame():
    answers = slide(level_recognizer(), levels(1), Sliding())
    assert events(answers, ("dark", "bright"), 1, None) == [
        Event("dark", 0, 1, None, None, pytest.approx(1.0, abs=0.01))
    ]


def test_smoothing_by_hand():
    values = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert smoothed(values, 3)[:, 0].tolist() == pytest.approx([1 / 2, 2 / 3, 2 / 3, 1])
    np.testing.assert_array_equal(smoothed(values, 1), values)
    with pytest.raises(ValueError, match="smooth an odd number"):
        Sliding(smooth=2)


def test_the_table_of_events(tmp_path):
    path = tmp_path / "events.csv"
    write_events(path, [Event("grip", 0, 25, 0.0, 1.0, 0.51239), Event("a, b", 25, 30, None, None, 1.0)])
    assert path.read_text(encoding="utf-8").splitlines() == [
        "class,start_frame,stop_frame,start_s,stop_s,probability",
        "grip,0,25,0.000,1.000,0.5124",
        '"a, b",25,30,,,1.0000',
    ]


def test_the_picture_is_drawn(tmp_path):
    from PIL import Image

    answers = Answers(np.array([2, 7]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    found = events(answers, ("dark", "bright"), 10, 5.0)
    plot_timeline(tmp_path / "plot.png", found, answers, ("dark", "bright"), "made up")
    picture = np.asarray(Image.open(tmp_path / "plot.png").convert("RGB"))
    assert picture.shape[1] > 800
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
    assert not list(tmp_path.glob(".part*"))


def test_clips_take_as_many_frames_as_the_encoder():
    assert CONFIG.frames == 4
    answers = slide(tiny_recognizer(), levels(2), Sliding(step=1))
    assert answers.probabilities.shape == (2, 2)
