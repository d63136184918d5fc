"""`self_sorting`: MedSAM-2's bank, without order: masks that are trusted and unlike each other (Zhu et al. 2024).

Read: members of the bank, drawn with replacement and more often the more they resemble the image; no temporal code, no
pointers. Kept: the bank, at most K entries, and what waits to be sorted into it before the next frame is read.

Variant `paper`: an entry with predicted IoU >= c_thresh joins the bank; of K + 1 members the one whose dissimilarities
(1 - cosine) to all the others add up to the least leaves (of equals the newest). K draws, with probabilities
proportional to the cosine of the image's embedding and the member's (equation 4; negative cosines count as 0).

Variant `released-2d`: the first K entries join untested. Then let i be the member least like the newcomer and j the one
most like i: where cos(new, i) < cos(i, j) and IoU_new > IoU_j - 0.1 the newcomer takes j's place, else it is dropped.
As many draws as images in a batch, which is one here; probabilities are the softmax of the cosines. One candidate is
decoded, and the feature that memory attention has conditioned is what is encoded and what is kept as the embedding.

Differs in `corrected` mode (the default): prompted entries stand beside the bank and are always read, once each, so
that the template is never forgotten, and entries without the object do not join. In `faithful` mode a prompted entry
joins from its own frame on like any other and may leave, absence bars nobody, and with `released-2d` every object
counts as present. In both modes draws are seeded and each object has its own bank for each pass, where the release
carries one on from image to image; before the first entry the network adds its learned no-memory embedding, where the
release adds nothing. The released 3-D code has no such bank, only SAM 2's window.

Open points: the paper gives no number for K and c_thresh and does not say which embedding E is. Here K is 16, as in the
release, c_thresh is 0.5, and E is the raw image embedding in both its roles (`diversity="memory"` measures
dissimilarity on the spatial memories, as the release does).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from trocar.memory.bounds import check_choices, check_least, check_window
from trocar.memory.seam import (
    Candidates,
    Choice,
    EntryId,
    FrameView,
    MemoryEntry,
    PolicySpec,
    ReadPlan,
    Record,
    SpatialItem,
    Visit,
    best_candidate,
)
from trocar.memory.sorting import (
    least_dissimilar,
    likeness,
    proportional,
    release_victim,
    shares,
    softmax,
    unit_vectors,
)
from trocar.memory.window import (
    PROMPTED_SLOT,
    by_distance,
    note,
    pointer_bound,
    pointer_items,
    unselected,
)


@dataclass(eq=False)
class SelfSorting:
    """MedSAM-2's bank.

    Neutral: `bank=0, window=6, max_pointers=16` is `recent` (with `released-2d` also `feature="raw", multimask=True`).
    The paper's Table 3 adds its parts one by one: `min_iou=0, keep="newest", sampling="all"` has none of them; then the
    IoU confidence threshold is `min_iou`, dissimilar templates are `keep="diverse"`, memory resampling is
    `sampling="draw"`.

    Args:
        mode: "corrected" or "faithful", see above.
        variant: "paper" or "released-2d", see above. Knobs that are None take the variant's own value.
        bank: K, how many members at most (`memory_bank_size` = 16); 0 for no bank.
        min_iou: c_thresh, the least predicted IoU to join (paper: no number, 0.5 here; release: no test, 0).
        keep: who stays in a full bank: "diverse", or the "newest" instead.
        diversity: what dissimilarity is measured on, the "image" embedding (paper) or the spatial "memory" (release).
        margin: by how much a newcomer's predicted IoU may lie below its victim's (release: 0.1).
        sampling: "draw" at random; by "weights", without chance: each member as often as its probability's share of
            the draws, by largest remainder; or "all" members once each.
        draws: how many (paper: K; release: the batch size, 1 here).
        temperature: divides the cosines before the softmax (release: none, 1); the paper's rule has no softmax.
        window: recent frames read beside the bank, with SAM 2's slots for them and for the prompts (published: 0).
        max_pointers: bound on the distance of pointers, as in `recent` (published: 0, none).
        max_prompted: prompts that are always read at most, those most like the image; None for all of them.
        feature: what is encoded and kept as the embedding, the "raw" (paper) or the "conditioned" (release) one.
        multimask: whether three candidates are decoded (paper: as SAM 2, yes; release: no).
    """

    mode: Literal["corrected", "faithful"] = "corrected"
    variant: Literal["paper", "released-2d"] = "paper"
    bank: int = 16
    min_iou: float | None = None
    keep: Literal["diverse", "newest"] = "diverse"
    diversity: Literal["image", "memory"] | None = None
    margin: float = 0.1
    sampling: Literal["draw", "weights", "all"] = "draw"
    draws: int | None = None
    temperature: float = 1.0
    window: int = 0
    max_pointers: int = 0
    max_prompted: int | None = None
    feature: Literal["raw", "conditioned"] | None = None
    multimask: bool | None = None

    prompted: dict[int, EntryId] = field(default_factory=dict, init=False)  # by time
    tracked: dict[int, EntryId] = field(default_factory=dict, init=False)  # the window's, in the order of writing
    members: dict[int, EntryId] = field(default_factory=dict, init=False)  # the bank's, in the order they joined
    waiting: dict[int, EntryId] = field(default_factory=dict, init=False)  # to be sorted in before the next frame

    def __post_init__(self) -> None:
        check_choices(self)
        check_window(self, max_pointers=0, max_prompted=1)
        check_least(self, {"bank": int(self.mode == "faithful"), "draws": 1})
        if self.temperature <= 0:
            raise ValueError(f"temperature is above 0, not {self.temperature}")

    @property
    def paper(self) -> bool:
        """Whether the paper's rules hold, and not the release's."""
        return self.variant == "paper"

    @property
    def spec(self) -> PolicySpec:
        feature = self.feature or ("raw" if self.paper else "conditioned")
        compared = self.bank > 0 or self.max_prompted is not None
        multimask = self.paper if self.multimask is None else self.multimask
        return PolicySpec(feature, keep_feature=feature if compared else "none", multimask=multimask)

    def read(self, visit: Visit, query: FrameView) -> list[ReadPlan]:
        self._sort_in(query.entries)
        pinned = self._pinned(query)
        others = self.tracked | unselected(self.prompted, pinned)
        spatial = [SpatialItem(entry, PROMPTED_SLOT if self.window else None) for entry in pinned.values()]
        spatial += [SpatialItem(entry, None) for entry in self._drawn(query)]
        spatial += by_distance(others, visit, self.window)
        bound = pointer_bound(visit, self.max_pointers, self.mode)
        return [ReadPlan(tuple(spatial), pointer_items(pinned, others, visit, bound))]

    def choose(self, visit: Visit, candidates: list[Candidates]) -> list[Choice]:
        best = best_candidate(candidates)[0]
        knows_absence = self.mode == "corrected" or self.paper
        return [Choice(best.parent, best.candidate, present=best.present or not knows_absence)]

    def write(self, visit: Visit, records: list[Record]) -> None:
        entry = records[0].entry
        note(entry, self.prompted, self.tracked, max(self.window, self.max_pointers - 1, 0))
        if self.members.get(entry.time) == entry.id:
            return
        self.members.pop(entry.time, None)
        self.waiting.pop(entry.time, None)
        if self.mode == "corrected":
            joins = entry.role == "tracked" and entry.present
        else:
            joins = visit.distance(entry.time) >= 0  # a prompt is known of before its frame
        own = 0.5 if self.paper else 0.0
        if joins and self.bank and entry.iou >= (own if self.min_iou is None else self.min_iou):
            self.waiting[entry.time] = entry.id

    def live(self) -> set[EntryId]:
        books = (self.prompted, self.tracked, self.members, self.waiting)
        return {entry for book in books for entry in book.values()}

    def _sort_in(self, entries: Mapping[EntryId, MemoryEntry]) -> None:
        for time, entry in self.waiting.items():
            self.members[time] = entry
            if len(self.members) > self.bank:
                del self.members[self._leaving([entries[name] for name in self.members.values()])]
        self.waiting = {}

    def _leaving(self, candidates: list[MemoryEntry]) -> int:
        """The time of the one that a full bank gives up, among its members and the newcomer, which is the last."""
        if self.keep == "newest":
            return candidates[0].time
        diversity = self.diversity or ("image" if self.paper else "memory")
        units = unit_vectors(one.spatial if diversity == "memory" else one.feature for one in candidates)
        if self.paper:
            return candidates[least_dissimilar(units)].time
        return candidates[release_victim(units, [one.iou for one in candidates], self.margin)].time

    def _pinned(self, query: FrameView) -> dict[int, EntryId]:
        """The prompts that are read whatever the bank holds, by time."""
        if self.mode == "faithful":
            return {}
        if self.max_prompted is None or len(self.prompted) <= self.max_prompted:
            return dict(self.prompted)
        cosines = likeness(query.feature, (query.entries[name].feature for name in self.prompted.values()))
        order = sorted(range(len(cosines)), key=lambda index: -cosines[index])[: self.max_prompted]
        return {time: entry for index, (time, entry) in enumerate(self.prompted.items()) if index in order}

    def _drawn(self, query: FrameView) -> list[EntryId]:
        members = list(self.members.values())
        if self.sampling == "all" or not members:
            return members
        cosines = likeness(query.feature, (query.entries[name].feature for name in members))
        probability = proportional(cosines) if self.paper else softmax(cosines, self.temperature)
        draws = self.draws or (self.bank if self.paper else 1)
        by_chance = self.sampling == "draw"
        times = query.rng.multinomial(draws, probability) if by_chance else shares(probability, draws)
        return [name for name, count in zip(members, times, strict=True) for _ in range(count)]
