"""Ids that last: each instance of a frame is given to a masklet, or begins one (SA-SV, section 3, step 1).

From frame to frame by overlap, as things lie and as the picture moved, and by colour; one-to-one (Hungarian
assignment). Then, in this order: pieces of a thing that fell apart join it, things that became one blob share it, a
thing that came back gets its id again, and a thing whose class changed for a moment keeps its id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from trocar.datasets.case import Mask
from trocar.datasets.sighting import Colours, Sighting, View, centre_of, covered, likeness, moved, overlap

Reason = Literal["one frame", "area jump", "close call", "merged", "split", "class flip", "gap", "no class"]

MEMORY = 0.8
"""How much of a masklet's colours stays when it is seen again."""

COVERED = 0.5
"""Which share of a piece, or of a masklet's expected place, must be covered for it to be taken for a part."""

BLOB = 0.6
"""IoU with the expected places of two masklets together, from which on an instance is taken for both in one blob."""


@dataclass(frozen=True)
class AssociationSettings:
    """How instances are given to masklets.

    Args:
        motion: whether masks are moved along with the picture before they are compared, and being near counts too.
        appearance: weight of colours against place, 0..1.
        least_score: what place and colours together must reach, 0..1.
        gap: for how many frames a masklet may be away and get its id again; 0 for none.
        gap_appearance: weight of colours against place after a gap.
        gap_score: what place and colours together must reach after a gap.
        parts: whether pieces that split off stay with their masklet, and masklets in one blob are kept apart.
        flip_overlap: IoU from which on an instance of another class is taken for the same thing; above 1 for never.
    """

    motion: bool = True
    appearance: float = 0.3
    least_score: float = 0.3
    gap: int = 60
    gap_appearance: float = 0.7
    gap_score: float = 0.5
    parts: bool = True
    flip_overlap: float = 0.5

    def __post_init__(self) -> None:
        for name in ("appearance", "least_score", "gap_appearance", "gap_score"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} lies in 0..1, not {getattr(self, name):g}")
        if self.gap < 0:
            raise ValueError(f"gap is 0 frames or more, not {self.gap}")


@dataclass(frozen=True)
class Event:
    """Something that a person may want to look at.

    Args:
        reason: its kind.
        suspicion: 0..1.
        note: a few words.
    """

    reason: Reason
    suspicion: float
    note: str = ""


@dataclass(eq=False)
class Masklet:
    """A thing in time, as far as it must be known to find it again."""

    number: int
    small: Mask  # where it was seen last
    colours: Colours
    last: int  # the step, from 0, on which it was seen last
    classes: Counter[str] = field(default_factory=Counter)
    latest_class: str = ""
    whole: bool = False

    @property
    def class_name(self) -> str:
        """The class that it has on most frames."""
        return self.classes.most_common(1)[0][0]

    @property
    def seen(self) -> int:
        """On how many frames it was seen."""
        return self.classes.total()


@dataclass(eq=False)
class Link:
    """What a masklet is on one frame."""

    masklet: Masklet
    sightings: list[Sighting]
    share: Mask | None = None  # the part of a shared blob that it has, small
    events: list[Event] = field(default_factory=list)

    @property
    def small(self) -> Mask:
        whole = np.any([one.small for one in self.sightings], axis=0)
        return np.asarray(whole if self.share is None else whole & self.share, np.bool_)

    def mask(self) -> Mask:
        """(rows, columns) bool at the frame's own size."""
        whole = np.asarray(np.any([one.instance.mask for one in self.sightings], axis=0), np.bool_)
        if self.share is None:
            return whole
        share = cv2.resize(self.share.astype(np.uint8), whole.shape[::-1], interpolation=cv2.INTER_NEAREST)
        return whole & (share > 0)


Number = Callable[[Sighting], int]
"""Gives the id of a new masklet from the sighting that it begins with."""


