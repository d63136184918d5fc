"""What a policy says of itself, found in the head of its file and the docstring of its class."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from trocar.memory import POLICIES
from trocar.memory.description import Description, describe

SOURCE = '''"""`made`: an example (Nobody (ed.) 1999, section 2)
of two lines.

Why there is one. Read: the prompts,
and nothing else. Kept: the
prompts.

- a point
  of two lines
- another

Open: nothing.
"""

from typing import Literal

from trocar.memory.none import NoMemory
from trocar.memory.seam import PolicySpec


class Made(NoMemory):
    """An example.

    Args:
        mode: which.

    Neutral: there
    is none.
    """

    spec = PolicySpec(lag=LAG)

    def __init__(self, mode: Literal["a", "b"] = "a") -> None:
        self.mode = mode
'''


def described(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Description:
    (folder / "made_policy.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "made_policy", raising=False)
    import made_policy  # type: ignore[import-not-found]

    return describe(made_policy.Made)


def test_the_parts_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = described(SOURCE.replace("LAG", "5"), tmp_path, monkeypatch)
    assert found.reads == "the prompts, and nothing else."
    assert found.keeps == "the prompts."
    assert found.remarks == ("Why there is one.", "- a point of two lines\n- another", "Open: nothing.")
    assert found.notes == ("Neutral: there is none.",)
    assert found.modes == ("a", "b")
    assert [knob.name for knob in found.knobs] == ["mode"]
    assert found.masks == "lagged: once settled, 5 frames later at the latest"


@pytest.mark.parametrize(
    ("title", "about", "paper"),
    [
        ("`made`: an example (Nobody 1999, section 2).", "an example.", "Nobody 1999, section 2"),
        ("`made`: an example (of sorts), at last (Nobody 1999).", "an example (of sorts), at last.", "Nobody 1999"),
        ("`made`: an example. No paper has it.", "an example. No paper has it.", ""),
        ("An example.", "An example.", ""),
    ],
)
def test_title_and_paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, title: str, about: str, paper: str) -> None:
    source = f'"""{title}"""\n\nfrom trocar.memory.none import NoMemory\n\n\nclass Made(NoMemory):\n    pass\n'
    found = described(source, tmp_path, monkeypatch)
    assert (found.about, found.paper) == (about, paper)
    assert found.masks == "causal: each with its frame"


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_every_policy_tells_what_it_reads_and_keeps_and_from_which_paper(name: str) -> None:
    found = describe(POLICIES[name])
    assert found.about
    assert found.reads
    assert found.keeps
    assert found.paper or name == "none"
    assert not any(remark.startswith("Read") for remark in found.remarks)
