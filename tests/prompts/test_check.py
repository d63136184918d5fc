import numpy as np
import pytest

from trocar.geometry import Geometry
from trocar.prompts import Box, MaskPrompt, Point, Scribble, check_prompt

GEOMETRY = Geometry((40, 60))


@pytest.mark.parametrize(
    "prompt",
    [
        Box(0, 0, 60, 40),
        Point(59.5, 39),
        Scribble(((0, 0), (60, 40))),
        MaskPrompt(np.ones((40, 60), np.bool_)),
    ],
)
def test_what_fits_passes(prompt):
    check_prompt(prompt, GEOMETRY, frame=9, length=10)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (Box(10, 10, 60.5, 20), r"the box on frame 3 reaches x,y = 60.5,20: outside the frame"),
        (Box(-1, 10, 20, 20), "x goes from 0 to 60 and y from 0 to 40"),
        (Box(70, 50, 80, 60), "outside the frame"),
        (Point(5, 41), "the point on frame 3"),
        (Point(float("nan"), 4), "outside the frame"),
        (Scribble(((1, 1), (99, 1))), "the scribble on frame 3 reaches x,y = 99,1"),
        (MaskPrompt(np.ones((60, 40), np.bool_)), "has 40 x 60 pixels .* and the frame 60 x 40"),
    ],
)
def test_what_does_not_fit_is_named(prompt, message):
    with pytest.raises(ValueError, match=message) as caught:
        check_prompt(prompt, GEOMETRY, frame=3, length=10)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("frame", [-1, 10])
def test_a_frame_beyond_the_source_is_refused(frame):
    with pytest.raises(ValueError, match=f"on frame {frame}: this source has the frames 0 to 9"):
        check_prompt(Point(1, 1), GEOMETRY, frame, length=10)
