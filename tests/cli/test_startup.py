"""What a command imports: help must come at once, and a first mask must not wait for what it does not use."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from made_batch import make_weights
from PIL import Image

SLOW = ("torch", "numpy", "scipy", "cv2", "av", "PIL", "transformers", "pandas", "pyarrow", "matplotlib", "ray", "rich")
UNUSED = ("matplotlib", "pandas", "pyarrow", "sklearn", "transformers", "ray", "fastapi", "sqlalchemy", "requests")
UNUSED += ("scipy.ndimage", "scipy.stats", "scipy.optimize", "scipy.spatial", "nibabel", "pydicom", "SimpleITK", "h5py")
UNUSED += ("highdicom", "trocar.bench", "trocar.train", "trocar.serve", "trocar.datasets.scenes")


def imported(code: str) -> set[str]:
    """The modules that a fresh process has loaded after some code."""
    told = f"{code}\nimport sys, json\nprint('\\n' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_nothing_slow() -> None:
    called = "import contextlib\nfrom trocar.cli import main\nwith contextlib.suppress(SystemExit): main(['--help'])"
    assert imported(called) & set(SLOW) == set()
    assert imported("import trocar") & set(SLOW) == set()


def test_one_frame_imports_what_it_uses(tmp_path: Path) -> None:
    Image.fromarray(np.full((48, 64, 3), 90, np.uint8)).save(tmp_path / "frame.png")
    weights = make_weights(tmp_path / "tiny.safetensors")
    words = ["segment", str(tmp_path / "frame.png"), "--box", "5,5,40,40", "--model", str(weights)]
    words += ["--device", "cpu", "--out", str(tmp_path / "out")]
    found = imported(f"from trocar.cli import main\nassert main({words!r}) == 0")
    assert (tmp_path / "out" / "masks" / "frame.png").exists()
    assert "torch" in found
    assert found & set(UNUSED) == set()
