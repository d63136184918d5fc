"""The head for classes: it looks at memory and frame, and at nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trocar.model import MemoryTokens, Network, NetworkConfig, tiny_random
from trocar.model.checkpoint import load_weights, open_network, save_weights
from trocar.model.config import SemanticConfig

HEAD = SemanticConfig(("grasper", "scissors", "needle"), 16, "stand-in")


def network(frame: str = "conditioned") -> Network:
    torch.manual_seed(0)
    made = Network(replace(tiny_random(), semantic=replace(HEAD, frame=frame))).eval()
    assert made.semantic_head is not None
    made.semantic_head.text.copy_(torch.eye(3, 16))
    return made


def memory(made: Network, rows: int = 2, maps: int = 2, pointers: int = 1) -> MemoryTokens:
    config: NetworkConfig = made.config
    spatial = [[made.project_memory(torch.randn(config.memory_dim, 4, 4)) for _ in range(maps)] for _ in range(rows)]
    return MemoryTokens(
        spatial,
        torch.zeros(rows, maps, dtype=torch.long),
        None,
        torch.randn(rows, pointers, config.hidden_dim),
        torch.zeros(rows, pointers),
        torch.ones(rows, pointers),
    )


@torch.no_grad()
def test_a_row_is_classified_by_itself() -> None:
    made = network()
    both, frame = memory(made), torch.randn(2, 64, 4, 4)
    logits = made.classify(frame, frame, both)
    assert logits is not None
    assert logits.shape == (2, 3)
    first = MemoryTokens(
        both.spatial[:1],
        both.slot[:1],
        None,
        both.pointers[:1],
        both.pointer_distance[:1],
        both.pointer_gain[:1],
    )
    alone = made.classify(frame[:1], frame[:1], first)
    assert alone is not None
    assert torch.allclose(alone, logits[:1], atol=1e-4)


@torch.no_grad()
def test_the_order_of_memories_and_of_cells_does_not_matter_but_what_they_hold_does() -> None:
    made = network()
    frame = torch.randn(1, 64, 4, 4)
    seen = memory(made, rows=1)
    turned = replace(seen, spatial=[list(reversed(seen.spatial[0]))])
    logits, again = made.classify(frame, frame, seen), made.classify(frame.flip(3), frame.flip(3), turned)
    other = made.classify(frame, frame, memory(made, rows=1))
    assert logits is not None
    assert again is not None
    assert other is not None
    assert torch.allclose(logits, again, atol=1e-4)
    assert not torch.allclose(logits, other, atol=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("frame", ["raw", "conditioned"])
def test_the_head_looks_at_the_features_that_it_is_set_to(frame: str) -> None:
    made = network(frame)
    seen, raw, fused = memory(made, rows=1), torch.randn(1, 64, 4, 4), torch.randn(1, 64, 4, 4)
    logits, changed = made.classify(raw, fused, seen), made.classify(raw, torch.randn(1, 64, 4, 4), seen)
    assert logits is not None
    assert changed is not None
    assert torch.equal(logits, changed) == (frame == "raw")


@torch.no_grad()
def test_logits_are_scaled_cosines() -> None:
    made = network()
    assert made.semantic_head is not None
    logits = made.classify(torch.randn(1, 64, 4, 4), torch.randn(1, 64, 4, 4), memory(made, rows=1))
    assert logits is not None
    assert (logits.abs() <= 100).all()
    made.semantic_head.scale = 1.0
    torch.manual_seed(1)
    seen, frame = memory(made, rows=1), torch.randn(1, 64, 4, 4)
    cosines = made.classify(frame, frame, seen)
    made.semantic_head.scale = 100.0
    scaled = made.classify(frame, frame, seen)
    assert cosines is not None
    assert scaled is not None
    assert torch.allclose(100 * cosines, scaled, atol=1e-4)


def test_a_network_without_the_head_says_nothing() -> None:
    plain = Network(tiny_random()).eval()
    frame = torch.randn(1, 64, 4, 4)
    assert plain.classify(frame, frame, memory(plain, rows=1)) is None
    assert not [name for name in plain.state_dict() if "semantic" in name]


def test_the_head_and_its_text_are_kept_in_our_own_files(tmp_path: object) -> None:
    made = network()
    path = tmp_path / "head.safetensors"  # type: ignore[operator]
    save_weights(made, path, {}, torch.float32)
    opened = open_network(path)
    assert opened.config == made.config
    assert opened.config.semantic == HEAD
    assert all(torch.equal(value, opened.state_dict()[name]) for name, value in made.state_dict().items())


def test_weights_without_the_head_leave_it_as_it_is(tmp_path: object) -> None:
    torch.manual_seed(5)
    plain, made = Network(tiny_random()), network()
    path = tmp_path / "plain.safetensors"  # type: ignore[operator]
    save_weights(plain, path, {}, torch.float32)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    load_weights(made, path)
    for name, value in made.state_dict().items():
        assert torch.equal(value, before[name] if name.startswith("semantic") else plain.state_dict()[name]), name
