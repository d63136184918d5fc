"""Figures of several tasks: means of domains, and differences between two runs with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.metrics.recognition import domain_macro

DRAWS = 4000
OVERALL, WORST = "macro", "worst"


def summary(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Acc@1 of domains, their mean and the worst of them: mean, lowest and highest over the seeds.

    A domain is the plain mean of its tasks, the macro score the plain mean of the domains (SurgRec, table 4).
    """
    by_seed: dict[int, dict[str, float]] = {}
    for seed in sorted({cell["seed"] for cell in cells}):
        own = [cell for cell in cells if cell["seed"] == seed]
        score = domain_macro(
            {cell["task"]: cell["scores"]["top1"] for cell in own}, {cell["task"]: cell["domain"] for cell in own}
        )
        by_seed[seed] = {**score.domains, OVERALL: score.overall, WORST: score.domains[score.worst]}
    names = next(iter(by_seed.values())) if by_seed else {}
    return {
        name: {
            "mean": float(np.mean([found[name] for found in by_seed.values()])),
            "low": min(found[name] for found in by_seed.values()),
            "high": max(found[name] for found in by_seed.values()),
            "seeds": len(by_seed),
        }
        for name in names
    }


def difference(
    results: Mapping[str, Any], reference: Mapping[str, Any], draws: int = DRAWS
) -> dict[str, dict[str, float]]:
    """How much better one run is than another, by task, domain, macro and worst, each with a 95 % interval.

    Both are of the same clips and seeds. The interval is a percentile bootstrap that draws seeds, which all tasks
    share, and each task's clips anew, paired (Efron 1979; Owen 2007). With three seeds their spread is understated.

    Raises:
        ValueError: the two are not of the same clips and seeds.
    """
    own, other = _tables(results), _tables(reference)
    if {task: table[0].shape for task, table in own.items()} != {task: table[0].shape for task, table in other.items()}:
        raise ValueError("the two runs have other tasks, seeds or clips: run both by one recipe but for the encoder")
    for task in own:
        if not np.array_equal(own[task][2], other[task][2]):
            raise ValueError(f"the two runs have other test clips of {task}: run both by one recipe")
    domains = {task: table[1] for task, table in own.items()}
    rng = np.random.default_rng(0)
    seeds = next(iter(own.values()))[0].shape[0]
    first = _scores(own, domains, None, None) - _scores(other, domains, None, None)
    drawn = []
    for _ in range(draws):
        runs = _drawn(rng, seeds)
        clips = {task: _drawn(rng, table[0].shape[1]) for task, table in own.items()}
        drawn.append(_scores(own, domains, runs, clips) - _scores(other, domains, runs, clips))
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    names = [*domains, *dict.fromkeys(domains.values()), OVERALL, WORST]
    return {
        name: {"difference": float(first[place]), "low": float(low[place]), "high": float(high[place])}
        for place, name in enumerate(names)
    }


def _drawn(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    return rng.integers(count, size=(count,))


Table = tuple[NDArray[np.float64], str, NDArray[np.int64]]


def _tables(results: Mapping[str, Any]) -> dict[str, Table]:
    """Task -> (seeds, clips) whether it was right, its domain, and the truth."""
    found: dict[str, Table] = {}
    for task in dict.fromkeys(cell["task"] for cell in results["cells"]):
        own = sorted((cell for cell in results["cells"] if cell["task"] == task), key=lambda cell: int(cell["seed"]))
        right = [np.array(cell["predictions"]) == np.array(cell["labels"]) for cell in own]
        found[task] = (np.array(right, np.float64), own[0]["domain"], np.array(own[0]["labels"], np.int64))
    return found


def _scores(
    tables: Mapping[str, Table],
    domains: Mapping[str, str],
    runs: NDArray[np.int64] | None,
    clips: Mapping[str, NDArray[np.int64]] | None,
) -> NDArray[np.float64]:
    """Acc@1 of each task, each domain, macro and worst."""
    tasks = {}
    for task, (right, _, _) in tables.items():
        chosen = right if runs is None or clips is None else right[np.ix_(runs, clips[task])]
        tasks[task] = float(chosen.mean())
    score = domain_macro(tasks, domains)
    worst = score.domains[score.worst]
    return np.array([*tasks.values(), *score.domains.values(), score.overall, worst])
