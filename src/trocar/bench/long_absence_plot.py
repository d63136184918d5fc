"""The picture of `long-absence`: J&F after the return against the length of the absence, and bars for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

MARKS = "osD^vPX*<>"


def plot_long_absence(figures: dict[str, Any], *paths: Path) -> None:
    """Draw what `run_long_absence` returns, as PNG or SVG by each path's suffix; needs matplotlib (extra `bench`).

    Left: a line a policy, J&F after the return over the gap, with standard errors over seeds. Right: J&F after the
    return (of all frames, where the target never leaves) in the other kinds of scenes, a bar a policy.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rows = figures["rows"]
    policies = list(dict.fromkeys(row["policy"] for row in rows))
    others = [one for one in dict.fromkeys((row["kind"], row["gap"]) for row in rows) if one[0] != "absence"]
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(13, 5), width_ratios=(1, 1.3), layout="constrained")
    colours = pyplot.get_cmap("tab10")
    width = 0.8 / len(policies)
    for place, policy in enumerate(policies):
        style = {"color": colours(place % 10), "label": policy}
        own = [row for row in rows if row["policy"] == policy]
        line = sorted((row["gap"], *_height(row)) for row in own if row["kind"] == "absence")
        if line:
            gaps, heights, errors = zip(*line, strict=True)
            left.errorbar(gaps, heights, errors, marker=MARKS[place % len(MARKS)], capsize=2, **style)
        bars = [_height(row) for row in own if row["kind"] != "absence"]
        if bars:
            heights, errors = zip(*bars, strict=True)
            at = np.arange(len(others)) + (place - (len(policies) - 1) / 2) * width
            right.bar(at, heights, width, yerr=errors, error_kw={"lw": 0.7}, **style)
    left.set(xlabel="frames without the target", ylabel="J&F after the return", title="absence", ylim=(0, 1))
    left.set_xscale("log")
    left.set_xticks(sorted({row["gap"] for row in rows if row["kind"] == "absence"}))
    left.xaxis.set_major_formatter(matplotlib.ticker.ScalarFormatter())
    left.minorticks_off()
    right.set_xticks(range(len(others)), [kind if gap is None else f"{kind}, {gap}" for kind, gap in others])
    right.set(title="other kinds (unordered: all frames)", ylim=(0, 1))
    handles, labels = (right if others else left).get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=9)
    figure.suptitle(f"{figures['recipe']['model']}; seeds: {len(figures['recipe']['seeds'])}")
    for path in paths:
        figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _height(row: dict[str, Any]) -> tuple[float, float]:
    """J&F after the return, or of all frames where there is none, and its standard error over seeds."""
    name = "j_and_f" if row["j_and_f_returned"] is None else "j_and_f_returned"
    spread = row[f"{name}_sd"]
    return row[name], 0.0 if spread is None else spread / np.sqrt(row["seeds"])
