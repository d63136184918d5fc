"""What a frame's time goes to, as bars: one a cell, beside transformers' where it was run."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def plot_matrix(figures: dict[str, Any], path: Path) -> None:
    """Draw the stages of every cell as a PNG or SVG; needs matplotlib, which the extra `bench` brings.

    Bars are processor time on a CPU, where other work on the machine stretches the clock, and the clock's on a GPU.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    cells = figures["cells"]
    figure, axes = pyplot.subplots(figsize=(8, 1.2 + 0.55 * (len(cells) + len(figures["beside"]))))
    names: list[str] = []
    shown: set[str] = set()
    for cell, beside in zip(cells, figures["beside"] or [None] * len(cells), strict=True):
        clock, left = _clock(cell), 0.0
        for number, (stage, laps) in enumerate(cell["stages"].items()):
            width = max(laps[clock]["mean"], 0.0)
            label = None if stage in shown else stage
            shown.add(stage)
            axes.barh(len(names), width, left=left, color=f"C{number}", label=label)
            left += width
        axes.text(left, len(names), f" {cell['frames_per_second']:.3g} frames/s", va="center", fontsize=8)
        names.append(_name(cell))
        if beside:
            width, faster = beside["transformers"][clock]["mean"], beside["times_faster"][clock]["median"]
            axes.barh(len(names), width, color="0.7")
            axes.text(width, len(names), f" ours {faster:.2f} times faster", va="center", fontsize=8)
            names.append("transformers, the same")
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.35)
    on_cpu = all(_clock(cell) == "processor_ms" for cell in cells)
    axes.set_xlabel("processor time, ms a frame" if on_cpu else "ms a frame")
    figure.legend(loc="outside upper center", ncols=5, fontsize=8, frameon=False)
    figure.set_layout_engine("constrained")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _clock(cell: dict[str, Any]) -> str:
    return "processor_ms" if cell["device"] == "cpu" else "wall_ms"


def _name(cell: dict[str, Any]) -> str:
    objects = f"{cell['objects']} object{'s' * (cell['objects'] > 1)}"
    mode = "" if cell["economy"] == "off" else f", {cell['economy']}"
    memory = "" if cell["memory"].startswith("recent") else f", {cell['memory']}"
    return f"{cell['model']}@{cell['side']}, {objects}, {cell['precision']}{memory}{mode}"
