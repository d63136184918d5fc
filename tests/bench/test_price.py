"""What leaving work out costs: the same clips for all, paired differences, counted work, faults before a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.bench.price import PriceOptions, _difference, markdown, measure_price, price_rows
from trocar.datasets import vocalfolds
from trocar.model import Network, tiny_random

SMALL = PriceOptions(
    choices=("off:encode_every=99,pool=2", "off:absent_every=9", "off/recent:window=1@fp32"),
    objects=2,
    sets=("vocal folds",),
)


@pytest.fixture(scope="module")
def told() -> list[str]:
    return []


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(replace(tiny_random(), mask_prior=True, mask_carried=True)).eval()


@pytest.fixture(scope="module")
def figures(network: Network, told: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """On made-up frames in the place of the vocal folds, enlarged until their objects count."""
    folder = tmp_path_factory.mktemp("data")
    vocalfolds.write_fixture(folder / "vocalfolds")
    for path in [*folder.rglob("*.jpg"), *folder.rglob("*.png")]:
        with Image.open(path) as image:
            large = image.resize((4 * image.width, 4 * image.height), Image.Resampling.NEAREST)
        large.save(path)
    return measure_price(network, replace(SMALL, data_folder=folder), lambda doing, so_far: told.append(doing))


def test_every_choice_is_held_against_off_on_the_same_clips(figures: dict[str, Any], told: list[str]) -> None:
    found = figures["sets"]["vocal folds"]
    assert list(found["choices"]) == ["off", *SMALL.choices]
    assert found["choices"]["off"]["difference"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    assert told == ["vocal folds: clip 1 of 1"]
    assert (found["frames"], found["objects"]) == (3, 2)
    for one in found["choices"].values():
        gain = one["j_and_f"] - found["choices"]["off"]["j_and_f"]
        assert one["difference"]["mean"] == pytest.approx(gain, abs=0.011)


def test_work_is_counted(figures: dict[str, Any]) -> None:
    choices = figures["sets"]["vocal folds"]["choices"]
    assert choices["off"]["encodings"] == 1
    assert choices[SMALL.choices[0]]["encodings"] == 0.333  # the prompt's of three frames
    assert choices[SMALL.choices[0]]["operations"] < 0.6 * choices["off"]["operations"]


def test_the_table_says_shares_of_off(figures: dict[str, Any]) -> None:
    rows = price_rows(figures)
    assert [row["operations"] for row in rows if row["choice"] == "off"] == [1.0]
    assert markdown(rows).count("\n") == len(rows) + 1


def test_of_one_clip_the_objects_are_drawn_of_several_the_clips() -> None:
    """Two clips whose objects agree: only which clips are drawn matters."""
    few, many = np.array([1.0, 1.0]), np.array([4.0] * 6)
    found = _difference([few, many])
    assert (found.mean, found.low, found.high) == (3.25, 1.0, 4.0)
    alone = _difference([np.array([1.0, 3.0])])
    assert (alone.mean, alone.low, alone.high) == (2.0, 1.0, 3.0)


def test_faults_are_found_before_the_first_run(network: Network) -> None:
    for options, cause in (
        (replace(SMALL, choices=("off:pool=0",)), "pool"),
        (replace(SMALL, choices=("off/recant",)), "recent"),
        (replace(SMALL, choices=("off@fp8",)), "precision"),
        (replace(SMALL, sets=("scenery",)), "scenes"),
    ):
        with pytest.raises(ValueError, match=cause):
            measure_price(network, options, lambda doing, so_far: pytest.fail("nothing is run"))


@pytest.mark.slow
def test_rendered_sets(network: Network) -> None:
    options = replace(SMALL, sets=("scenes", "absence"), clips_per_kind=1, frames=2, objects=1, gap=1)
    sets = measure_price(network, options)["sets"]
    assert list(sets["scenes"]["choices"]) == ["off", *SMALL.choices]
    assert list(sets["absence"]["choices"]) == ["off", "off:absent_every=9"]  # where none rests nothing is to be seen
    assert sets["absence"]["objects"] == 1
