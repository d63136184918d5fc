"""Class names: what becomes of names as data sets spell them."""

from __future__ import annotations

from pathlib import Path

import pytest

from trocar.datasets.class_names import read_class_names


@pytest.mark.parametrize(
    ("given", "standard", "how"),
    [
        ("large needle driver", "large needle driver", "same"),
        ("Large Needle Driver", "large needle driver", "spelling"),
        ("large_needle_driver", "large needle driver", "spelling"),
        ("Clipper", "clip applier", "alias"),
        ("Left_Prograsp_Forceps_labels", "prograsp forceps", "without words"),
        ("ligasure manipulator", "ligasure", "without words"),
        ("instrument-shaft", "surgical instrument", "without words"),
        ("uterine manipulator", "uterine manipulator", "same"),
        ("Gallbladder", "Gallbladder", "kept"),  # SA-SV keeps the names of tissue
        ("flux capacitor", "flux capacitor", "unknown"),
    ],
)
def test_names_are_standardised_and_it_is_said_how(given: str, standard: str, how: str) -> None:
    name = read_class_names()(given)
    assert (name.given, name.standard, name.how) == (given, standard, how)


def test_an_unknown_name_is_kept_with_the_nearest_known_one() -> None:
    name = read_class_names()("Monopolar Curved Sissors")
    assert (name.standard, name.nearest) == ("Monopolar Curved Sissors", "monopolar curved scissors")
    assert not name.whole


def test_all_of_an_organ_is_one_thing_and_each_piece_of_an_instrument_may_be() -> None:
    table = read_class_names()
    assert table("gall_bladder").whole
    assert not table("grasper").whole
    assert not table("polyp").whole


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[instruments]\n"a" = ["x"]\n"b" = ["x"]', "'x' stands for"),
        ('[instruments]\n"a" = ["b"]\n[organs]\n"b" = []', "'b' stands for"),
        ('[tools]\n"a" = []', "'tools'"),
        ('[instruments]\n"a" = "b"', "'a' needs"),
        ("[instruments", "not a TOML file"),
    ],
)
def test_a_table_that_says_two_things_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "names.toml"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_class_names(path)
    with pytest.raises(FileNotFoundError):
        read_class_names(tmp_path / "other.toml")


def test_parts_of_instruments_are_known_as_parts() -> None:
    table = read_class_names()
    assert table("tool clasper").part
    assert table("Electric hook shaft").part
    assert not table("uterine manipulator").part
    assert not table("left grasper").part
