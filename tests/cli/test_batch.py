"""Many sources in one go: every item is done once, whatever happens on the way, and bad rows are named at once."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from made_batch import BOX, command, environment, make_clip, make_manifest, make_weights, masks_of, summary_of

from trocar.cli import main
from trocar.cli.batch_item import Item, kept, run_item
from trocar.cli.batch_local import slots
from trocar.cli.batch_manifest import read_items
from trocar.cli.segment import add_item_options
from trocar.formats import MaskOutput
from trocar.masks import FrameMasks
from trocar.threads import processor_count


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights and three clips, of which the last is damaged."""
    folder = tmp_path_factory.mktemp("place")
    make_weights(folder / "tiny.safetensors")
    make_clip(folder / "a.mp4", 6)
    make_clip(folder / "b.mp4", 6, shade=120)
    make_clip(folder / "long.mp4", 50)
    (folder / "c.mp4").write_bytes((folder / "a.mp4").read_bytes()[:700])
    return folder


Ask = Callable[..., list[Item]]


@pytest.fixture
def ask(place: Path, tmp_path: Path) -> Ask:
    """The items of a manifest whose rows are given, as the verb would run them."""

    def asked(*rows: dict[str, str], out: Path = tmp_path / "out") -> list[Item]:
        parser = argparse.ArgumentParser()
        add_item_options(parser)
        shared = parser.parse_args(["--model", str(place / "tiny.safetensors"), "--device", "cpu"])
        return read_items(make_manifest(place / f"{tmp_path.name}.csv", rows), out, shared)

    return asked


