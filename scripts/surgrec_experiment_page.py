"""Tables and picture of docs/explanation/surgrec-experiment.md, from docs/results/surgrec-experiment.json.

python scripts/surgrec_experiment_page.py                 print the tables
python scripts/surgrec_experiment_page.py --plot FILE     also draw the differences
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trocar.bench.published_tables import published_rows

RESULTS = Path(__file__).parents[1] / "docs/results/surgrec-experiment.json"
COLUMNS = ("cataract", "robotic", "endoscopy", "laparoscopy", "macro", "worst")
HEADS = dict(
    zip(("Cataract", "Robotic", "Endoscopy", "Laparoscopy", "Overall macro", "Worst domain"), COLUMNS, strict=True)
)
STARTS = ("balanced", "raw", "scratch")
METHODS = {"probe": "frozen, attentive probe", "full": "everything trained"}
#: What the paper compares, and where it stands: (model, its rival).
PRINTED = (
    ("SurgRec-MAE", "SurgRec-MAE (w/o bal.)"),
    ("SurgRec-MAE", "VideoMAE"),
    ("SurgRec-JEPA", "JEPA"),
)


def tables(record: Mapping[str, Any]) -> dict[str, str]:
    """Every table of the page, by what it shows, as Markdown."""
    return {
        "corpora": _corpora(record["corpora"]),
        "pretraining": _pretraining(record["pretraining"]),
        **{f"scores {method}": _scores(record["arms"], method) for method in METHODS},
        **{f"differences {method}": _differences(record["differences"], method) for method in METHODS},
        "tasks": _tasks(record["arms"]),
        "paper": _paper(record["differences"]),
    }


def _corpora(corpora: Mapping[str, Any]) -> str:
    rows = [
        [seed, name, one["clips"], f"{one['gini_of_corpus']:.3f}", f"{one['gini']:.3f}", one["procedures"]]
        + [f"{100 * one['shares'][domain]:.0f}" for domain in COLUMNS[:4]]
        for seed, found in corpora.items()
        for name, one in found.items()
    ]
    head = ["seed", "sample", "clips", "Gini, corpus", "Gini, sample", "procedures", *(f"{d}, %" for d in COLUMNS[:4])]
    return _table(head, rows)


def _pretraining(runs: Mapping[str, Any]) -> str:
    rows = []
    for name, one in runs.items():
        losses = [f"{one[which]:.3f}" for which in ("first_loss", "last_loss")]
        watched = [f"{one['clip_std']:.2f}", f"{one['feature_rank']:.0f}", f"{one['largest_leak']:g}"]
        rows.append([name.replace("-", " "), *losses, *watched])
    head = ["encoder, seed", "loss, first 30 steps", "last 30", "`clip_std`", "`feature_rank`", "`leak`"]
    return _table(head, rows)


def _scores(arms: Mapping[str, Any], method: str) -> str:
    rows = []
    for arm, found in arms.items():
        family, start, own = arm.split()
        if own == method:
            cells = [f"{_percent(found[c]['mean'])} ({_percent(found[c]['low'])} to {_percent(found[c]['high'])})"
                     for c in COLUMNS]  # fmt: skip
            rows.append([f"{family.upper()}, {start}", *cells])
    return _table(["encoder", *COLUMNS], rows)


def _differences(differences: Mapping[str, Any], method: str) -> str:
    rows = []
    for pair, found in differences.items():
        if pair.endswith(f" {method}"):
            rows.append([_pair_name(pair, method), *(_signed(found[column]) for column in COLUMNS)])
    return _table(["difference", *COLUMNS], rows)


def _pair_name(pair: str, method: str) -> str:
    family, _, rest = pair.removesuffix(f" {method}").partition(" ")
    return f"{family.upper()}: {rest.replace(' - ', ' less ')}"


def _tasks(arms: Mapping[str, Any]) -> str:
    names = list(next(iter(arms.values()))["tasks"])
    head = ["encoder", *(name.removeprefix("rendered/").replace("/", ", ") for name in names)]
    first = next(iter(arms.values()))["tasks"]
    rows = [["always the most frequent class", *(_percent(first[name]["majority"]) for name in names)]]
    for arm, found in arms.items():
        family, start, method = arm.split()
        cells = [_percent(found["tasks"][name]["mean"]) for name in names]
        rows.append([f"{family.upper()}, {start}, {method}", *cells])
    return _table(head, rows)


def _paper(differences: Mapping[str, Any]) -> str:
    """The paper's differences by its table 4, and as they follow from table 2; ours of the same kind beneath."""
    rows = []
    for model, rival in PRINTED:
        for table, said in (("4", "paper, table 4"), ("4_recomputed_from_2", "paper, from table 2")):
            own, other = _printed(table, model), _printed(table, rival)
            rows.append([f"{model} less {rival}; {said}", *(f"{own[c] - other[c]:+.2f}" for c in COLUMNS)])
        start = "balanced - raw" if "bal" in rival else "balanced - scratch"
        for method in METHODS:
            pair = f"{'jepa' if 'JEPA' in model else 'mae'} {start} {method}"
            cells = [_signed(differences[pair][column]) for column in COLUMNS]
            rows.append([f"ours, {_pair_name(pair, method)}; {method}", *cells])
    return _table(["difference of Acc@1, points", *COLUMNS], rows)


