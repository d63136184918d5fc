"""What a memory holds: the measures by hand, and the columns of policies whose books can be kept on paper."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trocar.bench.bank_content import (
    BankOptions,
    bank_content,
    binned,
    cosine,
    entropy_bits,
    mutual_information,
    plot_bank_content,
)
from trocar.frames import ArraySource
from trocar.memory import NoMemory, Recent, SelfSorting
from trocar.model import Network, tiny_random
from trocar.prompts import Box, PlacedPrompt

FRAMES = 20
ROWS, COLUMNS = np.indices((8, 8)) % 2


def test_entropy() -> None:
    assert entropy_bits(np.array([5, 5, 5, 5])) == 2.0
    assert entropy_bits(np.array([3, 1])) == pytest.approx(0.75 * 0.415037 + 0.25 * 2)
    assert entropy_bits(np.array([7, 0])) == 0.0


def test_identical_rows_share_their_entropy() -> None:
    symbols = np.repeat([0, 1, 2, 3], 4)
    assert mutual_information(symbols, symbols) == 2.0
    assert mutual_information(symbols, (symbols + 1) % 4) == 2.0  # other names for the same


def test_stripes_across_and_along_share_nothing() -> None:
    assert mutual_information(ROWS.ravel(), COLUMNS.ravel()) == 0.0
    checkers = (ROWS + COLUMNS) % 2
    assert mutual_information(checkers.ravel(), ROWS.ravel()) == 0.0
    assert mutual_information(checkers.ravel(), np.zeros(64, np.int64)) == 0.0


def test_mutual_information_by_hand() -> None:
    # Joint counts 2, 0 / 1, 1: entropies 1 and 0.811278 of the margins, 1.5 of the joint.
    first, second = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1])
    assert mutual_information(first, second) == pytest.approx(0.311278, abs=1e-6)
    assert mutual_information(second, first) == pytest.approx(0.311278, abs=1e-6)


def test_noise_shares_what_the_docstring_says() -> None:
    first, second = np.random.default_rng(0).integers(0, 16, (2, 16384))
    assert mutual_information(first, second) == pytest.approx(225 / (2 * 16384 * np.log(2)), rel=0.25)


def test_bins_are_equally_wide() -> None:
    assert binned(np.array([-2.0, -1.0, 0.0, 1.0, 2.0], np.float32), 4).tolist() == [0, 1, 2, 3, 3]
    assert binned(np.full(3, 7.0, np.float32), 4).tolist() == [0, 0, 0]


def test_cosine() -> None:
    first, second = np.array([3.0, 4.0], np.float32), np.array([5.0, 0.0], np.float32)
    assert cosine(first, second) == pytest.approx(0.6)
    assert cosine(first, np.zeros(2, np.float32)) == 0.0


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(0)
    return Network(tiny_random()).eval()


@pytest.fixture(scope="module")
def source() -> ArraySource:
    return ArraySource(np.random.default_rng(0).integers(0, 255, (FRAMES, 40, 56, 3), dtype=np.uint8), "noise")


@pytest.fixture(scope="module")
def figures(network: Network, source: ArraySource) -> dict[str, Any]:
    policies = {"recent": Recent(), "sorted": SelfSorting(bank=4, min_iou=0.0), "none": NoMemory()}
    return bank_content(network, source, [PlacedPrompt(Box(5, 5, 30, 30))], policies, BankOptions(every=5))


def test_recent_holds_the_prompt_and_fifteen_frames(figures: dict[str, Any]) -> None:
    # Live after frame 4: 0..4; after 9: 0..9; after 14: 0..14; after 19: 0 and 5..19, whose ages sum to 19 + 105.
    held = figures["policies"]["recent"]
    assert held["frame"] == [4, 9, 14, 19]
    assert held["entries"] == [5, 10, 15, 16]
    assert held["age_mean"] == [2.0, 4.5, 7.0, 7.75]
    assert held["age_max"] == [4, 9, 14, 19]


def test_pairs_are_within_what_is_possible(figures: dict[str, Any]) -> None:
    held = figures["policies"]["recent"]
    for count, mean, largest in zip(held["entries"], held["cosine_mean"], held["cosine_max"], strict=True):
        assert -1 <= mean <= largest <= 1 + 1e-6
        assert count > 1
    for count, mean, total in zip(held["entries"], held["mi_mean_bits"], held["mi_total_bits"], strict=True):
        assert 0 <= mean <= 4  # of 16 bins
        assert total == pytest.approx(mean * count * (count - 1) / 2)


def test_a_bank_is_no_larger_than_it_may_be(figures: dict[str, Any]) -> None:
    assert max(figures["policies"]["sorted"]["entries"]) <= 1 + 4 + 1  # the prompt, the bank, and who waits


def test_no_memory_holds_nothing(figures: dict[str, Any]) -> None:
    held = figures["policies"]["none"]
    assert held["entries"] == [0, 0, 0, 0]
    assert {name for name, column in held.items() if column == [None] * 4} == {
        "cosine_mean", "cosine_max", "mi_mean_bits", "mi_total_bits", "age_mean", "age_max"
    }  # fmt: skip


def test_figures_are_plain_json(figures: dict[str, Any]) -> None:
    assert json.loads(json.dumps(figures)) == figures
    assert (figures["part"], figures["bins"], figures["source"]["name"]) == ("memory", 16, "noise")


def test_objects_are_averaged_and_masks_may_be_compared(network: Network, source: ArraySource) -> None:
    # After frame 9 object 1 has 0..9 and object 2 has 6..9: 7 entries and a largest age of 6 on average.
    prompts = [PlacedPrompt(Box(5, 5, 30, 30)), PlacedPrompt(Box(8, 2, 50, 30), frame=6, object_id=2)]
    seen: list[tuple[str, int]] = []
    found = bank_content(
        network, source, prompts, {"r": Recent()}, BankOptions("mask"), lambda name, done: seen.append((name, done))
    )
    held = found["policies"]["r"]
    assert (held["frame"], held["entries"][0], held["age_max"][0]) == ([9, 19], 7, 6)
    assert found["bins"] == 2
    assert all(0 <= bits <= 1 for bits in held["mi_mean_bits"])
    assert seen[-1] == ("r", FRAMES)


def test_the_last_frame_is_always_looked_at(network: Network, source: ArraySource) -> None:
    found = bank_content(network, source, [PlacedPrompt(Box(5, 5, 30, 30), frame=7)], {"r": Recent()})
    assert found["policies"]["r"]["frame"] == [16, 19]


@pytest.mark.parametrize("name", ["bank.png", "bank.svg"])
def test_plot(figures: dict[str, Any], tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib")
    plot_bank_content(figures, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    head = (tmp_path / name).read_bytes()[:400]
    assert head.startswith(b"\x89PNG") if name.endswith("png") else b"<svg" in head


def test_impossible_requests_are_refused(network: Network, source: ArraySource, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one prompt"):
        bank_content(network, source, [], {"recent": Recent()})
    with pytest.raises(ValueError, match="part is one of"):
        BankOptions(part="pointer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="every is at least 1"):
        BankOptions(every=0)
    with pytest.raises(ValueError, match=r"\.png or \.svg"):
        plot_bank_content({}, tmp_path / "bank.jpg")
