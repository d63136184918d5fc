"""What to remember: the seam, and one policy a file under its published name."""

from collections.abc import Callable

from trocar.memory.distractor import Distractor
from trocar.memory.divemem import DiveMem
from trocar.memory.diverse_long_term import DiverseLongTerm
from trocar.memory.motion import Motion
from trocar.memory.none import NoMemory
from trocar.memory.pruned import Pruned
from trocar.memory.recent import Recent
from trocar.memory.seam import MemoryPolicy
from trocar.memory.self_sorting import SelfSorting
from trocar.memory.tree import Tree

POLICIES: dict[str, Callable[..., MemoryPolicy]] = {
    "recent": Recent,
    "none": NoMemory,
    "divemem": DiveMem,
    "distractor": Distractor,
    "diverse_long_term": DiverseLongTerm,
    "motion": Motion,
    "pruned": Pruned,
    "self_sorting": SelfSorting,
    "tree": Tree,
}

__all__ = [
    "POLICIES",
    "Distractor",
    "DiveMem",
    "DiverseLongTerm",
    "MemoryPolicy",
    "Motion",
    "NoMemory",
    "Pruned",
    "Recent",
    "SelfSorting",
    "Tree",
]
