"""The card's protocol by hand on small clips, and the published card against the figures it was made from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from still_clip import still_clip
from trocar.bench.nano_card import CardOptions, card_table, run_card
from trocar.bench.prompt_baselines import score_image_baselines, score_tracking_baselines
from trocar.memory import Recent
from trocar.model import Network, tiny_random

ROOT = Path(__file__).resolve().parents[2]


def test_baselines_are_perfect_where_nothing_moves_and_objects_are_boxes() -> None:
    clip = still_clip()
    images, tracking = score_image_baselines([clip]), score_tracking_baselines([clip])
    assert images["filled box"].means() == {"box": 1.0}
    assert images["GrabCut"].object_frames == 8
    for scores in tracking.values():
        assert scores.j_and_f == 1.0
        assert {key[0] for key in scores.objects} == {"still/1", "still/2"}


@pytest.mark.slow
def test_the_card_runs_on_the_tune_split() -> None:
    torch.manual_seed(0)
    try:
        figures = run_card(Network(tiny_random()), Recent, CardOptions("tune", 1, 3, baselines=False))
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    assert len(figures["results"]) == 2
    assert all(result["object_frames"] > 0 for result in figures["results"].values())


def test_the_published_card_shows_the_figures_of_its_run() -> None:
    figures = json.loads((ROOT / "docs/results/nano-card.json").read_text(encoding="utf-8"))
    assert figures["split"] == "held_out"
    assert card_table(figures) in (ROOT / "docs/reference/nano.md").read_text(encoding="utf-8")
