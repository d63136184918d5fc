"""Rendered procedures: the same seed is the same clip, labels mean what they say, and looks differ."""

from __future__ import annotations

import numpy as np
import pytest

from trocar.datasets.procedure_looks import SHARES
from trocar.datasets.procedure_scenes import DOMAINS, PROCEDURES, TASKS, _moved, draw_procedure, procedure_clip


@pytest.mark.parametrize("domain", DOMAINS)
def test_the_same_seed_gives_the_same_clip_and_another_seed_another(domain: str) -> None:
    one, again, other = (procedure_clip(seed, domain) for seed in (3, 3, 4))
    assert one.images.shape == (8, 64, 64, 3)
    assert one.images.dtype == np.uint8
    assert np.array_equal(one.images, again.images)
    assert one.labels == again.labels
    assert not np.array_equal(one.images, other.images)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_class_of_every_task_and_every_procedure_comes(domain: str) -> None:
    clips = [procedure_clip(seed, domain, frames=1, side=32) for seed in range(50)]
    for task, classes in TASKS[domain].items():
        assert {clip.labels[task] for clip in clips} == set(range(len(classes)))
    assert {clip.procedure for clip in clips} == set(PROCEDURES[domain])


@pytest.mark.parametrize(("action", "opposite"), [("push", "pull"), ("reach", "retract"), ("advance", "withdraw")])
def test_opposite_actions_pass_the_same_places_in_the_opposite_order(action: str, opposite: str) -> None:
    """Hence no single frame tells one from the other."""
    for phase in np.linspace(0, 1, 9):
        assert _moved(action, phase, 1.0) == pytest.approx(_moved(opposite, 1 - phase, 1.0))


def test_the_labelled_action_moves_the_instrument_and_holding_does_not() -> None:
    """Mean change from the first to the last frame, per action of the laparoscopic domain, over many clips."""
    change: dict[int, list[float]] = {}
    for seed in range(40):
        clip = procedure_clip(seed, "laparoscopy")
        moved = np.abs(clip.images[-1].astype(float) - clip.images[0]).mean()
        change.setdefault(clip.labels["action"], []).append(moved)
    advance, withdraw, sweep, hold = (np.median(change[label]) for label in range(4))
    assert min(advance, withdraw, sweep) > 1.3 * hold


def test_procedures_of_all_domains_can_be_told_apart_by_their_colours() -> None:
    """Clips of one procedure are nearer to each other than to those of another domain, for most of them."""
    found, names = [], []
    for domain in DOMAINS:
        for procedure in PROCEDURES[domain][:2]:
            for seed in range(6):
                image = procedure_clip(seed, domain, procedure, frames=1).images[0].astype(float)
                found.append(image.reshape(8, 8, 8, 8, 3).mean((1, 3)).ravel())
                names.append(domain)
    features = np.array(found)
    apart = np.linalg.norm(features[:, None] - features[None], axis=2) + 1e9 * np.eye(len(names))
    right = [names[int(near)] == name for near, name in zip(apart.argmin(1), names, strict=True)]
    assert np.mean(right) > 0.7  # chance is 0.25


def test_a_raw_corpus_is_long_tailed() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_procedure(rng) for _ in range(2000)]
    share = {name: drawn.count(name) / len(drawn) for name in SHARES}
    assert sum(SHARES.values()) == pytest.approx(1)
    assert max(abs(share[name] - SHARES[name]) for name in SHARES) < 0.03
    top = sorted(SHARES.values(), reverse=True)
    assert sum(top[:5]) > 0.6
    assert top[-1] < 0.005


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, "dental"), "unknown domain 'dental': choose one of cataract, robotic"),
        ((0, "robotic", "colonoscopy"), "robotic has no procedure 'colonoscopy': choose one of prostatectomy"),
        ((-1, "robotic"), "seed >= 0"),
        ((0, "robotic", None, 0), "frames >= 1"),
        ((0, "robotic", None, 8, 16), "side >= 32"),
    ],
)
def test_bad_arguments_are_refused(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        procedure_clip(*arguments)  # type: ignore[arg-type]
