"""One-prompt segmentation of image sets (MedSAM-2, table 2 and figure 5): a few prompted images, others from memory.

What a draw is, and what stands beside it, is said in `trocar.bench.one_prompt`. What the paper leaves open, and what is
done here:

* Templates are drawn by chance, in five draws with prompts and orders of their own; the paper's 2-D tables prompt with
  probability 0.30 and its one-prompt figures a single image.
* Prompts are the true mask and its tight box. The paper's come from users, of whom some clicked; that is not repeated.
* A draw's figure is the mean Dice of the images after its templates; a cell is the mean of the draws, with their
  standard deviation, least and largest beside it.
* A whole set is one case: it is scored anew where a run was interrupted. `--limit` counts its images.
* Every image must show every class of its set; pictures are scored, volumes are not taken apart into slices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from trocar.bench.challenge import sources_of
from trocar.bench.masklets import truth_of
from trocar.bench.one_prompt import Drawn, LabelledImage, OnePromptOptions, score_one_prompt, told
from trocar.bench.protocol import Scored, Source
from trocar.bench.results import Cell, Row, mean_cells
from trocar.datasets import Case
from trocar.frames import Frame
from trocar.load import load_dataset
from trocar.model.network import Network

NAMED = {"self_sorting:bank=0": "templates alone", "self_sorting": "growing bank"}
"""Memories by what tables call them; others by their own name."""


@dataclass(frozen=True)
class OnePrompt:
    """One-prompt segmentation.

    Args:
        subsets: SUBSET=DATASET/SPLIT each, an image set each.
        templates: how many prompted images, a row each.
        prompts: what a template is prompted with.
        memories: as for `load_memory`.
        draws: orders of the images.
        seed: of the first draw.
    """

    title: ClassVar[str] = "Image sets from a few prompted images"
    published: ClassVar[tuple[tuple[str, str], ...]] = (("MedSAM-2", "2"),)

    subsets: tuple[str, ...] = ("WBC=wbc/dataset1",)
    templates: tuple[int, ...] = (1, 3, 5)
    prompts: tuple[Literal["mask", "box"], ...] = ("mask", "box")
    memories: tuple[str, ...] = tuple(NAMED)
    draws: int = 5
    seed: int = 0

    def sources(self) -> Sequence[Source]:
        """The sets.

        Raises:
            ValueError: a data set has no pictures, or its ids are not classes.
        """
        found = sources_of(self.subsets, "picture")
        for source in found:
            if load_dataset(source.dataset).ids != "classes":
                raise ValueError(f"{source.dataset} has other ids than classes: images share what is to be found")
        return found

    def joined(self, cases: Sequence[Case], source: Source) -> list[Case]:
        """A set as one case: its pictures are the frames."""
        return [
            Case(
                source.split,
                len(cases),
                lambda: _pictures(cases),
                lambda frame: cases[frame].truth(0),
                cases[0].objects,
            )
        ]

    def score(self, network: Network, case: Case, source: Source) -> Scored:
        """Score all draws of a set.

        Raises:
            ValueError: an image does not show every class, or there are not more images than templates.
        """
        pictures = case.open()
        images = [_labelled(case, pictures[place]) for place in range(case.frames)]
        memories = tuple((NAMED.get(spec, spec), spec) for spec in self.memories)
        options = OnePromptOptions(self.templates, self.draws, self.prompts, memories, self.seed)
        rows: list[Row] = []
        for (method, (target, prompt, count)), draws in score_one_prompt(network, images, options).items():
            said = f", {count} template{'s' if count > 1 else ''}" if count else ""
            place = ("", target, f"{method}, {target}, {prompt}{said}")
            for number, draw in enumerate(draws):
                where = (source.dataset, source.subset, f"{case.name}/draw {number}")
                rows.append(Row(*where, *place, "Dice", float(np.mean(draw.dices))))
            for metric, value in told(draws).items():
                rows.append(Row(source.dataset, source.subset, case.name, *place, metric, value))
        first = [row.value for row in rows if (row.setting, row.metric) == (rows[0].setting, "Dice")]
        return Scored(rows, float(np.mean(first)))

    def cells(self, rows: Sequence[Row]) -> list[Cell]:
        """Means over draws, and how much draws differ."""
        cells = []
        for cell in mean_cells(rows, "cases"):
            cells.append(cell)
            if cell.metric == "Dice":
                where = (cell.subset, cell.setting, cell.metric)
                draws = [row.value for row in rows if (row.subset, row.setting, row.metric) == where]
                spread = {"sd": float(np.std(draws, ddof=1))} if len(draws) > 1 else {}
                for name, value in {**spread, "least": min(draws), "largest": max(draws)}.items():
                    cells.append(replace(cell, metric=f"Dice {name}", value=value, low=None, high=None))
        return cells


def _pictures(cases: Sequence[Case]) -> Drawn:
    return Drawn([LabelledImage(case.name, case.open()[0].image, {}) for case in cases], range(len(cases)))


def _labelled(case: Case, frame: Frame) -> LabelledImage:
    masks = truth_of(case, frame.index).masks
    for number, name in case.objects.items():
        if number not in masks or not masks[number].any():
            raise ValueError(f"{frame.name} shows no {name}: name a set whose images show every class")
    return LabelledImage(
        str(frame.name), frame.image, {case.objects[number]: masks[number] for number in sorted(masks)}
    )


PROTOCOL = OnePrompt
