"""`trocar recognize` and the recognition verbs of `trocar bench`, on files on disk."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from trocar.cli import main
from trocar.datasets.fixture import save_video
from trocar.datasets.recognition_sets import recognition_set

sys.path += [str(Path(__file__).parents[1] / name) for name in ("recognition", "datasets")]
from recognition_files import write_files
from tiny_recognition import tiny_encoder, tiny_recognizer

from trocar.model.video_encoder import save_video_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 30 frames, and a recognizer."""
    made = tmp_path_factory.mktemp("recognize")
    images = np.random.default_rng(0).integers(255, size=(30, 48, 64, 3)).astype(np.uint8)
    save_video(made / "video.mp4", images, 10)
    tiny_recognizer().save(made / "recognizer.safetensors", {"seed": "0"})
    save_video_encoder(tiny_encoder(), made / "encoder.safetensors", {})
    return made


def test_events_a_picture_and_json(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, plot = tmp_path / "events.csv", tmp_path / "plot.png"
    asked = ["recognize", str(folder / "video.mp4"), "--model", str(folder / "recognizer.safetensors")]
    assert main([*asked, "--out", str(out), "--plot", str(plot), "--step", "4", "--device", "cpu", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == [event["label"] for event in said["events"]]
    assert int(rows[0]["start_frame"]) == 0
    assert int(rows[-1]["stop_frame"]) == said["frames"] == 30
    assert float(rows[-1]["stop_s"]) == pytest.approx(3.0, abs=0.02)
    assert plot.is_file()
    assert said["outputs"] == [str(out), str(plot)]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model", "encoder.safetensors"], "is not a recognizer: `trocar bench recognition"),
        (["--model", "nothing.safetensors"], "nothing.safetensors"),
        (["--model", "recognizer.safetensors", "--smooth", "2"], "smooth an odd number"),
        (["--model", "recognizer.safetensors", "--plot", "plot.pdf"], "must end in .png"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    folder: Path, more: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert main(["recognize", "video.mp4", *more, "--out", "events.csv"]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not Path("events.csv").exists()


def test_a_video_that_is_none(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    damaged = tmp_path / "video.mp4"
    damaged.write_bytes(b"")
    model = str(folder / "recognizer.safetensors")
    assert main(["recognize", str(damaged), "--model", model, "--out", str(tmp_path / "events.csv")]) == 2
    assert str(damaged) in capsys.readouterr().err


def test_the_table_of_sets_a_set_and_its_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "recognition-sets", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 16
    write_files(recognition_set("cholec80"), tmp_path / "cholec80")
    asked = ["bench", "recognition-sets", "cholec80", "--data", str(tmp_path), "--json"]
    assert main([*asked, "--manifest", str(tmp_path / "split.csv"), "--test-videos", str(tmp_path / "t.toml")]) == 0
    assert [row["cases"] for row in json.loads(capsys.readouterr().out)] == [2, 1, 1]
    assert (tmp_path / "split.csv").is_file()
    assert "video41" in (tmp_path / "t.toml").read_text(encoding="utf-8")


def test_an_audit_of_released_splits_counts_shared_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from trocar.datasets.recognition_sets import recognition_sets

    paths = {  # one clip a set, the same on all sides
        "alxsuture": "a/A1A.mp4", "autolaparo": "label_15_1.mp4", "cataract-101": "case_764_p.mp4",
        "cataract-1k": "case_5011_p.mp4", "cataract-21": "case_18_validation_1.mp4", "cholec80": "cholec80_41_1.mp4",
        "colonoscopic": "web/Adenoma/NBI(5).mp4", "hyper-kvasir": f"a/{'0' * 8}-0000-0000-0000-{'0' * 12}_1.avi",
        "jigsaws": "Suturing_B001_capture1_1_2_G1.mp4", "kvasir-capsule": "v/04a78ef00c5245e0_1-2.mp4",
        "lapgyn4": "a/case_624_x.mp4", "ldpolypvideo": "v/0_61_21_30_no_polyps.mp4",
        "m2cai16": "test_workflow_video_01_x.mp4", "multibypass140": "p/BBP02_phase_1.mp4",
        "sar-rarp50": "a/video_11_1_label00_x.mp4", "surgicalactions160": "a/01_02.mp4",
    }  # fmt: skip
    for one in recognition_sets().values():
        place = tmp_path / one.released["folder"]
        place.mkdir()
        for part in ("train", "val", "test"):
            lines = [f"__DATA_ROOT__/{paths[one.name]} 0"] + ["", f"__DATA_ROOT__/{paths[one.name]} 1"] * (
                part == "train"
            )
            (place / f"{part}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["bench", "recognition-sets", "--released", str(tmp_path), "--json"]) == 0
    for row in json.loads(capsys.readouterr().out):
        counted = {"train": 2, "validation": 1, "test": 1, "test_cases": 1, "shared_cases": 1}
        assert row == {"name": row["name"], **counted, "validation_is_test": True, "majority": 1.0}


def test_bench_recognition_and_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        'tasks = ["rendered/endoscopy/finding"]\nmethod = "linear"\nseeds = [0]\nstride = 1\ntrain_views = 1\n'
        "[rendered]\ntrain = 8\nvalidation = 4\ntest = 6\n[probe]\nepochs = 1\n"
        "[fresh]\nwidth = 48\ndepth = 2\nheads = 4\nside = 32\nframes = 4\npatch = 8\n",
        encoding="utf-8",
    )
    for name, more in (("fresh", []), ("own", ["--encoder", str(folder / "encoder.safetensors")])):
        out = ["--out", str(tmp_path / name), "--device", "cpu"]
        assert main(["bench", "recognition", str(recipe), *out, *more]) == 0
    said = capsys.readouterr().out
    assert "majority" in said
    assert "macro" in said
    assert main(["bench", "recognition-compare", str(tmp_path / "own"), str(tmp_path / "fresh"), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"rendered/endoscopy/finding", "endoscopy", "macro", "worst"}
    assert main(["bench", "recognition", str(recipe), "--out", str(tmp_path / "x"), "--tasks", "rendered/x"]) == 2
    assert "there is no recognition task 'rendered/x'" in capsys.readouterr().err


def test_bench_vlm_says_when_nobody_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "vlm.toml"
    recipe.write_text(
        'tasks = ["rendered/endoscopy/finding"]\ngive_up = 1\n[rendered]\ntrain = 1\nvalidation = 1\ntest = 2\n'
        '[endpoint]\nbase_url = "http://127.0.0.1:9"\nmodel = "made-up"\nretries = 0\n',
        encoding="utf-8",
    )
    assert main(["bench", "vlm", str(recipe), "--out", str(tmp_path / "out")]) == 1
    assert "does not answer" in capsys.readouterr().err
