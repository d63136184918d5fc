"""Write the tables of docs/explanation/speed.md from docs/results/speed-*.json.

    python scripts/speed_page.py [--results FOLDER] [--page FILE]

A table stands between `<!-- table: NAME -->` and `<!-- end -->`. One whose figures are not there stays as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

Cell = dict[str, Any]
ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- table: ([\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def figure(value: float) -> str:
    """With three digits that count, and no exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(one: dict[str, float]) -> str:
    return f"{figure(one['mean'])} ({figure(one['q25'])} to {figure(one['q75'])})"


def times(one: dict[str, float]) -> str:
    return f"**{one['median']:.2f}** ({one['q25']:.2f} to {one['q75']:.2f})"


def mode(cell: Cell) -> str:
    """Precision and economy, in words."""
    return str(cell["precision"]) + ("" if cell["economy"] == "off" else f", {cell['economy']}")


def whole(results: dict[str, Any]) -> str:
    """Frames a second and memory of each cell, beside transformers where that was run."""
    besides = results["beside"] or [None] * len(results["cells"])
    head = [
        "objects",
        "mode",
        "frames/s",
        "ms a frame",
        "processor ms",
        "frames encoded",
        "memory, MB",
        "times its floor",
    ]
    if results["beside"]:
        head += ["transformers, ms", "times faster", "in processor time", "mask IoU"]
    rows = []
    for cell, beside in zip(results["cells"], besides, strict=True):
        ends = cell["end_to_end"]
        row = [
            str(cell["objects"]),
            mode(cell),
            figure(cell["frames_per_second"]),
            spread(ends["wall_ms"]),
            figure(ends["processor_ms"]["mean"]),
            f"{100 * cell['frames_encoded']:.0f} %",
            figure(cell["peak_host_mb"]),
            figure(cell["floor"]["frame_over_floor"]),
        ]
        if beside:
            faster = beside["times_faster"]
            row += [
                figure(beside["transformers"]["wall_ms"]["median"]),
                times(faster["wall_ms"]),
                f"{faster['processor_ms']['median']:.2f}",
                f"{beside['iou']['mean']:.4f}, least {beside['iou']['least']:.4f}",
            ]
        rows.append(row)
    return markdown(head, rows) + "\n" + under(results)


def stages(results: dict[str, Any], picture: str) -> str:
    """Processor time of each stage, and its picture."""
    cells = results["cells"]
    names = list(cells[0]["stages"])
    rows = [
        [
            f"{one['objects']}, {mode(one)}",
            *(figure(max(one["stages"][name]["processor_ms"]["mean"], 0.0)) for name in names),
            figure(one["floor"]["frame_ms"]),
            f"{figure(one['floor']['floor_ms'])} ({one['floor']['floor_by']})",
            figure(one["floor"]["moving_ms"]),
        ]
        for one in cells
    ]
    head = ["objects, mode", *names, "together", "floor", "moving all bytes"]
    return f"{markdown(head, rows)}\n![What a frame goes to](../images/{picture}.png)\n"


def threads(quiet: dict[str, Any], busy: dict[str, Any]) -> str:
    """Each setting on a machine that does nothing else, and on one that does."""
    head = [
        "threads",
        "they wait",
        "next frame encoded beside",
        "ms, quiet",
        "processor ms",
        "ms, busy",
        "processor ms",
    ]
    rows = [
        [
            str(one["threads"]),
            {"passive": "asleep", "default": "spinning"}[one["wait"]],
            "yes" if one["ahead"] else "no",
            *(
                text
                for cell in (one, other)
                for text in (spread(cell["end_to_end"]["wall_ms"]), figure(cell["end_to_end"]["processor_ms"]["mean"]))
            ),
        ]
        for one, other in zip(quiet["cells"], busy["cells"], strict=True)
    ]
    return markdown(head, rows) + "\n" + under(quiet)


def under(results: dict[str, Any]) -> str:
    """What a table was measured on."""
    machine, source = results["machine"], results["source"]
    loads = [cell["machine"]["load"] for cell in results["cells"]]
    rows, columns = source["size"]
    first = results["cells"][0]
    return (
        f"{machine['processor']}, {machine['cores']} cores, torch {machine['torch']}; {source['name']} as H.264 of "
        f"{columns} x {rows}; {first['frames']} frames after {first['warm_up']}; load average {min(loads):.1f} to "
        f"{max(loads):.1f} when a cell began.\n"
    )


TABLES: dict[str, tuple[Callable[..., str], tuple[str, ...]]] = {
    "nano": (whole, ("nano",)),
    "nano-stages": (partial(stages, picture="speed-nano"), ("nano",)),
    "tiny": (whole, ("tiny",)),
    "tiny-stages": (partial(stages, picture="speed-tiny"), ("tiny",)),
    "arithmetic": (whole, ("arithmetic",)),
    "threads": (threads, ("threads", "threads-busy")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "explanation" / "speed.md")
    options = parser.parse_args()

    def filled(block: re.Match[str]) -> str:
        make, names = TABLES[block.group(2)]
        files = [options.results / f"speed-{name}.json" for name in names]
        if not all(file.is_file() for file in files):
            return block.group(0)
        made = make(*(json.loads(file.read_text(encoding="utf-8")) for file in files))
        return f"{block.group(1)}\n{made}\n{block.group(3)}"

    options.page.write_text(BLOCK.sub(filled, options.page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
