"""What to remember: the seam, and one policy a file under its published name."""

from collections.abc import Callable

from trocar.memory.none import NoMemory
from trocar.memory.recent import Recent
from trocar.memory.seam import MemoryPolicy

POLICIES: dict[str, Callable[..., MemoryPolicy]] = {
    "recent": Recent,
    "none": NoMemory,
}

__all__ = ["POLICIES", "MemoryPolicy", "NoMemory", "Recent"]
