"""The training data of a run: cases of data sets and rendered scenes, read when they are drawn.

Every case is accounted for: used, used for images or clips alone, or left out and named with the reason. Nothing takes
the place of a case that cannot be used.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from trocar.datasets import DATASETS, Case, Dataset
from trocar.datasets.check import one_line
from trocar.load import load_dataset
from trocar.train.clips import Draw, Drawn, Draws
from trocar.train.corpus_report import Skipped, SourceUse
from trocar.train.footage import CaseFootage, ClipFootage, Footage, Gathered, Kept, unpacked
from trocar.train.modalities import MODALITIES
from trocar.train.plan import UnfitCase, draw_plan
from trocar.train.recipe import Recipe
from trocar.train.render import read_scene, scene_files
from trocar.train.sampling import Balanced, Entry, Sampling

SCENES = "scenes"
Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class Corpus:
    """What a run draws from.

    Args:
        draws: for steps on images and on clips.
        uses: what became of each source.
    """

    draws: Draws
    uses: tuple[SourceUse, ...]


def open_corpus(recipe: Recipe, folder: Path, say: Say = lambda message: None) -> Corpus:
    """List, survey and sort the data that a recipe asks for.

    Args:
        recipe: its `data`, `sampling`, `plan` and `stages`. A key of `data` is "scenes", a data set, or DATASET/SPLIT.
        folder: for what is made from the data: rendered scenes in "scenes", volumes as arrays in "unpacked".
        say: is told, once for each case, what goes wrong while training; the case is drawn again all the same.

    Raises:
        ValueError: there is no such source, or a source or a kind of step has nothing to train on.
        FileNotFoundError: a source's folder is missing.
    """
    kept, wanted = Kept(recipe.sampling.cache_mb), _kinds(recipe)
    pools: dict[str, list[Entry]] = {kind: [] for kind in wanted}
    uses = []
    for name in sorted(name for name, share in recipe.data.items() if share > 0):
        use, found = _sorted_cases(_source(name, recipe, folder, kept), recipe, wanted)
        for kind in wanted:
            pools[kind] += found[kind]
        uses.append(use)
        if not use.images and not use.clips:
            raise ValueError(f"{name} has nothing to train on ({use.where}): {_reasons(use)}")
    for kind, pool in pools.items():
        if not pool:
            said = "; ".join(f"{use.source}: {_reasons(use)}" for use in uses)
            raise ValueError(f"the recipe trains on {kind} and its data have none: {said}")
    told: set[tuple[str, str]] = set()
    draw = {kind: _drawing(pool, recipe, say, told) for kind, pool in pools.items()}
    one = next(iter(draw.values()))
    return Corpus(Draws(draw.get("images", one), draw.get("clips", one)), tuple(uses))


def _kinds(recipe: Recipe) -> tuple[str, ...]:
    """The kinds of steps that a recipe has."""
    images = any(stage.clip_share < 1 for stage in recipe.stages)
    clips = any(stage.clip_share > 0 for stage in recipe.stages)
    return ("images",) * images + ("clips",) * clips


def _reasons(use: SourceUse) -> str:
    said = [f"{count} of {use.cases} cases: {reason}, such as {case}" for reason, _, count, case in use.reasons()]
    return "; ".join(said[:3]) or f"{use.cases} cases, none of this kind"


@dataclass(frozen=True, eq=False)
class _Source:
    """A source with all its cases, before they are looked at."""

    name: str
    where: str
    entries: Sequence[Entry]
    survey: bool
    gathered: bool = False


def _source(name: str, recipe: Recipe, folder: Path, kept: Kept) -> _Source:
    sampling = recipe.sampling
    if name == SCENES:
        place, frames = recipe.scene_shape.folder(folder), recipe.scene_shape.frames
        entries = [
            Entry(name, path.stem, partial(_scene, path), frames, (), MODALITIES[name], path.stem)
            for path in scene_files(place)[: recipe.scenes]
        ]
        return _Source(name, str(place), entries, survey=False)  # we rendered them ourselves
    own, _, split = name.partition("/")
    if own not in DATASETS:
        near = difflib.get_close_matches(own, [SCENES, *DATASETS], n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"no source of clips is called {own!r}: {hint}choose from {', '.join([SCENES, *DATASETS])}")
    dataset, split = load_dataset(own), split or sampling.split
    place = sampling.place(dataset)
    shelf = _Shelf(name, dataset, kept, folder / "unpacked" / dataset.name / split)
    entries = [shelf.entry(case, sampling) for case in dataset.read(place, split)]
    gathered = sampling.gathered and dataset.frames == "picture" and dataset.ids == "classes"
    return _Source(name, f"{place}, split {split}", entries, sampling.survey, gathered)


def _scene(path: Path) -> Footage:
    return ClipFootage(read_scene(path))


@dataclass(frozen=True, eq=False)
class _Shelf:
    """Where the cases of a data set are read from.

    Args:
        key: of the source in `[data]`.
        kept: frames of all sources.
        made: folder for its volumes as arrays.
    """

    key: str
    dataset: Dataset
    kept: Kept
    made: Path

    def open(self, case: Case) -> Footage:
        if self.dataset.frames == "volume":
            return unpacked(case, self.made)
        return CaseFootage(case, self.kept, f"{self.key}/{case.name}", self.dataset.ids != "instances")

    def entry(self, case: Case, sampling: Sampling) -> Entry:
        tasks = "task" in sampling.balance
        classes = tuple(name for name in case.objects.values() if name not in sampling.without) if tasks else ()
        modality, frames = MODALITIES[self.dataset.name], len(case.annotated_frames)
        return Entry(self.key, case.name, partial(self.open, case), frames, classes, modality, case.group)


def _sorted_cases(source: _Source, recipe: Recipe, wanted: Sequence[str]) -> tuple[SourceUse, dict[str, list[Entry]]]:
    """Each case of a source in the pools that it fits, and an account of all."""
    pools: dict[str, list[Entry]] = {kind: [] for kind in ("images", "clips")}
    together = sum(entry.frames for entry in source.entries) if source.gathered else 0
    skipped, used = [], {}
    for entry in source.entries:
        fault = _fault(entry, source.survey)
        unfit = {kind: fault or _unfit(entry, kind, recipe, together) for kind in wanted}
        fits = [kind for kind in wanted if unfit[kind] is None]
        for kind in fits:
            pools[kind].append(entry)
            used[entry.name] = entry.frames
        if len(fits) < len(wanted):
            reason = next(said for said in unfit.values() if said is not None)
            skipped.append(Skipped(entry.name, reason, fits[0] if fits else ""))
    images, clips = len(pools["images"]), len(pools["clips"])
    frames = sum(used.values())
    use = SourceUse(source.name, source.where, len(source.entries), images, clips, frames, tuple(skipped))
    if source.gathered and pools["clips"]:
        pools["clips"] = [_gathered(source.name, pools["clips"])]
    return use, pools


def _fault(entry: Entry, survey: bool) -> str | None:
    """Why a case cannot be used at all."""
    if not survey:
        return None if entry.frames else "it has no annotated frame"
    try:
        footage = entry.open()
        if not len(footage):
            return "it has no annotated frame"
        shown = any(footage.frame(place).labels.any() for place in _spread(len(footage)))
    except (ValueError, OSError) as error:
        return one_line(error)
    return None if shown else "no frame shows an object"


def _spread(length: int) -> Iterator[int]:
    """All frames, first those that are likely to show something."""
    first = dict.fromkeys((0, length // 2, length - 1))
    yield from first
    yield from (place for place in range(length) if place not in first)


def _unfit(entry: Entry, kind: str, recipe: Recipe, together: int) -> str | None:
    """Why a case that is sound cannot be used for one kind of steps; `together`, if above 0, frames make one clip."""
    if kind == "images":
        single = entry.frames == 1 or recipe.sampling.images == "any"
        return None if single else "it is no single picture, and sampling.images asks for these"
    try:
        ordered = bool(together) or recipe.plan.least_frames == 1 or entry.open().ordered
        draw_plan(recipe.plan, together or entry.frames, ordered, np.random.default_rng(0))
    except (UnfitCase, OSError, ValueError) as error:
        return one_line(error)
    return None


def _gathered(name: str, entries: Sequence[Entry]) -> Entry:
    """All pictures of a set as one case."""
    footage = Gathered(name, [one.open() for one in entries])
    classes = tuple(sorted({name for one in entries for name in one.classes}))
    return replace(entries[0], name=name, open=lambda: footage, frames=len(footage), classes=classes, group=name)


def _drawing(pool: Sequence[Entry], recipe: Recipe, say: Say, told: set[tuple[str, str]]) -> Draw:
    balanced = Balanced(pool, recipe.sampling, recipe.data)

    def tell(entry: Entry, error: Exception) -> None:
        key = (entry.source, entry.name)
        if key not in told:
            told.add(key)
            say(f"{entry.source}: {entry.name} was drawn and cannot be used: {one_line(error)}")

    def draw(rng: np.random.Generator) -> Drawn:
        entry, task = balanced.draw(rng)
        return Drawn(partial(_opened, entry, rng), task, partial(tell, entry))

    return draw


def _opened(entry: Entry, rng: np.random.Generator) -> Footage:
    footage = entry.open()
    return footage.shuffled(rng) if isinstance(footage, Gathered) else footage
