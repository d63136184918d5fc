"""Who survives a frame, by hand; and equal paths kept as one against a tree that carries them all."""

from __future__ import annotations

from collections import Counter
from math import log

import numpy as np
import pytest
from forked import SURE, branched, said, tree

from trocar.memory.scripted import Answer
from trocar.memory.seam import Choice


def ways(choices: list[Choice]) -> list[tuple[int, int]]:
    return [(choice.parent, choice.candidate) for choice in choices]


def test_the_first_tracked_frame_has_one_path_and_no_score() -> None:
    """Though it is uncertain; branching begins with the second."""
    track = tree()
    first = track.step(1, said(0.5, 0.2, 0.7, 0.4))
    assert ways(first) == [(0, 1)]
    assert first[0].score == 0
    assert len(track.read(2)) == 1


def test_scores_are_sums_of_logarithms() -> None:
    track = branched()
    assert [path["score"] for path in track.policy.paths] == pytest.approx(
        [0, log(0.5 / 0.9), log(0.4 / 0.9)], abs=1e-4
    )  # type: ignore[attr-defined]
    # ln 0.3 = -1.204 for path 0, -0.588 + ln 0.9 = -0.693 and -0.588 + ln 0.8 = -0.811 for path 1,
    # -0.811 + ln 0.95 = -0.862 for path 2. The frame is certain, the three best go on: path 0 dies.
    choices = track.step(3, said(3, 0.3, 0.2, 0.1), said(3, 0.9, 0.8, 0.1), said(3, 0.95, 0.1, 0.1))
    assert ways(choices) == [(1, 0), (1, 1), (2, 0)]
    assert [choice.score for choice in choices] == pytest.approx([0, -0.8109 + 0.6931, -0.8622 + 0.6931], abs=1e-3)


def test_an_iou_of_nothing_has_a_score_too() -> None:
    track = branched()
    choices = track.step(3, *[said(1, 0.0, 0.5, 0.25)] * 3)
    # Path 0 with 0.5; its 0.25 (ln 0.25 = -1.386) before path 1 with 0.5, which has been seen; the 0 of path 0 comes
    # with ln 1e-5 = -11.5, and is the third that is unlike.
    assert ways(choices) == [(0, 1), (0, 2), (0, 0)]
    assert choices[-1].score == pytest.approx(log(1e-5) - log(0.50001), abs=1e-3)


def test_a_certain_frame_keeps_equal_paths_together() -> None:
    """Three copies of one path keep three copies of its best candidate: golden trace 6."""
    track = tree()
    for time in range(1, 30):
        choices = track.step(time, SURE)
        assert ways(choices) == [(0, 0)]
        assert choices[0].tags == {"copies": 3}


def test_the_largest_absolute_object_score_of_all_paths_makes_a_frame_certain() -> None:
    low = said(0.1, 0.9, 0.6, 0.3)
    sure, unsure = branched(), branched()
    # Certain: the three best are 0.9 of path 0, 0.6 of path 0 (ln -0.511), 0.9 of path 1 (-0.588 - 0.105 = -0.693).
    assert ways(sure.step(3, low, low, said(-2.1, 0.9, 0.6, 0.3))) == [(0, 0), (0, 1), (1, 0)]
    # Uncertain at exactly 2: 0.9 and 0.6 of path 0, no 0.9 again but, of the absent one, -0.9 (-0.811 - 0.105 =
    # -0.916), before 0.3 of path 0 (-1.204).
    assert ways(unsure.step(3, low, low, said(-2.0, 0.9, 0.6, 0.3))) == [(0, 0), (0, 1), (2, 0)]


def test_like_ious_are_those_equal_to_two_decimals() -> None:
    track = tree()
    track.step(1, SURE)
    # 0.804 and 0.796 are both 0.80; two survive, and a copy of the path without survivor adds its best.
    choices = track.step(2, said(1, 0.804, 0.796, 0.4))
    assert ways(choices) == [(0, 0), (0, 2)]
    assert [choice.tags for choice in choices] == [{"copies": 2}, {}]


