"""`trocar bench speed`: two cells from end to end, cells beside transformers, and what is said of bad settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.bench.demo import demo_prompts, demo_source
from trocar.bench.speed import SpeedMatrix, _packaged_boxes, _packaged_frames
from trocar.bench.speed_beside import _iou, _our_run, _their_run, _times_faster, measure_beside
from trocar.bench.speed_cell import PARTS, REST, Cell, How, Stopwatch, waiting
from trocar.bench.speed_floor import Rates, floor_figures
from trocar.bench.transformers_twin import drawn_pair, twin_model, twin_of
from trocar.bench.work import Work
from trocar.cli import main
from trocar.formats.h264 import write_video
from trocar.model.checkpoint import save_weights
from trocar.model.config import NANO, NetworkConfig
from trocar.model.network import Network
from trocar.settings import read_settings

SIDE = 64
TOY = NetworkConfig(
    "toy",
    image_size=SIDE,
    embed_dim=16,
    blocks=(1, 1, 2, 1),
    windows=(8, 4, 4, 2),
    global_blocks=(3,),
    hidden_dim=128,  # transformers' session asks for more than the memory's 64
    memory_layers=1,
    memory_mlp_dim=64,
    decoder_heads=4,
    decoder_mlp_dim=64,
    iou_hidden_dim=64,
)
STAGES = {stage for _, _, stage in PARTS} | {REST}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy network whose object is there."""
    torch.manual_seed(4)
    network = Network(TOY).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        network.mask_decoder.object_head.get_parameter("layers.2.bias").add_(5)
    path = tmp_path_factory.mktemp("toy") / "toy.safetensors"
    save_weights(network, path, {}, torch.float32)
    return path


@pytest.fixture(scope="module")
def how(tmp_path_factory: pytest.TempPathFactory) -> How:
    """Ten frames of noise over which a dark square moves."""
    images = np.random.default_rng(5).integers(100, 255, (10, 48, 64, 3), dtype=np.uint8)
    for number, image in enumerate(images):
        image[10 + number : 30 + number, 20:44] //= 5
    path = tmp_path_factory.mktemp("video") / "square.mp4"
    write_video(path, images, 25)
    return How(str(path), ((20.0, 10.0, 44.0, 30.0), (2.0, 2.0, 20.0, 40.0)), 6, 4, False)


def test_two_cells_from_the_command_line(weights: Path, how: How, tmp_path: Path) -> None:
    """Through fresh processes: every figure is there, and those that can be checked hold together."""
    out, plot = tmp_path / "speed.json", tmp_path / "speed.png"
    settings = [
        "--models",
        str(weights),
        "--objects",
        "1,2",
        "--frames",
        "4",
        "--warm-up",
        "2",
        "--threads",
        "1",
        "--waits",
        "passive",
    ]
    assert (
        main(["bench", "speed", how.video, *settings, "--devices", "cpu", "--out", str(out), "--plot", str(plot)]) == 0
    )
    figures = json.loads(out.read_text())
    assert figures["source"] == {"name": "square.mp4", "frames": 10, "size": [48, 64]}
    assert [one["objects"] for one in figures["cells"]] == [1, 2]
    for one in figures["cells"]:
        assert (one["side"], one["weights"]) == (SIDE, "trained")
        assert (one["machine"]["threads"], one["machine"]["wait"]) == (1, "passive")
        assert one["frames_per_second"] == pytest.approx(1000 / one["end_to_end"]["wall_ms"]["mean"], abs=0.01)
        assert set(one["stages"]) == STAGES
        assert all(one["stages"][stage]["wall_ms"]["median"] > 0 for stage in STAGES - {REST, "to frame"})
        whole = sum(stage["processor_ms"]["mean"] for stage in one["stages"].values())
        assert one["floor"]["frame_ms"] == pytest.approx(whole, abs=0.01)
        assert one["frames_encoded"] == 1
        assert one["peak_host_mb"] > 50
        assert one["peak_device_mb"] is None
        assert one["floor"]["weight_bytes"] == 4 * sum(p.numel() for p in Network(TOY).parameters())
        assert one["floor"]["operations"] > 0
    one, two = (figures["cells"][which]["floor"]["operations"] for which in (0, 1))
    assert one < two < 2 * one  # the picture is encoded once for all objects
    assert plot.stat().st_size > 1000