def _printed(table: str, model: str) -> dict[str, float]:
    found = {
        HEADS[row.dataset]: row.value
        for row in published_rows("SurgRec", table)
        if row.model == model and row.dataset in HEADS and row.metric == "Acc@1"
    }
    return {column: float(value) for column, value in found.items() if value is not None}


def _table(head: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines).replace("| --- ", "|---")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _signed(one: Mapping[str, float]) -> str:
    return f"{100 * one['difference']:+.1f} ({100 * one['low']:+.1f} to {100 * one['high']:+.1f})"


def plot(record: Mapping[str, Any], path: Path) -> None:
    """Draw every difference with its interval: a row of panels for each family, a panel for each comparison."""
    from matplotlib.figure import Figure

    pairs = (("balanced", "raw"), ("balanced", "scratch"), ("raw", "scratch"))
    figure = Figure(figsize=(10, 5.2), layout="constrained")
    axes: Any = figure.subplots(2, 3, sharex=True, sharey=True)
    for row, family in enumerate(("mae", "jepa")):
        for column, (one, other) in enumerate(pairs):
            panel = axes[row, column]
            for shift, (method, said) in zip((-0.14, 0.14), METHODS.items(), strict=True):
                found = record["differences"][f"{family} {one} - {other} {method}"]
                middle = [100 * found[name]["difference"] for name in COLUMNS]
                reach = [
                    [100 * (found[name]["difference"] - found[name]["low"]) for name in COLUMNS],
                    [100 * (found[name]["high"] - found[name]["difference"]) for name in COLUMNS],
                ]
                places = [place + shift for place in range(len(COLUMNS))]
                panel.errorbar(middle, places, xerr=reach, fmt="o", markersize=4, capsize=2, label=said)
            panel.axvline(0, color="0.6", linewidth=1)
            panel.axhline(3.5, color="0.85", linewidth=1)
            panel.set_title(f"{family.upper()}: {one} less {other}", fontsize=10)
            panel.set_yticks(range(len(COLUMNS)), COLUMNS)
    axes[0, 0].invert_yaxis()  # all panels share it
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower right", fontsize=9)
    figure.supxlabel("difference of Acc@1 in points, 95 % interval", fontsize=10)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--plot", type=Path, help="also draw the differences into this file")
    said = parser.parse_args()
    record = json.loads(said.results.read_text(encoding="utf-8"))
    for name, table in tables(record).items():
        print(f"{name}\n\n{table}\n")
    if said.plot:
        plot(record, said.plot)


if __name__ == "__main__":
    main()
