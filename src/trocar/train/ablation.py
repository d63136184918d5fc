"""The rows of SAM2S's ablation (Liu et al. 2025, table 7) as settings: what of the method is on."""

from __future__ import annotations

from dataclasses import replace

from trocar.train.recipe import Recipe

#: Row -> whether DiveMem sampling, TSL and ARL are on; all are trained on the same data. The table's first row is
#: SAM 2 as it is published, without training.
TABLE_7 = {
    "sam2": (False, False, False),
    "divemem": (True, False, False),
    "tsl": (False, True, False),
    "divemem-tsl": (True, True, False),
    "sam2s": (True, True, True),
}

#: The rows of our own ablation: those of the table, and ARL alone.
ROWS = TABLE_7 | {"arl": (False, False, True)}


def ablated(recipe: Recipe, divemem: bool, tsl: bool, arl: bool) -> Recipe:
    """The recipe with each part of the method on or off, and nothing else changed.

    Without DiveMem clips are drawn as SAM 2 does and the network gets no codes for long-term memory, so it is to be run
    with the policy `recent`; with it half of the clips have long-term frames, and the policy is `divemem`.
    """
    slots = recipe.memory.long_term_slots or 1
    return replace(
        recipe,
        plan=replace(recipe.plan, kind="mixed" if divemem else "sam2"),
        memory=replace(recipe.memory, long_term_slots=slots if divemem else 0),
        semantic=replace(recipe.semantic, on=tsl),
        ambiguity=replace(recipe.ambiguity, on=arl),
    )
