"""Where data outside the package lies: in the folder that the environment variable TROCAR_DATA names."""

from __future__ import annotations

import os
from pathlib import Path


def locate(relative: str, root: Path | None = None) -> Path:
    """The folder or file `relative` under `root`, or, without one, under the folder that TROCAR_DATA names.

    Raises:
        FileNotFoundError: TROCAR_DATA is not set and no root was given, or nothing lies there.
    """
    if root is None:
        named = os.environ.get("TROCAR_DATA")
        if not named:
            raise FileNotFoundError(f"no data folder: set TROCAR_DATA to the folder that holds {relative}")
        root = Path(named)
    path = root / relative
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: set TROCAR_DATA to the folder that holds {relative}")
    return path
