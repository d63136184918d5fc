"""The command line: what it writes, how it resumes, and that bad input costs one clear line and nothing else."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from trocar.cli import main
from trocar.formats.label_png import read_label_pngs
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights

FRAMES, ROWS, COLUMNS = 40, 48, 64
Run = Callable[..., int]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(3)
    save_weights(Network(tiny_random()), path, {})
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square that wanders over grey."""
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = COLUMNS, ROWS, "yuv420p"
        for number in range(FRAMES):
            picture = np.full((ROWS, COLUMNS, 3), 90, np.uint8)
            picture[10:30, number : number + 20] = (200, 60, 60)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def segment(video: Path, weights: Path, tmp_path: Path) -> Run:
    def run(*arguments: str, source: Path = video, out: Path = tmp_path / "out") -> int:
        return main(["segment", str(source), "--model", str(weights), "--out", str(out), *arguments])

    return run


def test_segment_writes_masks_and_a_record(segment: Run, tmp_path: Path) -> None:
    said = ["--box", "2,8,22,32@0", "--object", "2", "--point", "40,40@3", "--point", "5,5,-@3"]
    assert segment(*said, "--format", "png", "rle", "overlay") == 0
    out = tmp_path / "out"
    frames = list(read_label_pngs(out / "masks"))
    assert len(frames) == FRAMES
    with Image.open(out / "masks" / "00000.png") as image:
        assert image.size == (COLUMNS, ROWS)
    record = json.loads((out / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["frames_tracked"] == FRAMES + 3  # forward, and object 2 back over frames 2, 1, 0
    assert {prompt["object"] for prompt in record["prompts"]} == {1, 2}
    assert (out / "overlay.mp4").stat().st_size > 0
    assert not (out / "state").exists()


def test_interrupt_leaves_finished_frames_and_resume_completes_them(
    segment: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert segment("--box", "2,8,22,32@0", out=tmp_path / "whole") == 0
    from trocar.formats import MaskOutput

    write, written = MaskOutput.write, []

    def interrupted(self: MaskOutput, masks: object) -> None:
        if len(written) == 36:
            raise KeyboardInterrupt
        written.append(masks)
        write(self, masks)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskOutput, "write", interrupted)
    assert segment("--box", "2,8,22,32@0") == 130
    out = tmp_path / "out"
    assert len(list(read_label_pngs(out / "masks"))) == 36
    assert json.loads((out / "run.json").read_text())["status"] == "interrupted"
    monkeypatch.undo()
    assert segment("--box", "2,8,22,33@0", "--resume") == 2  # not the same prompt
    assert segment("--box", "2,8,22,32@0", "--resume") == 0
    record = json.loads((out / "run.json").read_text())
    assert record["frames_tracked"] == FRAMES - 32  # from the snapshot after frame 31
    for name in sorted(path.name for path in (tmp_path / "whole" / "masks").iterdir()):
        assert (out / "masks" / name).read_bytes() == (tmp_path / "whole" / "masks" / name).read_bytes()
    assert segment("--box", "2,8,22,32@0", "--resume") == 2  # nothing left to resume


def folder_of_mixed_sizes(path: Path) -> Path:
    path.mkdir()
    Image.new("RGB", (10, 10)).save(path / "a.png")
    Image.new("RGB", (10, 12)).save(path / "b.png")
    return path


def truncated(video: Path, path: Path) -> Path:
    path.write_bytes(video.read_bytes()[:1500])
    return path


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["--box", "2,8,220,32@0"], ["220", "64"]),
        (["--box", "22,8,2,32@0"], ["box"]),
        (["--box", "1,2,3"], ["1,2,3"]),
        (["--point", "2,8@40"], ["40", "39"]),
        (["--point", "2,80@1"], ["80", "48"]),
        (["--mask", "nowhere.png@0"], ["nowhere.png"]),
        (["--prompts", "nowhere.json"], ["nowhere.json"]),
        (["--box", "2,8,22,32", "--model", "nanno"], ["nanno", "nano"]),
        (["--box", "2,8,22,32", "--model", "sam2.1-large"], ["sam2.1", "Hugging Face"]),
        (["--box", "2,8,22,32", "--memory", "recnt"], ["recnt", "recent"]),
        (["--box", "2,8,22,32", "--format", "nifti"], ["nifti"]),
        (["--object", "0", "--box", "2,8,22,32"], ["object"]),
        ([], ["--box"]),
    ],
)
def test_bad_usage_costs_one_line_and_leaves_nothing(
    segment: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], names: list[str]
) -> None:
    try:
        code = segment(*arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert all(name in line for name in names), line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", ["missing", "truncated", "empty", "mixed", "wrong mask", "text"])
def test_bad_sources_cost_one_line_and_leave_nothing(
    segment: Run, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    arguments = ["--box", "1,1,8,8@0"]
    source = tmp_path / f"{kind.replace(' ', '-')}.mp4"
    if kind == "truncated":
        truncated(video, source)
    elif kind == "empty":
        empty_folder(source)
    elif kind == "mixed":
        folder_of_mixed_sizes(source)
    elif kind == "text":
        source = tmp_path / "notes.txt"
        source.write_text("not a picture")
    elif kind == "wrong mask":
        source = video
        Image.new("L", (9, 9), 255).save(tmp_path / "m.png")
        arguments = ["--mask", f"{tmp_path / 'm.png'}@0"]
    assert segment(*arguments, source=source) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert ("9" if kind == "wrong mask" else source.name) in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 600 kB, where the tests may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small file system is not permitted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_named_and_nothing_passes_as_whole(
    segment: Run, small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (small_disk / "ballast").write_bytes(bytes(480_000))
    assert segment("--box", "2,8,22,32@0", out=small_disk / "out") == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert "disk is full" in line
    assert not (small_disk / "out" / "masks.jsonl").exists()
    (small_disk / "ballast").unlink()
    assert segment("--box", "2,8,22,32@0", "--resume", out=small_disk / "out") == 0
    assert len(list(read_label_pngs(small_disk / "out" / "masks"))) == FRAMES


@pytest.mark.parametrize("verb", ["models", "policies", "formats", "datasets"])
def test_tables_print_text_and_json(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 1
    assert main([verb, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) > 1


def test_info_tells_frames_size_and_rate(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(video), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)[0]
    assert (facts["frames"], facts["rows"], facts["columns"]) == (FRAMES, ROWS, COLUMNS)
    assert facts["frames_per_second"] == 25


def test_a_data_set_is_described_and_checked(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from trocar.load import load_dataset

    assert main(["datasets", "about", "vocalfolds", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["licence"] == "CC BY 4.0"
    load_dataset("vocalfolds").write_fixture(tmp_path)
    assert main(["datasets", "check", "vocalfolds", str(tmp_path)]) == 0
    assert "problems" in capfd.readouterr().out
    (tmp_path / "images/patient1/seq1/0001.jpg").write_bytes(b"")
    assert main(["datasets", "check", "vocalfolds", str(tmp_path)]) == 2
    assert "0001.jpg cannot be read as a picture" in capfd.readouterr().out
    assert main(["datasets", "check", "vocalfold", str(tmp_path)]) == 2
    assert "did you mean 'vocalfolds'" in capfd.readouterr().err


def test_masklets_of_a_data_set_and_their_corrections(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from trocar.load import load_dataset

    load_dataset("vocalfolds").write_fixture(tmp_path / "set")
    made = ["datasets", "masklets", "vocalfolds", str(tmp_path / "set"), str(tmp_path / "out"), "--split", "tune"]
    assert main([*made, "--json"]) == 0
    (row,) = json.loads(capfd.readouterr().out)
    assert (row["case"], row["frames"], row["masklets"]) == ("patient2/seq6", 3, 4)
    masks = tmp_path / "out/patient2/seq6/masks.json"
    assert main([*made, "--corrections", f"patient2/seq6={masks}"]) == 0
    assert main([*made, "--corrections", f"seq6={masks}"]) == 2
    assert "write CASE=FILE with one of the cases, such as patient2/seq6" in capfd.readouterr().err
    assert main([*made, "--cases", "seq9"]) == 2
    assert "no case is called seq9" in capfd.readouterr().err
