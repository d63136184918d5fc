"""Scores frame by frame are those of whole videos, and each object begins where it first shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_cases import made_case
from numpy.typing import NDArray

from trocar.bench.masklets import EVERY_FRAME, add_frame, appearances, prompted, track_case, truth_of
from trocar.bench.prompted_once import AREA, PromptedOnce, masklet_rows
from trocar.bench.protocol import Source
from trocar.bench.protocols.davis17 import Davis17, davis_rows
from trocar.bench.protocols.sa_sv import SaSv
from trocar.bench.protocols.vocalfolds import Vocalfolds
from trocar.bench.trackers import DisFlow, OwnTracker
from trocar.frames import ArraySource
from trocar.load import load
from trocar.masks import FrameMasks
from trocar.metrics import DAVIS, SA_V, decay, j_and_f, recall
from trocar.model import Network, tiny_random
from trocar.prompts import Point, center_click, tight_box

SOURCE = Source("made", "vocalfolds", "tune")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random()).eval()


def video(seed: int, frames: int = 7) -> NDArray[np.uint8]:
    """Blocks of ids 0 to 3 that come and go."""
    rng = np.random.default_rng(seed)
    coarse = rng.choice(4, (frames, 4, 5), p=[0.55, 0.15, 0.15, 0.15]).astype(np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def still() -> NDArray[np.uint8]:
    """Object 1 throughout, object 2 from frame 2 on."""
    labels = np.zeros((6, 40, 48), np.uint8)
    labels[:, 4:16, 6:20] = 1
    labels[2:, 24:36, 20:40] = 2
    return labels


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("rules", "skip"), [(SA_V, False), (SA_V, True), (EVERY_FRAME, True), (EVERY_FRAME, False)])
def test_the_streamed_score_is_that_of_the_whole_video(seed: int, rules: object, skip: bool) -> None:
    truth, found = video(seed), video(seed + 100)
    ignore = np.random.default_rng(seed).random(truth.shape) < 0.1
    case = made_case(np.where(ignore, 0, truth), ignore=ignore)
    series = appearances(case)
    begins = {number: one.begins for number, one in series.items()}
    for number, start in begins.items():
        found[:start][found[:start] == number] = 0  # nothing is found before the prompt
    for frame, labels in enumerate(found):
        masks = FrameMasks(frame, {number: labels == number for number in series})
        add_frame(series, masks, truth_of(case, frame), "made")
    known = np.isin(found, list(series)) * found
    whole = j_and_f(known, np.where(ignore, 0, truth), rules, begins, skip, ignore).objects  # type: ignore[arg-type]
    streamed = {number: one.score(len(truth), rules, skip) for number, one in series.items()}  # type: ignore[arg-type]
    assert {number: score for number, score in streamed.items() if score} == whole


def test_the_figures_of_davis_are_those_of_the_whole_video() -> None:
    truth, found = video(3), video(4)
    truth[0, :4, :12] = np.repeat([1, 2, 3], 4)
    case = made_case(truth)
    series = appearances(case)
    for frame, labels in enumerate(found):
        add_frame(series, FrameMasks(frame, {n: labels == n for n in series}), truth_of(case, frame), "made")
    whole = j_and_f(found, truth, DAVIS, skip_prompt_frame=True)
    rows = davis_rows(series, len(truth), case, SOURCE)
    for number, score in whole.objects.items():
        own = {row.metric: row.value for row in rows if row.object == str(number)}
        assert (own["J"], own["F"], own["J&F"]) == (score.j, score.f, score.j_and_f)
        assert (own["J recall"], own["F decay"]) == (recall(score.j_per_frame), decay(score.f_per_frame))
    with pytest.raises(ValueError, match="need three at least"):
        davis_rows(series, 2, case, SOURCE)


def test_perfect_and_empty_masks() -> None:
    case = made_case(still())
    for perfect in (True, False):
        series = appearances(case)
        assert {number: (one.begins, one.area) for number, one in series.items()} == {1: (0, 168), 2: (2, 240)}
        for frame, labels in enumerate(still()):
            masks = FrameMasks(frame, {number: (labels == number) & perfect for number in (1, 2)})
            add_frame(series, masks, truth_of(case, frame), "made")
        rows = masklet_rows(series, 6, case, SOURCE, "box")
        assert {row.value for row in rows if row.metric in ("J&F", "J", "F", "J&F SA-V")} == {float(perfect)}
        assert [row.value for row in rows if row.metric == AREA] == [168, 240]
        assert all(np.isnan(row.value) for row in rows if row.metric == "absent accuracy")  # never absent


def test_an_object_begins_where_it_is_large_enough() -> None:
    labels = still()
    labels[0] = 0
    labels[0, 0, 0] = 1
    assert appearances(made_case(labels))[1].begins == 0
    assert appearances(made_case(labels), min_area=100)[1].begins == 1


def test_a_tracker_that_leaves_something_out_is_named() -> None:
    case = made_case(still())
    series = appearances(case)
    with pytest.raises(ValueError, match="tracker lost gave frame 0, where frame 0 of object 1 is the next"):
        add_frame(series, FrameMasks(0, {}), truth_of(case, 0), "lost")
    with pytest.raises(ValueError, match="tracker lost gave frame 1"):
        add_frame(series, FrameMasks(1, {1: still()[1] == 1}), truth_of(case, 1), "lost")


def test_clicks_are_those_of_a_session_that_is_corrected_click_by_click(network: Network) -> None:
    case, own = made_case(still()), OwnTracker(network)
    truth = still()[0] == 1
    begun = prompted(own.session(case.open()), 1, 0, truth_of(case, 0), "3-click")
    session, found = own.session(case.open()), None
    for prompt in begun.prompts:
        assert prompt == center_click(truth, found)
        found = session.add(prompt, frame=0, object_id=1).masks[1]
    assert len(begun.prompts) == 3
    assert begun.prompts[0] == Point(11, 9)
    assert found is not None
    assert (begun.mask == found).all()
    box = prompted(own.session(case.open()), 1, 0, truth_of(case, 0), "box")
    assert box.prompts == [tight_box(truth)]


def test_a_case_tracked_by_us_scores_what_its_session_gives() -> None:
    network = load("nano", "cpu")  # an untrained one soon finds nothing
    labels, own = still(), OwnTracker(network)
    case = made_case(labels)
    tracked = track_case(case, own, own, "box")
    session = own.session(ArraySource(np.asarray(20 + 60 * labels, np.uint8)))
    for number, one in tracked.series.items():
        session.add(tight_box(labels[one.begins] == number), frame=one.begins, object_id=number)
    found = {masks.frame: masks.masks for masks in session.propagate()}
    for number, one in tracked.series.items():
        own_map = np.stack([found[frame].get(number, np.zeros(labels.shape[1:], bool)) for frame in range(len(labels))])
        own_map[: one.begins] = False
        whole = j_and_f(own_map.astype(np.uint8), (labels == number).astype(np.uint8), EVERY_FRAME, {1: one.begins})
        assert one.score(len(labels), EVERY_FRAME, True) == whole.objects.get(1)
    assert tracked.series[1].pairs[-1].j > 0.5
    assert tracked.series[2].begins == 2
    assert tracked.timing["frames_per_second"] > 0
    assert tracked.timing["frames_per_second_of_network"] > tracked.timing["frames_per_second"]


def test_optical_flow_keeps_what_does_not_move_and_only_annotated_frames_count(network: Network) -> None:
    labels = still()
    labels[1::2] = 3  # frames between annotated ones, which nobody looks at
    case = made_case(labels, every=2)
    tracked = track_case(case, OwnTracker(network), DisFlow(), "mask")
    assert sorted(tracked.series) == [1, 2]
    assert tracked.series[2].begins == 1
    assert all(pair.j == 1 for one in tracked.series.values() for pair in one.pairs)
    scored = PromptedOnce(("mask",), tracker="dis-flow").score(network, case, SOURCE)
    assert scored.quality == 1
    davis = Davis17(tracker="dis-flow").score(network, case, SOURCE)
    assert {row.object for row in davis.rows} == {"1"}  # object 2 is not on the first frame
    assert davis.quality == 1


def test_davis_masks_do_not_overlap(network: Network) -> None:
    found: list[FrameMasks] = []

    class Greedy:
        name = "greedy"

        def track(self, source: object, objects: dict[int, object]) -> object:
            whole = np.ones((40, 48), np.bool_)
            return (FrameMasks(frame, dict.fromkeys(objects, whole)) for frame in range(6))

    from trocar.bench.protocols.davis17 import _Disjoint

    found = list(_Disjoint(Greedy()).track(made_case(still()).open(), {1: None, 2: None}))  # type: ignore[arg-type]
    assert found[0].masks[1].all()
    assert not found[0].masks[2].any()


def test_several_subsets_are_averaged_without_weights(network: Network) -> None:
    protocol = SaSv(subsets=("A=vocalfolds/tune", "B=vocalfolds/train"), prompts=("mask",), tracker="dis-flow")
    rows = []
    for source, names in zip(protocol.sources(), (("a",), ("b", "c")), strict=True):
        for name in names:
            rows += protocol.score(network, made_case(video(len(name) + ord(name)), name), source).rows
    cells = {(cell.subset, cell.metric): cell for cell in protocol.cells(rows)}
    average = cells["Average", "J&F"]
    assert average.value == pytest.approx((cells["A", "J&F"].value + cells["B", "J&F"].value) / 2)
    assert (average.n, average.level) == (2, "subsets")
    assert not any(metric == AREA for _, metric in cells)


def test_bad_settings_are_answered(network: Network) -> None:
    with pytest.raises(ValueError, match="write SUBSET=DATASET/SPLIT"):
        SaSv(subsets=("vocalfolds",)).sources()
    with pytest.raises(ValueError, match="numbers the objects of each frame anew"):
        SaSv(subsets=("A=nuclei/all",)).sources()
    with pytest.raises(ValueError, match="there is no tracker 'cutie'"):
        replace(Vocalfolds(), tracker="cutie").score(network, made_case(still()), SOURCE)
