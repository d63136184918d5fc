"""A page for people: how a balanced sample differs from the corpus that it was drawn from, in figures and pictures."""

from __future__ import annotations

import html
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trocar.formats.whole_file import whole_file
from trocar.pretrain.clip_frames import frames_at
from trocar.pretrain.cluster import Tree
from trocar.pretrain.corpus import Clip, Corpus
from trocar.pretrain.sample import gini

TILE = 96
ACROSS = 8
SHEETS = 100
"""Top clusters with pictures at most, the largest first."""


def write_report(corpus: Corpus, tree: Tree, chosen: Sequence[Clip]) -> dict[str, Any]:
    """Write DIR/report: index.html, balance.json, the chart, and a contact sheet a top cluster.

    Returns:
        The figures, as in balance.json.
    """
    folder = corpus.folder / "report"
    by_name = {clip.clip: clip for clip in corpus.clips}
    clips = [by_name[name] for name in tree.clips]
    taken = {clip.clip for clip in chosen}
    kept = np.array([clip.clip in taken for clip in clips])
    figures = balance_figures(tree, clips, kept)
    _chart(folder / "sizes.png", figures["top"])
    for one in figures["top"][:SHEETS]:
        members = np.flatnonzero(tree.labels[-1] == one["cluster"])
        _sheet(folder / f"cluster-{one['cluster']:04d}.png", corpus, clips, members, kept)
    with whole_file(folder / "balance.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    with whole_file(folder / "index.html") as temporary:
        temporary.write_text(_page(figures, tree.notes), encoding="utf-8")
    return figures


def balance_figures(tree: Tree, clips: Sequence[Clip], kept: NDArray[np.bool_]) -> dict[str, Any]:
    """Gini of the sizes of clusters that hold clips, shares of domains and procedures, sizes of the top clusters.

    Args:
        clips: those of the tree, in its order.
        kept: which of them are in the sample.
    """
    levels = []
    for number, labels in enumerate(tree.labels, 1):
        count = len(tree.centroids[number - 1])
        before, after = np.bincount(labels, minlength=count), np.bincount(labels[kept], minlength=count)
        row = {"level": number, "clusters": count, "empty": int((before == 0).sum())}
        held = before > 0
        levels.append({**row, "before": round(gini(before[held]), 4), "after": round(gini(after[held]), 4)})
    top: list[dict[str, Any]] = []
    for one in np.unique(tree.labels[-1]).tolist():
        members = tree.labels[-1] == one
        names = Counter(clips[n].procedure for n in np.flatnonzero(members).tolist())
        common, times = names.most_common(1)[0]
        share = round(times / int(members.sum()), 3)
        counts = {"cluster": one, "before": int(members.sum()), "after": int((members & kept).sum())}
        top.append({**counts, "mostly": common, "share_of_it": share})
    top.sort(key=lambda row: -row["before"])
    return {
        "clips": len(clips),
        "chosen": int(kept.sum()),
        "levels": levels,
        "domains": _shares([clip.domain for clip in clips], kept),
        "procedures": _shares([f"{clip.domain}: {clip.procedure}" for clip in clips], kept),
        "top": top,
    }


def _shares(names: Sequence[str], kept: NDArray[np.bool_]) -> list[dict[str, Any]]:
    before, after = Counter(names), Counter(name for name, one in zip(names, kept.tolist(), strict=True) if one)
    return [
        {
            "name": name,
            "clips": count,
            "before": round(count / len(names), 4),
            "chosen": after[name],
            "after": round(after[name] / max(1, int(kept.sum())), 4),
        }
        for name, count in before.most_common()
    ]


def _chart(path: Path, top: Sequence[Mapping[str, Any]]) -> None:
    """Shares of the top clusters before and after, the largest first."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ValueError("the report needs matplotlib: pip install 'trocar[pretrain]'") from error
    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(top))
    for name, shift in (("before", -0.2), ("after", 0.2)):
        counts = np.array([row[name] for row in top], float)
        axes.bar(places + shift, 100 * counts / max(1.0, counts.sum()), 0.4, label=name)
    axes.set_xlabel("top cluster, the largest first")
    axes.set_ylabel("share of clips, %")
    axes.legend()
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110)


def _sheet(path: Path, corpus: Corpus, clips: Sequence[Clip], members: NDArray[np.int64], kept: Any) -> None:
    """A row of clips of a cluster, evenly over its list, and a row of those chosen."""
    rows = []
    for numbers in (members, members[kept[members]]):
        shown = numbers[np.linspace(0, len(numbers) - 1, min(ACROSS, len(numbers))).round().astype(int)]
        tiles = [_tile(corpus, clips[number]) for number in shown.tolist()]
        tiles += [np.full((TILE, TILE, 3), 40, np.uint8)] * (ACROSS - len(tiles))
        rows.append(np.concatenate([np.pad(tile, ((2, 2), (2, 2), (0, 0))) for tile in tiles], axis=1))
    with whole_file(path) as temporary:
        Image.fromarray(np.concatenate(rows)).save(temporary, format="PNG")


def _tile(corpus: Corpus, clip: Clip) -> NDArray[np.uint8]:
    """The middle frame of a clip in a square; grey where it cannot be read."""
    tile = np.full((TILE, TILE, 3), 90, np.uint8)
    try:
        (image,) = frames_at(corpus.file_of(clip), [(clip.start_s + clip.stop_s) / 2], TILE)
    except (ValueError, OSError):
        return tile
    scale = TILE / max(image.shape[:2])
    columns, rows = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    small = cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA)
    tile[:] = 0
    top, left = (TILE - rows) // 2, (TILE - columns) // 2
    tile[top : top + rows, left : left + columns] = small
    return tile


STYLE = (
    "body{font:15px sans-serif;max-width:900px;margin:2em auto;color:#222}table{border-collapse:collapse;margin:1em 0}"
    "td,th{border-bottom:1px solid #ccc;padding:.2em .8em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}"
)


def _page(figures: Mapping[str, Any], notes: Mapping[str, str]) -> str:
    """The page's HTML."""
    made = ", ".join(f"{key} {value}" for key, value in notes.items())
    sizes = {"level": "level", "clusters": "clusters", "empty": "empty", "before": "Gini before", "after": "after"}
    parts = [
        f"<!doctype html><meta charset=utf-8><title>Balance</title><style>{STYLE}</style>",
        "<h1>Balance of the sample</h1>",
        f"<p>{figures['chosen']} of {figures['clips']} clips were chosen. {html.escape(made)}.</p>",
        "<h2>Sizes of clusters</h2><p>Gini coefficient: 0 where all clusters that hold clips have as many, 1 where one "
        "has all.",
        _table(figures["levels"], sizes),
        "<img src=sizes.png alt='Shares of the top clusters before and after'>",
    ]
    for title, rows in (("Domains", figures["domains"]), ("Procedures", figures["procedures"])):
        columns = {"name": "", "clips": "clips", "before": "share", "chosen": "chosen", "after": "share of the sample"}
        parts += [f"<h2>{title}</h2>", _table(rows, columns)]
    parts.append("<h2>Top clusters</h2><p>Above: clips of the cluster. Below: those chosen.")
    for one in figures["top"][:SHEETS]:
        said = (
            f"mostly {one['mostly']} ({100 * one['share_of_it']:.0f} %): {one['before']} clips, {one['after']} chosen"
        )
        picture = f"<img src=cluster-{one['cluster']:04d}.png alt='Clips of cluster {one['cluster']}'>"
        parts.append(f"<h3>{one['cluster']}: {html.escape(said)}</h3>{picture}")
    return "\n".join(parts) + "\n"


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    head = "".join(f"<th>{html.escape(name)}" for name in columns.values())
    lines = ["".join(f"<td>{html.escape(str(row[key]))}" for key in columns) for row in rows]
    return f"<table><tr>{head}" + "".join(f"<tr>{line}" for line in lines) + "</table>"
