import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trocar.prompts import (
    Box,
    MaskPrompt,
    PlacedPrompt,
    Point,
    Scribble,
    parse_box,
    parse_path_at,
    parse_point,
    prompts_from_json,
    prompts_to_json,
)


def test_text_of_the_command_line():
    assert parse_box("412,305,520,388@7") == PlacedPrompt(Box(412, 305, 520, 388), 7, 1)
    assert parse_box("1.5, 2, 3, 4", object_id=3) == PlacedPrompt(Box(1.5, 2, 3, 4), 0, 3)
    assert parse_point("4,5@2") == PlacedPrompt(Point(4, 5, True), 2)
    assert parse_point("4,5,+@2") == PlacedPrompt(Point(4, 5, True), 2)
    assert parse_point("4,5,-@2", object_id=9) == PlacedPrompt(Point(4, 5, False), 2, 9)
    assert parse_path_at("a@b/tool.png@3") == ("a@b/tool.png", 3)
    assert parse_path_at("tool.png") == ("tool.png", 0)


@pytest.mark.parametrize(
    ("parse", "text", "message"),
    [
        (parse_box, "1,2,3@0", "write x0,y0,x1,y1@frame"),
        (parse_box, "1,2,3,four@0", "write x0,y0,x1,y1@frame"),
        (parse_box, "1,2,nan,4@0", "write x0,y0,x1,y1@frame"),
        (parse_box, "1,2,1,4@0", "is empty"),
        (parse_box, "1,2,3,4@", "number of a frame"),
        (parse_box, "1,2,3,4@-1", "number of a frame"),
        (parse_box, "1,2,3,4@1.5", "number of a frame"),
        (parse_point, "1@0", "write x,y@frame"),
        (parse_point, "1,2,3@0", "write x,y@frame"),
        (parse_point, "", "write x,y@frame"),
        (parse_path_at, "a@b.png", "number of a frame, from 0 on, not 'b.png'"),
    ],
)
def test_text_of_another_form_is_refused(parse, text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


COORDINATE = st.floats(0, 4096, allow_nan=False)
PROMPT = st.one_of(
    st.builds(Point, COORDINATE, COORDINATE, st.booleans()),
    st.builds(lambda x, y, w, h: Box(x, y, x + w + 1, y + h + 1), *[COORDINATE] * 4),
    st.builds(Scribble, st.lists(st.tuples(COORDINATE, COORDINATE), min_size=1).map(tuple), st.booleans()),
)


@given(st.lists(st.builds(PlacedPrompt, PROMPT, st.integers(0, 10**6), st.integers(1, 10**6))))
def test_json_round_trip(prompts):
    assert prompts_from_json(prompts_to_json(prompts)) == prompts


def test_a_mask_survives_json():
    mask = np.eye(5, 7, dtype=np.bool_)
    (placed,) = prompts_from_json(prompts_to_json([PlacedPrompt(MaskPrompt(mask), 2, 4)]))
    assert (placed.frame, placed.object_id) == (2, 4)
    assert (placed.prompt.mask == mask).all()


def test_json_leaves_out_what_is_usual():
    text = '[{"box": [1, 2, 3, 4]}, {"object": 2, "frame": 5, "point": [6, 7]}]'
    assert prompts_from_json(text) == [PlacedPrompt(Box(1, 2, 3, 4)), PlacedPrompt(Point(6, 7), 5, 2)]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("3", "must be an object"),
        ("{}", "needs one of box, point"),
        ('{"box": [1, 2, 3, 4], "point": [1, 2]}', "needs one of"),
        ('{"box": [1, 2, 3, 4], "positive": true}', "needs one of"),
        ('{"box": [1, 2, 3, 4], "frames": 3}', "needs one of"),
        ('{"box": [1, 2, 3]}', "box must be"),
        ('{"box": [3, 2, 1, 4]}', "is empty"),
        ('{"point": [1, true]}', "point must be"),
        ('{"point": [1, 2], "positive": 1}', "positive must be"),
        ('{"point": [1, Infinity]}', "point must be"),
        ('{"scribble": []}', "at least one point"),
        ('{"scribble": 4}', "scribble must be"),
        ('{"mask": "tool.png"}', "run-length code"),
        ('{"mask": {"size": [2, 2], "counts": "zz"}}', "damaged"),
        ('{"mask": {"size": 4, "counts": "04"}}', "prompt 0"),
        ('{"point": [1, 2], "frame": -1}', "frame must be a whole number from 0 on, not -1"),
        ('{"point": [1, 2], "object": 0}', "object must be a whole number from 1 on"),
    ],
)
def test_json_of_another_form_is_refused_and_the_entry_named(entry, message):
    with pytest.raises(ValueError, match="prompt 0 of the list") as caught:
        prompts_from_json(f"[{entry}]")
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), [("{", "not valid JSON"), ("{}", "are a list")])
def test_what_is_no_list_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        prompts_from_json(text)


def test_coordinates_are_finite():
    assert math.isfinite(parse_point("1e3,2").prompt.x)
    with pytest.raises(ValueError, match="point"):
        parse_point("inf,2")