def test_beside_transformers_the_masks_are_equal(weights: Path, how: How) -> None:
    """What the two sides of the comparison run, here in one process; the weights come from a file."""
    pytest.importorskip("transformers", reason="needs transformers (pip install trocar[dev])")
    asked = Cell(str(weights), 0, 2, "recent:mode=faithful", "cpu", threads=1)
    (theirs, _), (ours, _) = _their_run(asked, how), _our_run(asked, how)
    pairs = list(zip(theirs, ours, strict=True))
    assert len(pairs) == 4 + 8  # the warm-up, and whole turns
    assert min(_iou(a, b) for one, other in pairs for a, b in zip(one, other, strict=True)) > 0.99
    assert 0.001 < np.mean([one for one, _ in pairs]) < 0.999


@pytest.mark.slow
def test_two_processes_in_turns(weights: Path, how: How) -> None:
    """The comparison as it is run, ours with a thread that works ahead."""
    pytest.importorskip("transformers", reason="needs transformers (pip install trocar[dev])")
    figures = measure_beside(Cell(str(weights), 0, 2, "recent", "cpu", threads=1), how)
    assert figures["frames"] == 8  # whole turns
    assert figures["iou"]["least"] > 0.99
    assert figures["iou"]["mean"] > 0.998
    assert 0.001 < figures["mask_share"]["mean"] < 0.999
    assert figures["memory"] == "recent:mode=faithful"
    for clock in ("wall_ms", "processor_ms"):
        ratio = figures["transformers"][clock]["mean"] / figures["ours"][clock]["mean"]
        assert figures["times_faster"][clock]["all"] == pytest.approx(ratio, rel=0.01)


def test_a_network_copied_to_transformers_is_the_one_it_came_from() -> None:
    pytest.importorskip("transformers", reason="needs transformers (pip install trocar[dev])")
    drawn, network = drawn_pair(TOY, presence=3.0)
    copied, expected = twin_of(network, SIDE).state_dict(), drawn.state_dict()
    assert copied.keys() == expected.keys()
    assert [name for name, tensor in expected.items() if not torch.equal(tensor, copied[name])] == []