def test_a_batch_is_done_but_for_the_damaged_video(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And done again nothing is left to do but that one; each is what `trocar segment` makes of it."""
    rows = [
        {"source": "a.mp4", "prompts": BOX, "output": "first"},
        {"source": "b.mp4", "prompts": f"{BOX} --object 2 --point 40,40@3", "memory": "none"},
        {"source": "c.mp4", "prompts": BOX},
    ]
    manifest, out = make_manifest(place / "plain.csv", rows), tmp_path / "out"
    asked = ["batch", str(manifest), "--out", str(out), "--model", str(place / "tiny.safetensors"), "--device", "cpu"]
    assert main([*asked, "--jobs", "1"]) == 1
    summary = summary_of(out)
    assert [(name, row["status"], row["frames"]) for name, row in summary.items()] == [
        ("first", "done", "6"),
        ("b", "done", "6"),
        ("c", "failed", "0"),
    ]
    assert "c.mp4" in summary["c"]["error"]
    assert "trocar: failed: c: " in capsys.readouterr().err
    record = json.loads((out / "b" / "run.json").read_text())
    assert record["request"]["memory"]["policy"] == "none"
    assert {prompt["object"] for prompt in record["prompts"]} == {1, 2}
    alone = ["segment", str(place / "a.mp4"), *BOX.split(), "--model", str(place / "tiny.safetensors")]
    assert main([*alone, "--device", "cpu", "--out", str(tmp_path / "alone" / "first")]) == 0
    assert masks_of(tmp_path / "alone") == {
        name: held for name, held in masks_of(out).items() if name.startswith("first")
    }
    when = (out / "first" / "run.json").stat().st_mtime_ns
    make_manifest(place / "plain.csv", rows[:2])
    capsys.readouterr()
    assert main([*asked, "--json"]) == 0
    assert [row["status"] for row in json.loads(capsys.readouterr().out)] == ["kept", "kept"]
    assert (out / "first" / "run.json").stat().st_mtime_ns == when


def test_bad_rows_are_named_all_at_once(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"source": "a.mp4", "prompts": BOX},
        {"source": "missing.mp4", "prompts": BOX},
        {"source": "b.mp4", "prompts": "--box 1,2,3"},
        {"source": "b.mp4", "prompts": "", "output": "x"},
        {"source": "a.mp4", "prompts": BOX},
        {"source": "b.mp4", "prompts": BOX, "output": "../b"},
        {"source": "b.mp4", "prompts": "nothing.json", "output": "y"},
        {"source": "b.mp4", "prompts": "--mask gone.png@0", "output": "z"},
        {"source": "b.mp4", "prompts": BOX, "output": "u", "memory": "recnt"},
        {"source": "b.mp4", "prompts": BOX, "output": "v", "model": "nanoo"},
        {"source": "b.mp4", "prompts": f"{BOX} --boks 1", "output": "w"},
        {"source": "b.mp4", "prompts": BOX, "output": "a/b"},
        {"source": "", "prompts": BOX},
    ]
    manifest = make_manifest(place / "bad.csv", rows)
    out = tmp_path / "out"
    assert main(["batch", str(manifest), "--out", str(out), "--model", str(place / "tiny.safetensors")]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in said[:-1]] == [f" line {number}" for number in range(3, 15)]
    causes = ["does not exist", "x0,y0,x1,y1", "nothing is prompted", "that of line 2", "does not lie in"]
    causes += ["nothing.json", "gone.png", "mean 'recent'", "mean 'nano'", "--boks", "that of line 2", "no source"]
    assert [line for line, cause in zip(said[:-1], causes, strict=True) if cause not in line] == []
    assert "12 of 13 rows" in said[-1]
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("sauce,prompts\na.mp4,x\n", "did you mean 'source'"),
        ("prompts\n--box\n", "no column 'source'"),
        ("source,prompts\n", "no rows"),
        ("source,prompts\na.mp4,--box 1,2,3,4@0\n", "quotes"),
    ],
)
def test_a_file_that_is_no_manifest(place: Path, capsys: pytest.CaptureFixture[str], text: str, cause: str) -> None:
    (place / "wrong.csv").write_text(text)
    assert main(["batch", str(place / "wrong.csv"), "--out", str(place / "never")]) == 2
    assert cause in capsys.readouterr().err
    assert main(["batch", str(place / "none.csv"), "--out", str(place / "never")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_parquet_says_the_same(place: Path, tmp_path: Path, ask: Ask) -> None:
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet")
    (plain,) = ask({"source": "a.mp4", "prompts": BOX})
    import pyarrow.parquet

    table = pa.table({"source": ["a.mp4"], "prompts": [BOX], "output": pa.array([None], pa.string())})
    pyarrow.parquet.write_table(table, place / "plain.parquet")
    out = tmp_path / "out"
    asked = ["--model", str(place / "tiny.safetensors"), "--device", "cpu"]
    parser = argparse.ArgumentParser()
    add_item_options(parser)
    (item,) = read_items(place / "plain.parquet", out, parser.parse_args(asked))
    assert (item.name, item.digest) == (plain.name, plain.digest)


def test_an_item_is_done_once_and_anew_when_something_else_is_asked(place: Path, ask: Ask) -> None:
    row = {"source": "a.mp4", "prompts": BOX}
    (item,) = ask(row)
    assert kept(item) is None
    assert run_item(item).status == "done"
    first = masks_of(item.folder)
    assert run_item(item).status == "kept"
    (other,) = ask(row | {"prompts": "--box 30,25,60,46@0"})
    assert run_item(other).status == "done"
    assert masks_of(item.folder) != first
    prompts = place / "said.json"
    prompts.write_text('[{"box": [2, 8, 22, 32]}]')
    (by_file,) = ask(row | {"prompts": "said.json"})
    assert run_item(by_file).status == "done"
    assert masks_of(item.folder) == first
    shutil.rmtree(item.folder / "masks")
    assert run_item(by_file).status == "done"
    assert masks_of(item.folder) == first
    prompts.write_text('[{"box": [30, 25, 60, 46]}]')
    assert ask(row | {"prompts": "said.json"})[0].digest != by_file.digest


def test_other_weights_under_the_same_name_are_another_request(place: Path, tmp_path: Path, ask: Ask) -> None:
    row = {"source": "a.mp4", "prompts": BOX, "model": "changing.safetensors"}
    make_weights(place / "changing.safetensors", seed=3)
    (item,) = ask(row)
    assert run_item(item).status == "done"
    first = masks_of(item.folder)
    make_weights(place / "changing.safetensors", seed=4)
    (other,) = ask(row)
    assert kept(other) is None
    assert run_item(other).status == "done"
    assert masks_of(item.folder) != first


def test_another_video_of_the_same_name_takes_the_place(place: Path, ask: Ask) -> None:
    row = {"source": "moving.mp4", "prompts": BOX}
    make_clip(place / "moving.mp4", 4)
    (item,) = ask(row)
    assert run_item(item).frames == 4
    (item.folder / "my notes.txt").write_text("kept")
    make_clip(place / "moving.mp4", 5)
    (other,) = ask(row)
    assert run_item(other).frames == 5
    assert len(list((item.folder / "masks").iterdir())) == 5
    assert (item.folder / "my notes.txt").read_text() == "kept"


class Lost(BaseException):
    """Stands for a process that is gone: nobody catches it."""


def test_a_lost_item_goes_on_from_its_snapshot(place: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = ask({"source": "long.mp4", "prompts": BOX, "output": "whole"})
    assert run_item(whole).status == "done"
    (item,) = ask({"source": "long.mp4", "prompts": BOX, "output": "lost"})
    written: list[int] = []
    write = MaskOutput.write

    def lost(self: MaskOutput, masks: FrameMasks) -> None:
        written.append(masks.frame)
        if masks.frame == 40:
            raise Lost
        write(self, masks)

    monkeypatch.setattr(MaskOutput, "write", lost)
    with pytest.raises(Lost):
        run_item(item)
    assert len(list((item.folder / "state").glob("forward-*.pt"))) == 1  # the newest is enough to go on

    def counted(self: MaskOutput, masks: FrameMasks) -> None:
        written.append(masks.frame)
        write(self, masks)

    monkeypatch.setattr(MaskOutput, "write", counted)
    assert run_item(item).status == "done"
    assert written == [*range(41), *range(32, 50)]
    assert masks_of(item.folder) == masks_of(whole.folder)
    assert not (item.folder / "state").exists()


def test_going_on_is_tried_once_and_then_it_begins_anew(place: Path, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    (item,) = ask({"source": "long.mp4", "prompts": BOX})
    write = MaskOutput.write

    def lost(self: MaskOutput, masks: FrameMasks) -> None:
        write(self, masks)
        if masks.frame == 33:
            raise Lost

    with monkeypatch.context() as patch:
        patch.setattr(MaskOutput, "write", lost)
        with pytest.raises(Lost):
            run_item(item)
    (snapshot,) = (item.folder / "state").glob("forward-*.pt")
    snapshot.write_bytes(b"damaged")
    assert run_item(item).status == "failed"
    assert run_item(item).status == "done"


def test_one_process_a_gpu_and_one_thread_a_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 3)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [one["CUDA_VISIBLE_DEVICES"] for one in slots("cuda", None)] == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,GPU-8f2a")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in slots("cuda", 3)] == ["5", "GPU-8f2a", "5"]
    with pytest.raises(ValueError, match="a batch takes all GPUs"):
        slots("cuda:1", None)
    assert [one["OMP_NUM_THREADS"] for one in slots("cpu", 4)] == ["1"] * 4
    assert len(slots("cpu", None)) == processor_count()


def _workers(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def _until(come: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    while not come():
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def six(place: Path) -> Path:
    """A manifest of six clips."""
    names = [f"{number}.mp4" for number in range(6)]
    for number, name in enumerate(names):
        make_clip(place / name, 60, shade=80 + 10 * number)
    return make_manifest(place / "six.csv", [{"source": name, "prompts": BOX} for name in names])


def _hear_ctrl_c() -> None:
    """As in a terminal: what a shell starts in the background, these tests too maybe, is deaf to it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_run_that_was_stopped_goes_on(place: Path, six: Path, tmp_path: Path, number: signal.Signals) -> None:
    """Killed by kill -9 or stopped by Ctrl+C amid the third item: what was done stays, the rest follows, once."""
    weights = place / "tiny.safetensors"
    whole, out = tmp_path / "whole", tmp_path / "out"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command(six, whole, weights, "--jobs", "2"), env=environment(), check=True, **quiet)  # type: ignore[call-overload]
    process = subprocess.Popen(  # type: ignore[call-overload]
        command(six, out, weights, "--jobs", "2"), env=environment(), preexec_fn=_hear_ctrl_c, **quiet
    )

    def begun_the_third() -> bool:
        finished = [path for path in out.glob("*/item.json") if '"done"' in path.read_text()]
        under_way = [path for path in out.glob("*/masks/00033.png") if path.parents[1] / "item.json" not in finished]
        return len(finished) >= 2 and bool(under_way)

    _until(begun_the_third, process)
    workers = _workers(process)
    process.send_signal(number)
    process.wait()
    psutil.wait_procs(workers, timeout=10)
    assert not any(worker.is_running() for worker in workers)
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/run.json") if not (path.parent / "state").exists()}
    assert 2 <= len(before) < 6
    assert (out / "summary.csv").exists() == (number == signal.SIGINT)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert {row["status"] for row in summary_of(out).values()} == {"done", "waiting"}
    subprocess.run(command(six, out, weights, "--jobs", "2"), env=environment(), check=True, **quiet)  # type: ignore[call-overload]
    assert masks_of(out) == masks_of(whole)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    statuses = [row["status"] for row in summary_of(out).values()]
    assert (statuses.count("kept"), statuses.count("done")) == (len(before), 6 - len(before))


@pytest.mark.slow
def test_a_process_that_dies_takes_its_item_alone(place: Path, six: Path, tmp_path: Path) -> None:
    out, weights = tmp_path / "out", place / "tiny.safetensors"
    process = subprocess.Popen(
        command(six, out, weights, "--jobs", "1"), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    _until(lambda: (out / "2" / "masks" / "00010.png").exists(), process)
    victim = max(_workers(process), key=lambda one: one.memory_info().rss)
    os.kill(victim.pid, signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == 1
    assert b"SIGKILL" in said
    summary = summary_of(out)
    assert {name: row["status"] for name, row in summary.items()} == {
        **dict.fromkeys("01345", "done"),
        "2": "failed",
    }
    assert main(command(six, out, weights, "--jobs", "1")[3:]) == 0
    assert summary_of(out)["2"]["status"] == "done"