def test_a_path_without_survivor_is_kept_by_its_best_candidate() -> None:
    track = branched()
    # All say 0.5: the first of path 0 is kept; paths 1 and 2 add their best.
    choices = track.step(3, *[said(1, 0.5, 0.5, 0.5)] * 3)
    assert ways(choices) == [(0, 0), (1, 0), (2, 0)]


def test_never_more_than_p_survive_and_the_best_comes_first() -> None:
    track = branched()
    # 0.5 of path 0 (-0.693) and 0.1 of path 0 (-2.303) are unlike; path 1's 0.5 (-1.281) and path 2's (-1.504) have
    # been seen. Path 1 is added, path 2 no more: P = 3. Sorted by score, path 1 stands before path 0's 0.1.
    choices = track.step(3, *[said(1, 0.5, 0.1, 0.1)] * 3)
    assert ways(choices) == [(0, 0), (1, 0), (0, 1)]


def test_presence_is_each_paths_own() -> None:
    choices = branched().step(3, said(1, 0.9, 0.1, 0.1), said(-1, 0.8, 0.1, 0.1), said(1, 0.7, 0.1, 0.1))
    # Path 1 has -0.588 + ln 0.8 = -0.811, path 2 -0.811 + ln 0.7 = -1.168.
    assert [(choice.parent, choice.present) for choice in choices] == [(0, True), (1, False), (2, True)]


class Copies:
    """The card's rule with all P paths, equal or not; a path is the list of (frame, candidate, IoU) that made it."""

    def __init__(self, pathways: int, uncertainty: float) -> None:
        self.pathways = pathways
        self.uncertainty = uncertainty
        self.paths: list[tuple[float, tuple[int, ...]]] = []

    def step(self, seed: int) -> None:
        if not self.paths:
            answer = answer_to((), seed)
            self.paths = [(0.0, (int(np.argmax(answer.iou)),))] * self.pathways
            return
        answers = [answer_to(history, seed) for _, history in self.paths]
        ranking = sorted(
            (
                (self.paths[at][0] + log(iou + 1e-5), at, index)
                for at, one in enumerate(answers)
                for index, iou in enumerate(one.iou)
            ),
            key=lambda offer: -offer[0],
        )
        if max(abs(one.score) for one in answers) > self.uncertainty:
            kept = ranking[: self.pathways]
        else:
            kept, seen = [], set()
            for offer in ranking:
                signed = round(answers[offer[1]].iou[offer[2]] * (1 if answers[offer[1]].score > 0 else -1), 2)
                if signed not in seen and len(kept) < self.pathways:
                    kept.append(offer)
                    seen.add(signed)
            without = [at for at in range(self.pathways) if at not in {offer[1] for offer in kept}]
            added = sorted((next(offer for offer in ranking if offer[1] == at) for at in without), key=lambda o: -o[0])
            kept += added[: self.pathways - len(kept)]
        self.paths = [(score, (*self.paths[at][1], index)) for score, at, index in kept]


def answer_to(history: tuple[int, ...], seed: int) -> Answer:
    """What the decoder says to a path: the same to equal ones. Coarse numbers, so that IoUs are often alike."""
    rng = np.random.default_rng((seed, len(history), *history))
    return said(float(rng.normal(0, 1.5)), *(rng.integers(1, 20, 3) / 20 + rng.integers(3) / 1000).tolist())


@pytest.mark.parametrize("pathways", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(6))
def test_equal_paths_kept_as_one_give_what_all_would_give(seed: int, pathways: int) -> None:
    full, track = Copies(pathways, 2.0), tree(pathways=pathways)
    histories: list[tuple[int, ...]] = [()]
    for time in range(1, 25):
        choices = track.step(time, *(answer_to(history, seed) for history in histories))
        histories = [(*histories[choice.parent], choice.candidate) for choice in choices]
        full.step(seed)
        assert len(set(histories)) == len(histories)
        copies = Counter({way: int(one.tags.get("copies", 1)) for way, one in zip(histories, choices, strict=True)})
        assert copies == Counter(history for _, history in full.paths)
        best = max(full.paths, key=lambda path: path[0])[0]
        relative = {history: score - best for score, history in full.paths}
        assert [choice.score for choice in choices] == pytest.approx([relative[way] for way in histories], abs=1e-9)
        assert [choice.score for choice in choices] == sorted((choice.score for choice in choices), reverse=True)
