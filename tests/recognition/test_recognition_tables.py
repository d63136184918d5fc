"""Means of domains and differences between runs, by hand."""

import numpy as np
import pytest

from trocar.metrics.recognition import clip_scores
from trocar.recognition.tables import difference, summary


def results(right, tasks=("a", "b", "c"), seeds=2, clips=40):
    """Runs whose share of right answers per task is given; tasks a and b are one domain."""
    domains = {"a": "robotic", "b": "robotic", "c": "cataract"}
    labels = [number % 2 for number in range(clips)]
    cells = []
    for seed in range(seeds):
        for task in tasks:
            good = round(right[task] * clips)
            said = [label if number < good else 1 - label for number, label in enumerate(labels)]
            scores = {"top1": good / clips}
            cells.append(
                {"task": task, "domain": domains[task], "seed": seed, "scores": scores}
                | {"labels": labels, "predictions": said}
            )
    return {"cells": cells}


def test_a_domain_is_the_mean_of_its_tasks_and_the_macro_score_of_domains():
    found = summary(results({"a": 1.0, "b": 0.5, "c": 0.25})["cells"])
    assert found["robotic"]["mean"] == 0.75
    assert found["macro"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "seeds": 2}
    assert found["worst"]["mean"] == 0.25


def test_a_run_differs_from_itself_by_nothing_and_from_its_opposite_by_everything():
    best, worst = results(dict.fromkeys("abc", 1.0)), results(dict.fromkeys("abc", 0.0))
    for one in difference(best, best, draws=50).values():
        assert one == {"difference": 0, "low": 0, "high": 0}
    for one in difference(best, worst, draws=50).values():
        assert one == {"difference": 1, "low": 1, "high": 1}


def test_intervals_hold_their_difference_and_are_as_wide_as_a_share_of_so_many_clips():
    """The same clips differ in one half of each run: 0.5 -+ 1.96 sqrt(0.25 / 400)."""
    first, second = results({"a": 1.0}, tasks="a", clips=400), results({"a": 0.5}, tasks="a", clips=400)
    found = difference(first, second, draws=2000)["a"]
    assert found["difference"] == 0.5
    assert found["low"] == pytest.approx(0.451, abs=0.01)
    assert found["high"] == pytest.approx(0.549, abs=0.01)


def test_runs_on_other_clips_are_refused():
    first = results(dict.fromkeys("abc", 1.0))
    with pytest.raises(ValueError, match="other tasks, seeds or clips"):
        difference(first, results(dict.fromkeys("abc", 1.0), clips=42))
    other = results(dict.fromkeys("abc", 1.0))
    for cell in other["cells"]:
        cell["labels"] = cell["labels"][::-1]
    with pytest.raises(ValueError, match="other test clips of a"):
        difference(first, other)


def test_scores_of_clips_by_hand():
    truth = np.array([0, 0, 0, 1])
    found = clip_scores(np.array([0, 0, -1, 1]), truth)
    assert (found.clips, found.top1, found.majority) == (4, 0.75, 0.75)
    assert found.balanced == pytest.approx((2 / 3 + 1) / 2)
    assert found.macro_f1 == pytest.approx((4 / 5 + 1) / 2), "no answer is no class"
    assert found.low < 0.75 < found.high