class Associator:
    """Gives the instances of frame after frame to masklets; remembers one small mask and histogram a masklet.

    Args:
        settings: see there.
        number: gives ids to new masklets.
        parts: whether an instance may be a piece of a thing, or several things; else each is one thing for certain.
    """

    def __init__(self, settings: AssociationSettings, number: Number, parts: bool = True) -> None:
        self._settings = settings
        self._parts = parts and settings.parts
        self._number = number
        self._masklets: dict[int, Masklet] = {}
        self._before: View | None = None
        self._expected: dict[int, Mask] = {}  # where masklets of the frame before are expected now
        self._step = -1

    def step(self, view: View, sightings: Sequence[Sighting]) -> list[Link]:
        """The masklets that are seen on the next frame."""
        self._step += 1
        self._expected = self._expectations(view)
        links: dict[int, Link] = {}
        left = self._take_certain(list(sightings), links)
        left = self._match_active(left, links, view)
        if self._parts:
            left = self._join_split(left, links)
            self._share_blobs(links)
        left = self._match_returned(left, links, view)
        left = self._match_flipped(left, links)
        for sighting in left:
            self._begin(sighting, links)
        self._note_replaced(links)
        for link in links.values():
            self._update(link)
        self._before = view
        reach = self._step - self._settings.gap
        self._masklets = {i: one for i, one in self._masklets.items() if one.whole or one.last >= reach}
        return sorted(links.values(), key=lambda link: link.masklet.number)

    def _expectations(self, view: View) -> dict[int, Mask]:
        """Where the masklets of the frame before are expected now."""
        active = [one for one in self._masklets.values() if one.last == self._step - 1]
        if not (active and self._settings.motion and self._before is not None and self._before.size == view.size):
            return {one.number: one.small for one in active if one.small.shape == view.size}
        where = view.came_from(self._before)
        return {one.number: moved(one.small, where) for one in active}

    def _take_certain(self, sightings: list[Sighting], links: dict[int, Link]) -> list[Sighting]:
        """Links of instances whose id is known; the others."""
        left = []
        wholes = {one.class_name: one for one in self._masklets.values() if one.whole}
        for sighting in sightings:
            known = sighting.instance.masklet
            masklet = wholes.get(sighting.instance.class_name) if sighting.instance.whole else None
            if known is not None and known in links:
                links[known].sightings.append(sighting)
            elif known is not None:
                links[known] = Link(self._masklets.get(known) or self._new(sighting, known), [sighting])
            elif masklet is not None and masklet.number not in links:
                links[masklet.number] = Link(masklet, [sighting])
            else:
                left.append(sighting)
        return left

    def _match_active(self, sightings: list[Sighting], links: dict[int, Link], view: View) -> list[Sighting]:
        active = [self._masklets[i] for i in self._expected if i not in links]

        def score(masklet: Masklet, sighting: Sighting) -> float:
            if sighting.instance.class_name not in (masklet.class_name, masklet.latest_class):
                return 0.0
            place = self._overlap(masklet, sighting)
            if self._settings.motion:
                place = max(place, 0.5 * _near(masklet.small, sighting, 0.08 * view.diagonal))
            weight = self._settings.appearance
            return (1 - weight) * place + weight * likeness(masklet.colours, sighting.colours) * (place > 0.02)

        for masklet, sighting, margin in _matches(active, sightings, score, self._settings.least_score):
            links[masklet.number] = link = Link(masklet, [sighting])
            if margin < 0.1:
                link.events.append(Event("close call", 0.8 - 4 * max(margin, 0.0), f"by {margin:.2f}"))
        return _without(sightings, links)

    def _overlap(self, masklet: Masklet, sighting: Sighting) -> float:
        """IoU with where it was or, whichever is more, where it is expected."""
        return max(overlap(one, sighting.small) for one in (masklet.small, self._expected[masklet.number]))

    def _join_split(self, sightings: list[Sighting], links: dict[int, Link]) -> list[Sighting]:
        """Pieces that lie where a masklet was expected, and make what is seen of it more like that, join it."""
        left = []
        for sighting in sorted(sightings, key=lambda one: -one.area):
            home = max(
                (link for link in links.values() if self._can_share(link, sighting.instance.class_name)),
                key=lambda link: covered(sighting.small, self._expected[link.masklet.number]),
                default=None,
            )
            if home is None or not _fits_better(self._expected[home.masklet.number], home.small, sighting.small):
                left.append(sighting)
                continue
            home.sightings.append(sighting)
            home.events.append(Event("split", 0.35, f"{len(home.sightings)} pieces"))
        return [one for one in sightings if one in left]

    def _can_share(self, link: Link, class_name: str) -> bool:
        masklet = link.masklet
        return (
            masklet.number in self._expected
            and not masklet.whole
            and masklet.class_name == class_name
            and link.sightings[0].instance.masklet is None
        )

    def _share_blobs(self, links: dict[int, Link]) -> None:
        """Masklets that lie in a blob with another one get their part of it."""
        for number in [i for i in self._expected if i not in links]:
            masklet, expected = self._masklets[number], self._expected[number]
            hosts = [link for link in links.values() if self._can_share(link, masklet.class_name)]
            host = max(hosts, key=lambda link: covered(expected, link.small), default=None)
            if host is None or covered(expected, host.small) < COVERED:
                continue
            place = self._expected[host.masklet.number]
            if overlap(host.small, place | expected) <= max(BLOB, overlap(host.small, place)):
                continue  # it is hidden behind the other
            mine = _distance(expected) < _distance(place)
            share = np.ones_like(mine) if host.share is None else host.share
            if not ((host.small & mine).any() and (host.small & ~mine).any()):
                continue
            names = f"{host.masklet.number} and {number}"
            links[number] = Link(masklet, host.sightings, share & mine, [Event("merged", 0.7, names)])
            host.share = share & ~mine
            host.events.append(Event("merged", 0.7, names))

    def _match_returned(self, sightings: list[Sighting], links: dict[int, Link], view: View) -> list[Sighting]:
        away = [one for one in self._masklets.values() if not one.whole and one.number not in links]
        away = [one for one in away if self._settings.gap and one.last < self._step]

        def score(masklet: Masklet, sighting: Sighting) -> float:
            if sighting.instance.class_name not in (masklet.class_name, masklet.latest_class):
                return 0.0
            near = _near(masklet.small, sighting, 0.25 * view.diagonal)
            weight = self._settings.gap_appearance
            return (1 - weight) * near + weight * likeness(masklet.colours, sighting.colours)

        for masklet, sighting, margin in _matches(away, sightings, score, self._settings.gap_score):
            frames = self._step - masklet.last - 1
            suspicion = 0.5 if margin > 0.2 else 0.8
            links[masklet.number] = Link(masklet, [sighting], None, [Event("gap", suspicion, f"{frames} frames")])
        return _without(sightings, links)

    def _match_flipped(self, sightings: list[Sighting], links: dict[int, Link]) -> list[Sighting]:
        lost = [self._masklets[i] for i in self._expected if i not in links]
        lost = [one for one in lost if not one.whole]

        def score(masklet: Masklet, sighting: Sighting) -> float:
            return 0.0 if sighting.instance.whole else self._overlap(masklet, sighting)

        for masklet, sighting, _ in _matches(lost, sightings, score, self._settings.flip_overlap):
            note = f"{masklet.class_name} to {sighting.instance.class_name}"
            links[masklet.number] = Link(masklet, [sighting], None, [Event("class flip", 0.9, note)])
        return _without(sightings, links)

    def _note_replaced(self, links: dict[int, Link]) -> None:
        """Doubt what lies where a masklet of another class was that is gone: perhaps one of the two is mislabelled."""
        for number in [i for i in self._expected if i not in links]:
            gone = self._masklets[number]
            for link in links.values():
                other = link.sightings[0].instance.class_name != gone.latest_class
                if other and self._overlap(gone, link.sightings[0]) >= self._settings.flip_overlap:
                    link.events.append(Event("class flip", 0.7, f"where {number}, {gone.class_name}, was"))

    def _begin(self, sighting: Sighting, links: dict[int, Link]) -> None:
        masklet = self._new(sighting, self._number(sighting))
        links[masklet.number] = Link(masklet, [sighting])

    def _new(self, sighting: Sighting, number: int) -> Masklet:
        whole = sighting.instance.whole
        return Masklet(number, sighting.small, sighting.colours, self._step, whole=whole)

    def _update(self, link: Link) -> None:
        """Remember how a masklet looks now."""
        masklet, newest = link.masklet, link.sightings[0]
        masklet.small, masklet.last = link.small, self._step
        masklet.latest_class = newest.instance.class_name
        masklet.classes[masklet.latest_class] += 1
        if link.share is None:  # colours of a blob are those of several things
            masklet.colours = MEMORY * masklet.colours + np.float32(1 - MEMORY) * newest.colours
        self._masklets[masklet.number] = masklet


