"""What a session says about the classes of its objects, with networks that have a semantic head and without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from trocar.frames import ArraySource
from trocar.masks import FrameMasks, joined
from trocar.memory import Tree
from trocar.model import Network, tiny_random
from trocar.model.config import SemanticConfig
from trocar.prompts import Box, Point
from trocar.track.session import Session, SessionOptions

NAMES = ("grasper", "scissors", "needle")


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(3)
    made = Network(replace(tiny_random(), semantic=SemanticConfig(NAMES, 8, scale=4.0, temperature=2.0)))
    assert made.semantic_head is not None
    made.semantic_head.text.copy_(torch.eye(3, 8))
    return made


@pytest.fixture
def source() -> ArraySource:
    return ArraySource(np.random.default_rng(0).integers(0, 255, (12, 60, 80, 3), dtype=np.uint8))


@pytest.fixture
def session(network: Network, source: ArraySource) -> Iterator[Session]:
    made = Session(network, source)
    made.add(Box(10, 10, 40, 40), object_id=1)
    made.add(Box(50, 10, 70, 50), object_id=2)
    yield made
    made.close()


def said(masks: Iterator[FrameMasks]) -> dict[int, dict[int, dict[str, float]]]:
    return {one.frame: {name: dict(chances) for name, chances in one.classes.items()} for one in masks}


def test_every_tracked_object_has_probabilities_from_the_second_frame_on(session: Session) -> None:
    classes = said(session.propagate())
    assert classes[0] == {}
    for frame in range(1, 12):
        assert set(classes[frame]) == {1, 2}
        for chances in classes[frame].values():
            assert tuple(chances) == NAMES
            assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
            assert all(chance > 0 for chance in chances.values())


def test_probabilities_are_those_of_the_tempered_logits(session: Session, network: Network) -> None:
    first = said(session.propagate())
    warm = network.config
    network.config = replace(warm, semantic=replace(warm.semantic, temperature=1.0))  # type: ignore[type-var]
    try:
        cold = said(session.propagate())
    finally:
        network.config = warm
    for name in (1, 2):
        tempered = np.sqrt(list(cold[5][name].values()))
        assert list(first[5][name].values()) == pytest.approx(list(tempered / tempered.sum()), abs=1e-5)


def test_another_object_changes_nothing_and_a_correction_is_classified_too(
    session: Session, network: Network, source: ArraySource
) -> None:
    alone = Session(network, source)
    alone.add(Box(10, 10, 40, 40), object_id=1)
    both, one = said(session.propagate()), said(alone.propagate())
    for frame in range(1, 12):
        assert list(one[frame][1].values()) == pytest.approx(list(both[frame][1].values()), abs=1e-5)
    answer = alone.add(Point(60, 50), frame=6)
    assert set(answer.classes[1]) == set(NAMES)
    alone.close()


def test_policies_that_hold_masks_back_and_runs_that_are_resumed_keep_the_classes(
    network: Network, source: ArraySource, tmp_path: Path
) -> None:
    options = SessionOptions(snapshot_every=3, snapshot_folder=tmp_path)

    def tracking() -> Session:
        made = Session(network, source, Tree(), options)
        made.add(Box(10, 10, 40, 40))
        return made

    whole = said(tracking().propagate())
    assert all(set(whole[frame]) == {1} for frame in range(1, 12))
    begun = tracking().propagate()
    early = {}
    for masks in begun:
        early |= said(iter([masks]))
        if masks.frame == 5:
            break
    rest = said(tracking().propagate(resume=True))
    assert early | rest == whole


def test_a_network_without_the_head_says_nothing(source: ArraySource) -> None:
    torch.manual_seed(3)
    plain = Session(Network(tiny_random()), source)
    plain.add(Box(10, 10, 40, 40))
    assert all(not one.classes for one in plain.propagate())
    plain.close()


def test_joined_masks_keep_the_classes_of_both_halves() -> None:
    empty = np.zeros((2, 2), np.bool_)
    one = FrameMasks(3, {1: empty}, classes={1: {"grasper": 1.0}})
    other = FrameMasks(3, {2: empty}, classes={2: {"needle": 1.0}})
    assert joined(one, other).classes == {1: {"grasper": 1.0}, 2: {"needle": 1.0}}
