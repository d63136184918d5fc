"""The module's own library is imported as it is inside Slicer."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "slicer" / "Trocar"))
