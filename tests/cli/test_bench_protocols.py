"""`trocar bench run` with protocols of the table: names, recipes, settings as options, resuming, incomplete runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import torch

from trocar.bench.protocol import protocol_class, protocol_name, read_protocol
from trocar.bench.protocols import PROTOCOLS
from trocar.bench.protocols.vocalfolds import Vocalfolds
from trocar.cli import main
from trocar.datasets import own_data
from trocar.datasets.vocalfolds import write_fixture
from trocar.model import Network, tiny_random
from trocar.model.checkpoint import save_weights

Run = Callable[..., int]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with made-up vocal folds, and weights of a tiny network."""
    root = tmp_path_factory.mktemp("data")
    write_fixture(root / "vocalfolds")
    torch.manual_seed(3)
    save_weights(Network(tiny_random()), root / "tiny.safetensors", {})
    return root


@pytest.fixture
def run(root: Path) -> Run:
    def command(asked: str, out: Path, *more: str) -> int:
        model = str(root / "tiny.safetensors")
        return main(["bench", "run", asked, "--model", model, "--data", str(root), "--out", str(out), *more])

    return command


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_is_named_documented_and_has_settings(name: str) -> None:
    protocol = protocol_class(name)()
    assert protocol_name(protocol) == name
    assert protocol.title
    assert protocol.sources()
    assert main_help(name) == 0


def main_help(name: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "run", name, "--help"])
    return int(str(stopped.value.code))


def test_one_process_and_two_give_the_same_and_a_run_repeats_itself(run: Run, tmp_path: Path) -> None:
    said = ["--split", "train", "--min-area-px", "1", "--prompts", "1-click,box"]
    assert run("vocalfolds", tmp_path / "one", *said) == 0
    assert run("vocalfolds", tmp_path / "two", *said, "--jobs", "2") == 0
    table = pq.read_table(tmp_path / "one" / "cases.parquet")
    assert table.num_rows == 3 * 4 * 2 * 8  # sequences, classes, prompts, metrics
    for name in ("cases.parquet", "summary.json", "failures.json", "pictures.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    timings = json.loads((tmp_path / "two" / "timings.json").read_text())
    assert len(timings) == 3
    assert timings[0]["box"]["frames_per_second"] > 0
    # The recipe in the folder says all that was said.
    assert run(str(tmp_path / "one" / "recipe.toml"), tmp_path / "three") == 0
    assert (tmp_path / "one" / "cases.parquet").read_bytes() == (tmp_path / "three" / "cases.parquet").read_bytes()


def test_an_interrupted_run_says_how_to_go_on_and_does(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = ["--split", "held_out", "--min-area-px", "1"]
    score, scored = Vocalfolds.score, []

    def interrupted(self: Vocalfolds, *given: object) -> object:
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(given)
        return score(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Vocalfolds, "score", interrupted)
    assert run("vocalfolds", tmp_path / "out", *said) == 130
    assert "the same command goes on" in capsys.readouterr().err
    monkeypatch.undo()
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cases").glob("*.json")}
    assert len(kept) == 2
    assert run("vocalfolds", tmp_path / "out", *said) == 0
    assert all((tmp_path / "out" / "cases" / name).stat().st_mtime_ns == when for name, when in kept.items())
    assert run("vocalfolds", tmp_path / "whole", *said) == 0
    assert (tmp_path / "out" / "cases.parquet").read_bytes() == (tmp_path / "whole" / "cases.parquet").read_bytes()


def test_a_run_of_some_cases_or_with_failures_is_incomplete(
    run: Run, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("vocalfolds", tmp_path / "some", "--split", "train", "--limit", "1", "--json") == 1
    said = capsys.readouterr()
    assert "only the first 1 of 3 cases were asked for" in said.err
    assert json.loads(said.out)["partial"]
    damaged = tmp_path / "data"
    write_fixture(damaged / "vocalfolds")
    (damaged / "vocalfolds/labels/patient2/seq7/0002.png").unlink()
    model = str(root / "tiny.safetensors")
    said_all = ["--split", "train", "--min-area-px", "1", "--model", model, "--data", str(damaged)]
    assert main(["bench", "run", "vocalfolds", *said_all, "--out", str(tmp_path / "damaged")]) == 1
    error = capsys.readouterr().err
    assert "1 of 3 cases failed" in error
    assert "0002.png is missing" in error


def test_a_recipe_with_sets_of_ones_own(run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'protocol = "sa-sv"\nsubsets = ["A=vocalfolds/tune", "B=vocalfolds/train"]\nprompts = ["3-click"]\n'
    )
    assert run(str(recipe), tmp_path / "out", "--limit", "1", "--tracker", "dis-flow") == 1
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert (record["protocol"], record["settings"]["tracker"]) == ("sa-sv", "dis-flow")
    cells = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert {cell["subset"] for cell in cells} == {"A", "B", "Average"}


def test_masklets_of_ones_own_in_folders_are_subsets(
    run: Run, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own_data.write_fixture(tmp_path / "own-data")
    model = str(root / "tiny.safetensors")
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'protocol = "sa-sv"\nsubsets = ["CIS-Test=own-data/test/c", "Mine=own-data/val"]\nprompts = ["box"]\n'
    )
    said = ["--model", model, "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["bench", "run", str(recipe), *said]) == 1
    assert "incomplete: CIS-Test: 1 cases are there and 4 are published" in capsys.readouterr().err
    rows = pq.read_table(tmp_path / "out" / "cases.parquet").to_pylist()
    assert {(row["subset"], row["case"]) for row in rows} == {("CIS-Test", "c/d"), ("Mine", "b")}
    assert {row["label"] for row in rows} == {"hook", "gallbladder"}
    assert main(["bench", "run", str(recipe), *said, "--subsets", "Mine=own-data/test/e"]) == 2
    assert "holds no case in e/" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("subsets = []\n", "names no protocol: add a line like"),
        ('protocol = "sasv"\n', "there is no protocol 'sasv'; did you mean 'sa-sv'"),
        ('protocol = "sa-sv"\nprompt = ["box"]\n', "unknown key prompt: did you mean prompts"),
        ('protocol = "sa-sv"\nprompts = ["line"]\n', "prompts"),
    ],
)
def test_a_recipe_with_a_fault_is_answered_in_one_line(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "run", str(recipe)])
    assert said in capsys.readouterr().err


def test_the_recipes_of_the_repository_are_read(root: Path) -> None:
    folder = Path(__file__).resolve().parents[2] / "recipes"
    assert protocol_name(read_protocol(folder / "sa-sv.toml")) == "sa-sv"
    assert read_protocol(folder / "vocalfolds.toml") == Vocalfolds()


def test_bad_usage_is_answered(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("vocalfolds", tmp_path / "a", "--jobs", "0") == 2
    assert run("vocalfolds", tmp_path / "a", "--split", "other") == 2
    assert run("vocalfolds", tmp_path / "a", "--data", str(tmp_path)) == 2
    assert not (tmp_path / "a").exists()
    for asked in ("missing.toml", "sasv"):
        with pytest.raises(SystemExit, match="2"):
            main(["bench", "run", asked])
    assert "sa-sv" in capsys.readouterr().err
