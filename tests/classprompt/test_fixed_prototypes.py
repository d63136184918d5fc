"""Prototypes that do not learn: means by hand, and text features whose angles are kept."""

from __future__ import annotations

import math

import pytest
import torch

from trocar.classprompt.fixed_prototypes import mean_prototypes, text_prototypes
from trocar.model.text_features import TextTable, stand_in


def test_the_mean_is_over_samples_and_empty_masks_do_not_count() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [3.0, 2.0], [0.0, 0.0], [5.0, 5.0]])
    found = mean_prototypes(embeddings, torch.tensor([0, 0, 0, 1]), ("forceps", "hook"))
    assert found.tolist() == [[2.0, 1.0], [5.0, 5.0]]


def test_a_class_without_samples_is_named() -> None:
    with pytest.raises(ValueError, match="no training sample shows hook, probe:"):
        mean_prototypes(torch.ones(2, 3), torch.tensor([0, 0]), ("forceps", "hook", "probe"))


def test_texts_keep_their_angles_in_any_number_of_channels() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(3, 20, generator=torch.Generator().manual_seed(1)), dim=1)
    for dim in (3, 8, 64):
        found = text_prototypes(TextTable(("a", "b", "c"), vectors, "some encoder"), dim)
        assert found.shape == (3, dim)
        assert torch.allclose(found @ found.T / dim, vectors @ vectors.T, atol=1e-5)


def test_the_stand_in_gives_orthogonal_prototypes_and_the_same_one_for_a_class_whatever_follows() -> None:
    found = text_prototypes(stand_in(("a", "b", "c")), 16)
    assert torch.allclose(found @ found.T, 16 * torch.eye(3), atol=1e-4)
    assert torch.allclose(text_prototypes(stand_in(("a", "b")), 16), found[:2], atol=1e-5)
    assert found[0].norm().item() == pytest.approx(math.sqrt(16))


def test_more_texts_than_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="3 texts do not fit into 2 channels"):
        text_prototypes(stand_in(("a", "b", "c")), 2)
