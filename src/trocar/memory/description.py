"""What a policy says of itself in the head of its file and the docstring of its class.

A head begins with "`name`: what it is (paper, with its year)." and says "Read: ..." and "Kept: ..." in the paragraphs
that follow. The command line and the documentation describe policies from here.
"""

from __future__ import annotations

import inspect
import re
import typing
from dataclasses import dataclass

from trocar.memory.knobs import ARGS, Knob, PolicyClass, knobs_of


@dataclass(frozen=True)
class Description:
    """A policy in words; parts that it does not speak of are empty.

    Args:
        about: what it is.
        paper: where it comes from.
        reads: what is read before a frame.
        keeps: what is kept.
        masks: when a frame's masks are handed out, unless knobs say otherwise.
        modes: its modes, the default first.
        remarks: the other paragraphs of the head: its rules, what differs from the release, what is open.
        notes: what the docstring of the class says beside its knobs: the neutral setting.
        knobs: in the order of its signature.
    """

    about: str
    paper: str
    reads: str
    keeps: str
    masks: str
    modes: tuple[str, ...]
    remarks: tuple[str, ...]
    notes: tuple[str, ...]
    knobs: tuple[Knob, ...]


def describe(policy: PolicyClass) -> Description:
    """What a policy says of itself."""
    first, *others = _paragraphs(inspect.getdoc(inspect.getmodule(policy)) or "") or [""]
    said = {"Read": "", "Kept": ""}
    remarks = []
    for paragraph in others:
        remark, *parts = (part.strip() for part in re.split(r"\b(Read|Kept): ", paragraph))
        said |= dict(zip(parts[::2], parts[1::2], strict=True))
        remarks += [remark] if remark else []
    title = re.sub(r"^`\w+`: ", "", first)
    paper = re.search(r" \(([^()]*\b\d{4}\b[^()]*)\)", title)
    knobs = knobs_of(policy)
    return Description(
        about=title.replace(paper[0], "", 1) if paper else title,
        paper=paper[1] if paper else "",
        reads=said["Read"],
        keeps=said["Kept"],
        masks=_timing(policy().spec.lag),
        modes=tuple(typing.get_args(knobs["mode"].kinds[0])) if "mode" in knobs else (),
        remarks=tuple(remarks),
        notes=tuple(_paragraphs(ARGS.sub("", inspect.getdoc(policy) or ""))[1:]),
        knobs=tuple(knobs.values()),
    )


def _paragraphs(text: str) -> list[str]:
    """The paragraphs of a docstring, each on one line but for the points of a list."""
    blocks = [block for block in re.split(r"\n\s*\n", text.strip()) if block.strip()]
    return ["\n".join(" ".join(point.split()) for point in re.split(r"\n(?=[*-] )", block)) for block in blocks]


def _timing(lag: int | None) -> str:
    match lag:
        case 0:
            return "causal: each with its frame"
        case None:
            return "lagged: once settled, at the end of the pass at the latest"
        case _:
            return f"lagged: once settled, {lag} frames later at the latest"
