"""An hour in one run: what is measured of it, on a few frames."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from trocar.bench.long_run import LongRun, ShrunkSource, Watch, run_long
from trocar.cli import main
from trocar.formats import open_source
from trocar.frames import FrameSource
from trocar.load import load_memory
from trocar.model import Network, tiny_random


@pytest.fixture
def source(tmp_path: Path) -> FrameSource:
    folder = tmp_path / "frames"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        Image.fromarray(rng.integers(0, 255, (40, 80, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return open_source(folder)


def test_every_frame_is_tracked_and_written(source: FrameSource, tmp_path: Path) -> None:
    torch.manual_seed(0)
    out = tmp_path / "out"
    asked = LongRun(40, objects=3, every=10, longer_side_px=60)
    figures = run_long(Network(tiny_random()), load_memory("tree:lag=5"), source, out, asked)
    masks = sorted((out / "masks").iterdir())
    assert len(masks) == 40
    with Image.open(masks[-1]) as image:
        assert image.size == (60, 30)
    assert (figures["frames"], figures["objects"], figures["lag"]) == (40, 3, 5)
    assert (figures["source"]["size"], figures["tracked_size"]) == ([40, 80], [30, 60])
    assert figures["written_bytes"] == sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    assert figures["snapshot_bytes"] > 0
    curve = figures["curve"]
    assert curve["frames"] == [10, 20, 30, 40]
    assert len(curve["wall_ms"]) == len(curve["processor_ms"]) == len(curve["resident_mb"]) == 4
    ends = figures["ends"]
    assert ends["frames"] == 10
    assert ends["resident_mb"]["ratio"] == pytest.approx(curve["resident_mb"][3] / curve["resident_mb"][0], abs=1e-4)
    assert ends["processor_ms"] == {"first": curve["processor_ms"][0], "last": curve["processor_ms"][3]}
    assert sum(curve["wall_ms"]) * 10 <= 1000 * figures["seconds"] + 100


def test_shrinking_keeps_the_proportion_and_never_enlarges(source: FrameSource) -> None:
    assert ShrunkSource(source, 20)[0].image.shape == (10, 20, 3)
    assert np.array_equal(ShrunkSource(source, 500)[1].image, source[1].image)


def test_memory_that_is_held_shows_in_the_curve() -> None:
    watch, held = Watch(1, torch.device("cpu")), []
    for done in range(1, 4):
        held.append(np.ones(32 << 17))  # 32 MiB
        watch.pass_by(done)
    grown = np.diff(watch.curve.resident_mb)
    assert (grown > 25).all()
    assert (grown < 60).all()


@pytest.mark.parametrize(
    ("asked", "cause"),
    [
        ({"frames": 10, "every": 5}, "4 \\* every"),
        ({"objects": 0}, "objects >= 1"),
        ({"longer_side_px": 4}, "16 px or more"),
    ],
)
def test_what_makes_no_curve_is_refused(asked: dict[str, int], cause: str) -> None:
    with pytest.raises(ValueError, match=cause):
        LongRun(**asked)  # type: ignore[arg-type]


def test_too_many_objects_for_the_frame(source: FrameSource, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not fit side by side"):
        run_long(Network(tiny_random()), load_memory(), source, tmp_path / "out", LongRun(40, 30, 10))


def test_the_verb_writes_figures_and_the_plot(source: FrameSource, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    words = ["bench", "long", str(tmp_path / "frames"), "--random-network", "--frames", "40", "--every", "10"]
    words += ["--out", str(tmp_path / "long.json"), "--plot", str(tmp_path / "long.png")]
    assert main(words) == 0
    assert json.loads((tmp_path / "long.json").read_text())["memory"] == "recent"
    with Image.open(tmp_path / "long.png") as picture:
        assert picture.size == (770, 550)


@pytest.mark.slow
def test_start_up_is_measured_against_its_floors(tmp_path: Path) -> None:
    assert main(["bench", "startup", "--runs", "1", "--out", str(tmp_path / "startup.json")]) == 0
    seconds = json.loads((tmp_path / "startup.json").read_text())["seconds"]
    medians = {name: one["median"] for name, one in seconds.items()}
    assert medians["python"] < medians["trocar --help"] < medians["python with torch"] < medians["first mask"]