def _matches(
    masklets: list[Masklet], sightings: list[Sighting], score: Callable[[Masklet, Sighting], float], least: float
) -> list[tuple[Masklet, Sighting, float]]:
    """The best one-to-one choice of pairs that score `least` or more, each with how much it is better than another."""
    scores = np.array([[score(one, other) for other in sightings] for one in masklets], np.float64)
    scores = scores.reshape(len(masklets), len(sightings))
    scores[scores < max(least, 1e-9)] = 0
    rows, columns = linear_sum_assignment(scores, maximize=True)
    chosen = {int(r): int(c) for r, c in zip(rows, columns, strict=True) if scores[r, c] > 0}
    return [(masklets[r], sightings[c], _margin(scores, chosen, r)) for r, c in chosen.items()]


def _margin(scores: NDArray[np.float64], chosen: dict[int, int], row: int) -> float:
    """By how much the choice beats the best one in which this row swaps with another, or takes what is left."""
    column = chosen[row]
    worse = [float(scores[row, column])]
    for other, its in chosen.items():
        if other != row and scores[row, its] > 0 and scores[other, column] > 0:
            worse.append(scores[row, column] + scores[other, its] - scores[row, its] - scores[other, column])
    worse += [scores[row, column] - scores[other, column] for other in range(len(scores)) if other not in chosen]
    free = set(range(scores.shape[1])) - set(chosen.values())
    worse += [scores[row, column] - scores[row, other] for other in free]
    return float(min(worse))


def _without(sightings: list[Sighting], links: dict[int, Link]) -> list[Sighting]:
    taken = {id(one) for link in links.values() for one in link.sightings}
    return [one for one in sightings if id(one) not in taken]


def _near(small: Mask, sighting: Sighting, reach: float) -> float:
    """How near and how equal in size a sighting is, 0..1; the centre `reach` pixels off gives 0.37."""
    x, y = centre_of(small)
    area = int(np.count_nonzero(small))
    far = np.hypot(x - sighting.centre[0], y - sighting.centre[1])
    sizes = min(area, sighting.area) / max(area, sighting.area, 1)
    return float(np.exp(-far / reach) * np.sqrt(sizes))


def _fits_better(expected: Mask, seen: Mask, piece: Mask) -> bool:
    """Whether what is seen of a thing is more like what is expected with a piece, of which most is expected."""
    return covered(piece, expected) >= COVERED and overlap(expected, seen | piece) > overlap(expected, seen)


def _distance(mask: Mask) -> NDArray[np.float32]:
    """Distance to a mask, negative inside it, pixels."""
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5)
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(outside - inside, np.float32)