def test_transformers_has_no_network_that_carries_masks() -> None:
    pytest.importorskip("transformers", reason="needs transformers (pip install trocar[dev])")
    with pytest.raises(ValueError, match="no network like nano"):
        twin_model(NANO)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["--frames", "0"], "frames is 0 and must be 1 or more"),
        (["--objects", "0"], "objects must be 1 or more"),
        (["--threads", "-1"], "threads 0 or more"),
        (["--waits", "busily"], "must be 'rule' or 'passive' or 'active' or 'default'"),
        (["--sides", "100"], "multiples of 32"),
        (["--rows", "17"], "even"),
        (["--memories", "recnt"], "did you mean 'recent'"),
        (["--economies", "quick"], "no economy 'quick'"),
        (["--devices", "tpu"], "no device 'tpu'"),
        (["--precisions", "fp8"], "no precision 'fp8'"),
        (["--beside", "detectron"], "beside must be 'nothing' or 'transformers'"),
        (["--models", "nothing.pt"], "no model 'nothing.pt'"),
        (["--models", "sam-vit-b", "--random-weights", "true"], "weights can be drawn for"),
        (["--framez", "3"], "did you mean --frames"),
    ],
)
def test_bad_settings_are_named(settings: list[str], said: str, how: How, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(["bench", "speed", how.video, *settings])
    except SystemExit as stop:
        code = int(str(stop.code))
    assert code == 2
    assert said in capsys.readouterr().err


def test_a_stage_inside_a_stage_is_taken_off_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clock by hand: outer runs from 0 to 10, inner inside it from 2 to 5; the frame takes 12."""
    times = iter([(0.0, 0.0), (2.0, 1.0), (5.0, 3.0), (10.0, 6.0)])
    monkeypatch.setattr("trocar.bench.speed_cell.clocks", lambda device: next(times))
    watch = Stopwatch(torch.device("cpu"))
    inner = watch.timed(lambda: 7, "encode")
    assert watch.timed(lambda: inner(), "write")() == 7
    watch.lap(12.0, 8.0)
    found = {name: (laps.wall_ms, laps.processor_ms) for name, laps in watch.stages.items()}
    assert found["encode"] == ([3000.0], [2000.0])
    assert found["write"] == ([7000.0], [4000.0])
    assert found[REST] == ([2000.0], [2000.0])
    assert found["resize"] == ([0.0], [0.0])


def test_the_floor_by_hand() -> None:
    """4 GOP in 2 frames at 10 GOP/s are 200 ms a frame; the weights at 1 GB/s take less."""
    network = Network(TOY)
    weights = 4 * sum(p.numel() for p in network.parameters())
    found = floor_figures(Work(4_000_000_000, 600_000_000), 2, network, Rates(1e10, 1e9), 500.0)
    assert (found["floor_ms"], found["floor_by"], found["frame_over_floor"]) == (200.0, "operations", 2.5)
    assert (found["moved_bytes"], found["moving_ms"]) == (300_000_000, 300.0)
    slow = floor_figures(Work(4_000, 600), 2, network, Rates(1e10, 1e6), 500.0)
    assert slow["floor_by"] == "weights"
    assert slow["floor_ms"] == pytest.approx(weights / 1e3, abs=0.001)


def test_how_many_times_faster() -> None:
    """Turns of 8 ms beside 4 and 12 beside 4: 2 and 3 times; together 20 beside 8."""
    found = _times_faster([8.0, 12.0], [4.0, 4.0])
    assert found == {"median": 2.5, "q25": 2.25, "q75": 2.75, "all": 2.5}


def test_masks_are_compared_by_whichever_of_object_and_background_is_smaller() -> None:
    small, other = np.zeros((4, 4), np.bool_), np.zeros((4, 4), np.bool_)
    small[0, :2], other[0, 1:3] = True, True
    assert _iou(small, other) == _iou(~small, ~other) == 1 / 3
    assert _iou(np.ones((2, 2), np.bool_), np.ones((2, 2), np.bool_)) == 1


def test_the_packaged_sequence_as_a_video(tmp_path: Path) -> None:
    """Of the size and length that were asked for, with its objects where they lie; there and back again."""
    matrix = SpeedMatrix(frames=20, warm_up=5, rows=32, columns=48)
    images = list(_packaged_frames(matrix))
    packaged = demo_source()
    assert (len(images), images[0].shape) == (25, (32, 48, 3))
    assert np.array_equal(images[0], images[2 * (len(packaged) - 1)])
    (rows, columns), boxes = packaged.geometry.size, _packaged_boxes((32, 48), 9)
    prompts = [one.prompt for one in demo_prompts()]
    assert len(boxes) == len(prompts)
    assert boxes[0][0] == pytest.approx(prompts[0].x0 * 48 / columns)
    assert boxes[0][3] == pytest.approx(prompts[0].y1 * 32 / rows)


def test_how_threads_wait_holds_for_what_is_started_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    seen = {}
    for wait in ("rule", "active", "default"):
        with waiting(wait):
            seen[wait] = [os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")]
    assert seen == {"rule": ["passive", "7"], "active": ["active", None], "default": [None, None]}
    assert [os.environ.get(name) for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")] == ["passive", "7"]


@pytest.mark.parametrize(
    "recipe", sorted((Path(__file__).parents[2] / "recipes").glob("speed-*.toml")), ids=lambda path: path.stem
)
def test_published_matrices_can_be_read(recipe: Path) -> None:
    assert read_settings(SpeedMatrix, recipe).cells()
