"""What a class-prompt head is: its classes, its sizes, and the image encoder that it was trained on."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Prototypes = Literal["learned", "mean", "text", "stand-in"]
Contrast = Literal["paper", "release", "none"]


@dataclass(frozen=True)
class ClassPromptConfig:
    """A class-prompt head (Yue et al., "SurgicalSAM", AAAI 2024), with the paper's defaults.

    Args:
        names: of the K classes.
        dim: D, channels of the image encoder's stride-16 map.
        cells: h * w of that map, over which the sparse prompts' first layer runs.
        side: S of the network's square input, in pixels.
        tokens: n sparse tokens a class: 2 on EndoVis 2018, 4 on EndoVis 2017 (section 4.2).
        hidden: width between the two layers, r_D and r_S of equations 7 and 8.
        prototypes: "learned" from a normal distribution; or fixed: the "mean" class embedding of the training samples
            (Table 3), "text" embeddings of the names (section 8.5), or a "stand-in" orthonormal table for those.
        contrast: how prototypes are contrasted while they are learned (`contrast.py`).
        temperature: of the contrast.
        scale: factor on the dot products of features and prototypes; 1 is the paper's. An encoder with larger features
            than SAM's needs less, lest similarities drown the features that they activate.
        dense: whether there are dense prompt embeddings (Table 6).
        sparse: whether there are sparse ones (Table 6).
        signs: whether these get the positive and negative embeddings (Table 6).
        encoder: fingerprint of the image encoder; "" while it is not known.
        presence: a row of numbers for each class that says when it counts as there (`presence.py`); none before that is
            calibrated.
        added: how many of the classes, the last ones, came from a few labelled frames after training (`few_frames.py`).
            The others do not see them, and answer as before.
    """

    names: tuple[str, ...]
    dim: int
    cells: int
    side: int
    tokens: int = 2
    hidden: int = 128
    prototypes: Prototypes = "learned"
    contrast: Contrast = "release"
    temperature: float = 0.07
    scale: float = 1.0
    dense: bool = True
    sparse: bool = True
    signs: bool = True
    encoder: str = ""
    presence: tuple[tuple[float, ...], ...] = ()
    added: int = 0

    def __post_init__(self) -> None:
        if not self.names:
            raise ValueError("a class-prompt head needs at least one class: name them")
        if len(set(map(_plain, self.names))) < len(self.names):
            raise ValueError(f"classes have one name each, and these repeat one: {', '.join(self.names)}")
        if min(self.dim, self.cells, self.tokens, self.hidden) < 1 or min(self.temperature, self.scale) <= 0:
            raise ValueError(
                "dim, cells, tokens and hidden are 1 or more, temperature and scale are above 0, not "
                f"{self.dim}, {self.cells}, {self.tokens}, {self.hidden}, {self.temperature} and {self.scale}"
            )
        if not self.dense and not self.sparse:
            raise ValueError("without dense and without sparse embeddings a class prompts nothing: keep one of them")
        if self.presence and len(self.presence) != len(self.names):
            raise ValueError(f"presence has {len(self.presence)} rows for {len(self.names)} classes: give one for each")

        if not 0 <= self.added < len(self.names):
            raise ValueError(f"{self.added} of {len(self.names)} classes cannot be added ones: at least one is trained")

    @property
    def trained(self) -> int:
        """How many classes, the first ones, were trained together."""
        return len(self.names) - self.added

    @property
    def learns_prototypes(self) -> bool:
        """Whether training moves the prototypes."""
        return self.prototypes == "learned"

    def numbers(self, names: Sequence[str]) -> list[int]:
        """The number of each class, from 0; case, spaces, hyphens and underscores do not matter.

        Raises:
            ValueError: there is no such class; the nearest valid names are told.
        """
        known = {_plain(name): number for number, name in enumerate(self.names)}
        for name in names:
            if _plain(name) not in known:
                raise ValueError(unknown_class(name, self.names))
        return [known[_plain(name)] for name in names]


def unknown_class(name: str, names: Sequence[str]) -> str:
    """What to tell a person who asks for a class that there is not."""
    plain = {_plain(one): one for one in names}
    near = [plain[one] for one in difflib.get_close_matches(_plain(name), plain, n=3, cutoff=0.4)]
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return f"there is no class {name!r}: {hint}the classes are: {', '.join(names)}"


def _plain(name: str) -> str:
    return " ".join(name.lower().replace("_", " ").replace("-", " ").split())
