"""The benchmark of remembering: figures by hand, masks as a session gives them, runs that go on where they ended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trocar.bench.long_absence import (
    FIGURES,
    Recipe,
    markdown,
    run_long_absence,
    table_rows,
)
from trocar.bench.long_absence_plot import plot_long_absence
from trocar.bench.remembering import Scores, follow_scene, on_look_alike
from trocar.datasets.absence_scenes import TARGET, Picture, RememberingScene, absence_scene
from trocar.load import load_memory
from trocar.metrics import SequenceRules, j_and_f
from trocar.model import Network, tiny_random
from trocar.prompts import tight_box
from trocar.settings import read_settings, to_toml
from trocar.track.session import Session

ROOT = Path(__file__).resolve().parents[2]
SIDE = 64


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random()).eval()


def blank(labels: np.ndarray[Any, Any], returned: range = range(0), look_alikes: bool = False) -> RememberingScene:
    """A scene of black frames with these labels."""
    black = np.zeros((*labels.shape[1:], 3), np.uint8)
    return RememberingScene(
        "s", lambda frame: Picture(black, labels[frame]), len(labels), labels.shape[1], returned, look_alikes
    )


class TestScores:
    def test_a_look_alike_is_taken_where_more_of_it_is_covered_than_of_the_target(self) -> None:
        labels = np.zeros((10, 10), np.uint8)
        labels[0:4, 0:5] = TARGET  # 20 px
        labels[5:10, 0:10] = 2  # 50 px
        mask = np.zeros((10, 10), np.bool_)
        mask[3:7, 0:5] = True  # 5 px of the target, 10 of the look-alike
        assert on_look_alike(mask, labels)
        mask[1:3, 0:5] = True  # 15 px of the target
        assert not on_look_alike(mask, labels)
        touch = np.zeros((10, 10), np.bool_)
        touch[5, 0:4] = True  # 4 of 50 px: less than a tenth
        assert not on_look_alike(touch, labels)
        touch[5, 4] = True
        assert on_look_alike(touch, labels)
        assert not on_look_alike(np.zeros((10, 10), np.bool_), labels)

    def test_figures_by_hand(self) -> None:
        labels = np.zeros((7, 10, 10), np.uint8)
        labels[0:2, 2:6, 2:6] = TARGET
        labels[5:7, 2:6, 2:6] = TARGET
        labels[:, 8, :] = 2
        target, alike, nothing = labels[0] == TARGET, labels[0] == 2, np.zeros((10, 10), np.bool_)
        scores = Scores(blank(labels, range(5, 7), look_alikes=True))
        # absent on 2, 3, 4: nothing, the look-alike (10 px), the look-alike; after the return: look-alike, then right
        for frame, mask in enumerate([nothing, target, nothing, alike, alike, alike, target]):
            scores.add(frame, mask, labels[frame])
        figures = scores.figures()
        assert figures["j_and_f"] == pytest.approx(3 / 6)  # 1, 1, 0, 0, 0, 1; the prompted frame does not count
        assert figures["j_and_f_returned"] == pytest.approx(0.5)
        assert (figures["switched_frames"], figures["switches"]) == (3, 1)
        assert figures["false_presence"] == pytest.approx(2 / 3)
        assert figures["false_area_px"] == pytest.approx(20 / 3)

    def test_without_look_alikes_absences_or_a_return_there_is_no_figure(self) -> None:
        labels = np.full((2, 4, 4), TARGET, np.uint8)
        scores = Scores(blank(labels))
        for frame in range(2):
            scores.add(frame, labels[frame] == TARGET, labels[frame])
        figures = scores.figures()
        assert figures.pop("j_and_f") == 1
        assert set(figures.values()) == {None}

    @pytest.mark.parametrize("first", [1, 4])
    def test_j_and_f_is_that_of_the_metric(self, first: int) -> None:
        rng = np.random.default_rng(first)
        truth = np.zeros((9, 32, 32), np.uint8)
        found = np.zeros((9, 32, 32), np.uint8)
        truth[0, 4:12, 4:12] = TARGET
        for frame in range(first, 9):
            x, y = rng.integers(0, 20, 2)
            truth[frame, x : x + 10, y : y + 8] = TARGET * (frame % 3 > 0)
            found[frame, x + 2 : x + 11, y : y + 9] = 1
        scores = Scores(blank(truth))
        for frame in range(9):
            scores.add(frame, found[frame] > 0, truth[frame])
        expected = j_and_f(found, truth, SequenceRules(skip_ends=False), {1: 0}).j_and_f
        assert scores.figures()["j_and_f"] == pytest.approx(expected)


class TestFollowing:
    @pytest.mark.parametrize("policy", ["recent", "tree", "divemem"])
    def test_masks_are_those_of_a_session(self, network: Network, policy: str) -> None:
        scene = absence_scene(0, 4, SIDE)
        figures = follow_scene(network, scene, {"none": load_memory("none"), policy: load_memory(policy)})[policy]
        session = Session(network, scene, load_memory(policy))
        session.add(tight_box(scene.truth(0) == TARGET))
        found = np.stack([masks.masks[1] for masks in session.propagate()]).astype(np.uint8)
        session.close()
        truth = np.stack([scene.truth(frame) for frame in range(len(scene))])
        expected = j_and_f(found, truth, SequenceRules(skip_ends=False), {1: 0})
        assert figures["j_and_f"] == pytest.approx(expected.j_and_f)
        areas = found.sum((1, 2))[truth.max((1, 2)) == 0]
        assert figures["false_area_px"] == pytest.approx(areas.mean())

    def test_what_is_read_and_kept_is_counted(self, network: Network) -> None:
        scene = absence_scene(0, 4, SIDE)  # 28 frames
        policies = {"recent": load_memory("recent"), "none": load_memory("none")}
        done: list[int] = []
        found = follow_scene(network, scene, policies, done.append)
        assert done == list(range(1, 29))
        recent, none = found["recent"], found["none"]
        assert recent["rows"] == none["rows"] == 27
        # the prompt, and 0, 1, 2, 3, 4, 5, then 21 times 6 tracked frames
        assert recent["read_mean"] == pytest.approx(1 + (15 + 21 * 6) / 27)
        assert recent["read_max"] == 7
        assert recent["kept_max"] == 16  # the prompt and 15 frames with pointers
        assert (none["read_max"], none["kept_max"], none["false_presence"]) == (0, 0, 0)
        assert recent["rows_per_second"] > 0

    def test_hypotheses_are_rows(self, network: Network) -> None:
        scene = absence_scene(0, 4, SIDE)
        rows = follow_scene(network, scene, {"tree": load_memory("tree")})["tree"]["rows"]
        assert 27 < rows <= 3 * 27


class TestRecipe:
    def test_the_one_we_publish_is_the_default(self) -> None:
        assert read_settings(Recipe, ROOT / "recipes/long_absence.toml") == Recipe()

    def test_round_trip(self, tmp_path: Path) -> None:
        recipe = Recipe(seeds=(3,), gaps=(), kinds=("zoom",), policies=("recent:stride=5", "none"))
        (tmp_path / "r.toml").write_text(to_toml(recipe), encoding="utf-8")
        assert read_settings(Recipe, tmp_path / "r.toml") == recipe

    def test_clips_of_a_seed_follow_one_another(self) -> None:
        recipe = Recipe(seeds=(1, 2), kinds=("absence", "zoom"), gaps=(5, 9))
        one = [("absence", 5), ("absence", 9), ("zoom", None)]
        assert recipe.clips() == [(*kind, seed) for seed in (1, 2) for kind in one]

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("sed = [1]", "unknown key sed: did you mean seeds?"),
            ("seeds = 3", "seeds must be a list, each a whole number, not 3"),
            ("seeds = ['a']", "seeds[0] must be a whole number, not 'a'"),
            ("size = [3]", "size must be a whole number, not [3]"),
            ("kinds = ['zom']", "unknown kind of scene 'zom'"),
            ("policies = ['recnt']", "recent"),
            ("gaps = [0]", "gaps are 1 frame or more"),
            ("seeds = []", "at least one seed"),
            ("seeds = [", "r.toml"),
        ],
    )
    def test_faults_are_named(self, tmp_path: Path, text: str, complaint: str) -> None:
        (tmp_path / "r.toml").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=r"r\.toml") as caught:
            read_settings(Recipe, tmp_path / "r.toml")
        assert complaint in str(caught.value)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"nowhere.toml"):
            read_settings(Recipe, tmp_path / "nowhere.toml")


SMALL = Recipe("tiny-random", (0, 1), ("absence", "distractor", "unordered"), (2,), (3,), ("recent", "none"), SIDE)


@pytest.fixture(scope="module")
def folder(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    run_long_absence(network, SMALL, out)
    return out


class TestRun:
    def test_means_and_deviations_over_seeds(self, folder: Path) -> None:
        figures = json.loads((folder / "long-absence.json").read_text(encoding="utf-8"))
        assert [(row["kind"], row["gap"], row["policy"]) for row in figures["rows"]] == [
            (kind, gap, policy)
            for kind, gap in (("absence", 2), ("distractor", 3), ("unordered", None))
            for policy in ("recent", "none")
        ]
        files = [folder / "clips" / f"absence-2-{seed}-64px.json" for seed in (0, 1)]
        a, b = (json.loads(file.read_text())["policies"]["recent"]["figures"]["j_and_f"] for file in files)
        row = figures["rows"][0]
        assert row["j_and_f"] == pytest.approx((a + b) / 2)
        assert row["j_and_f_sd"] == pytest.approx(abs(a - b) / 2**0.5)
        assert figures["rows"][4]["switches"] is None
        assert read_settings(Recipe, folder / "recipe.toml") == SMALL

    def test_the_table(self, folder: Path) -> None:
        figures = json.loads((folder / "long-absence.json").read_text(encoding="utf-8"))
        rows = table_rows(figures)
        assert list(rows[0]) == ["kind", "gap", "policy", *(heading for heading, _ in FIGURES.values())]
        assert rows[4]["switches"] == ""
        text = (folder / "long-absence.md").read_text(encoding="utf-8")
        assert text == markdown(rows)
        assert len(text.splitlines()) == 2 + 6
        assert {line.count("|") for line in text.splitlines()} == {len(rows[0]) + 1}

    def test_a_second_run_computes_nothing_and_a_new_policy_only_itself(
        self, network: Network, folder: Path, tmp_path: Path
    ) -> None:
        told: list[str] = []
        folder = shutil.copytree(folder, tmp_path / "copy")
        before = json.loads((folder / "long-absence.json").read_text(encoding="utf-8"))
        again = run_long_absence(network, SMALL, folder, lambda what, done, total: told.append(what))
        assert told == []
        assert again["rows"] == before["rows"]
        more = Recipe("tiny-random", (0,), ("absence",), (2,), (3,), ("recent", "recent:stride=5"), SIDE)
        wider = run_long_absence(network, more, folder, lambda what, done, total: told.append(what))
        assert set(told) == {"1/1 absence-2-0"}
        assert wider["clips"][0]["policies"]["recent"] == before["clips"][0]["policies"]["recent"]
        assert wider["rows"][0]["j_and_f_sd"] is None

    def test_a_killed_run_keeps_the_clips_that_were_done(self, network: Network, tmp_path: Path) -> None:
        class Killed(Exception):
            pass

        def kill(what: str, done: int, total: int) -> None:
            if what.startswith("2/") and done == 5:
                raise Killed

        with pytest.raises(Killed):
            run_long_absence(network, SMALL, tmp_path, kill)
        assert [file.name for file in tmp_path.rglob("*.*")] == ["absence-2-0-64px.json"]
        told: list[str] = []
        run_long_absence(network, SMALL, tmp_path, lambda what, done, total: told.append(what))
        assert told[0] == "2/6 distractor-3-0"

    def test_other_weights_are_refused(self, folder: Path) -> None:
        torch.manual_seed(1)
        with pytest.raises(ValueError, match="figures of other weights"):
            run_long_absence(Network(tiny_random()), SMALL, folder)

    def test_pictures(self, folder: Path, tmp_path: Path) -> None:
        pytest.importorskip("matplotlib", reason="pictures need the extra `bench`")
        figures = json.loads((folder / "long-absence.json").read_text(encoding="utf-8"))
        plot_long_absence(figures, tmp_path / "a.png", tmp_path / "a.svg")
        assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"
        assert "</svg>" in (tmp_path / "a.svg").read_text(encoding="utf-8")
