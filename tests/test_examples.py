"""What the README and the example scripts tell people to do works, with the packaged model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import av
import cv2
import nibabel as nib
import numpy as np
import pytest

from trocar.bench.demo import demo_source

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with procedure.mp4 (five demo frames at 960 x 540) and organ.nii.gz (a ball)."""
    made = tmp_path_factory.mktemp("examples")
    with av.open(str(made / "procedure.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 960, 540, "yuv420p"
        source = demo_source()
        for index in range(5):
            picture = cv2.resize(source[index].image, (960, 540))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    x, y, z = np.meshgrid(np.arange(48), np.arange(40), np.arange(6), indexing="ij")
    ball = ((x - 20) ** 2 + (y - 18) ** 2 < 100) * 80.0 + 20 * (z > -1)
    nib.save(nib.Nifti1Image(ball.astype(np.float32), np.diag([1.0, 1.0, 3.0, 1.0])), made / "organ.nii.gz")
    return made


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_readme_example_runs(folder: Path) -> None:
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert code is not None
    run(folder, "-c", code[1])
    assert len(list((folder / "out" / "masks").glob("*.png"))) == 5


ARGUMENTS = {
    "track_video": ["procedure.mp4", "412,305,520,388", "tracked"],
    "correct_a_frame": ["procedure.mp4", "412,305,520,388", "2", "460,340"],
    "own_prompter": ["procedure.mp4", "200,120,110", "30"],
    "own_memory": ["procedure.mp4", "412,305,520,388"],
    "organ_in_a_volume": ["organ.nii.gz", "8,8,34,30", "3", "volume"],
}


@pytest.mark.parametrize("example", sorted(path.stem for path in (ROOT / "examples").glob("*.py")))
def test_every_example_runs_and_is_short(folder: Path, example: str) -> None:
    path = ROOT / "examples" / f"{example}.py"
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40
    assert run(folder, str(path), *ARGUMENTS[example])


def test_the_volume_example_keeps_the_affine(folder: Path) -> None:
    run(folder, str(ROOT / "examples" / "organ_in_a_volume.py"), *ARGUMENTS["organ_in_a_volume"])
    source, masks = nib.load(folder / "organ.nii.gz"), nib.load(folder / "volume" / "masks.nii.gz")
    assert np.array_equal(source.affine, masks.affine)
    assert source.shape == masks.shape
