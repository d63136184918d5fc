"""A picture of what a video shows and when: a bar of events, and below it the probability of each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from trocar.formats.whole_file import whole_file
from trocar.recognition.timeline import Answers, Event

COLOURS = ("tab10", "tab20")
"""Up to ten classes, and more; colours of the second come in pairs that look alike."""
NARROW = 0.06  # of the video; the name of a shorter event would not fit into its bar


def plot_timeline(path: Path, found: Sequence[Event], answers: Answers, classes: Sequence[str], title: str) -> None:
    """Draw it as a PNG.

    Raises:
        ValueError: matplotlib is missing.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise ValueError("a plot needs matplotlib: pip install 'trocar[bench]', or leave out --plot") from error

    matplotlib.use("Agg")
    from matplotlib import pyplot

    scale = 1.0 if found[-1].stop_s is None else found[-1].stop_s / found[-1].stop
    end = found[-1].stop * scale
    palette = pyplot.get_cmap(COLOURS[len(classes) > 10])
    colours = {name: palette(number % palette.N) for number, name in enumerate(classes)}
    height = 1.9 + 0.28 * len(classes)
    figure, (bar, heat) = pyplot.subplots(
        2, 1, figsize=(10, height), sharex=True, height_ratios=(1, 0.6 * len(classes)), layout="constrained"
    )
    for one in found:
        begin, width = one.start * scale, (one.stop - one.start) * scale
        bar.barh(0, width, left=begin, height=1, color=colours[one.label], edgecolor="white", linewidth=0.8)
        if width > NARROW * end:
            bar.text(begin + width / 2, 0, one.label, ha="center", va="center", fontsize=8, clip_on=True)
    bar.set(yticks=[], ylim=(-0.5, 0.5), title=title)
    edges = np.concatenate(([0.0], (answers.middles[:-1] + answers.middles[1:] + 1) / 2, [found[-1].stop])) * scale
    rows = np.arange(len(classes) + 1) - 0.5
    mesh = heat.pcolormesh(edges, rows, answers.probabilities.T, cmap="Greys", vmin=0, vmax=1)
    heat.set(yticks=range(len(classes)), xlim=(0, end), xlabel="frames" if found[-1].stop_s is None else "seconds")
    heat.set_yticklabels(classes, fontsize=8)
    for label, name in zip(heat.get_yticklabels(), classes, strict=True):
        label.set_bbox({"facecolor": colours[name], "edgecolor": "none", "pad": 1.5, "alpha": 0.6})
    heat.invert_yaxis()
    figure.colorbar(mesh, ax=heat, label="probability", pad=0.01)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    pyplot.close(figure)
