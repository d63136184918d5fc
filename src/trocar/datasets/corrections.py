"""Corrected masks, laid over what a data set says before ids are given (SA-SV, section 3, step 3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trocar.datasets.case import Mask
from trocar.datasets.class_names import ClassNames
from trocar.datasets.sighting import Instance, covered
from trocar.formats.mask_set import MaskSet
from trocar.masks.rle import Rle, from_rle, to_rle

REPLACED = 0.5
"""An instance of the same class that loses a larger share of itself to a correction is what was corrected."""


@dataclass(frozen=True)
class Corrected:
    """One corrected mask: its code, and its class as the file says it, "" if it does not."""

    code: Rle
    name: str = ""


class Corrections:
    """Corrected masks of some frames by the ids of masklets; what a later set says of an object on a frame counts.

    They are kept as run-length codes, since corrected frames are few.
    """

    def __init__(self, sets: Sequence[MaskSet] = ()) -> None:
        self._frames: dict[int, dict[int, Corrected]] = {}
        for one in sets:
            for masks in one:
                for i, mask in masks.masks.items():
                    here = self._frames.setdefault(masks.frame, {})
                    here[i] = Corrected(to_rle(mask), one.name_of(i))

    def on(self, frame: int) -> Mapping[int, Corrected]:
        """Masklet id -> its corrected mask on this frame; an empty mask says that it is not there."""
        return self._frames.get(frame, {})

    @property
    def ids(self) -> set[int]:
        """All masklet ids that they name."""
        return {i for here in self._frames.values() for i in here}

    @property
    def frames(self) -> list[int]:
        """The frames that they are of, ascending."""
        return sorted(self._frames)


def lay_over(
    instances: Iterable[Instance],
    corrected: Mapping[int, Corrected],
    before: Mapping[int, Mask],
    classes: Mapping[int, str],
    table: ClassNames,
) -> list[Instance]:
    """A frame's instances with corrected masks on top.

    A correction takes the place of what its masklet was on this frame, and of the pixels that it covers.

    Args:
        instances: what the data set says.
        corrected: masklet id -> corrected mask.
        before: masklet id -> mask in the result that was corrected, as far as there is one.
        classes: masklet id -> class in that result or so far; a correction that names a class changes it.
        table: standardises the names in corrections.
    """
    masks = {i: from_rle(one.code) for i, one in corrected.items()}
    names = {i: table(one.name) if one.name else None for i, one in corrected.items()}
    kept = []
    for instance in instances:
        if instance.masklet in masks:
            continue  # the input has the id already
        left = instance.mask
        for i, mask in masks.items():
            name = names[i]
            same = instance.class_name == (name.standard if name else classes.get(i, instance.class_name))
            left = left & ~mask
            if i in before and same:
                left = left & ~before[i]
            if same and covered(instance.mask, mask) > REPLACED:
                left = left & False
        if left.any():
            kept.append(replace(instance, mask=left))
    for i, mask in masks.items():
        if not mask.any():
            continue
        name = names[i]
        below = max(instances, key=lambda one: covered(mask, one.mask), default=None)
        hidden = below is not None and covered(mask, below.mask) > 0
        guess = below.class_name if below is not None and hidden else "unknown"
        class_name = name.standard if name else classes.get(i, guess)
        kept.append(Instance(class_name, mask, (), table(class_name).whole, i))
    return kept
