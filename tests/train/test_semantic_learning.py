"""Learning classes: which objects have one, what they are compared with, and what becomes of it."""

from __future__ import annotations

import math
import warnings
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trocar.model.text_features import cache_file, stand_in
from trocar.train.semantic import Semantic, class_targets, semantic_loss, text_table

NAMES = ("grasper", "scissors", "bipolar forceps")


def test_instruments_have_a_class_and_tissue_and_strangers_have_none() -> None:
    names = ["Grasper", "liver", "", "maryland bipolar forceps", "flying saucer", "needle"]
    assert class_targets(names, NAMES) == [0, -1, -1, 2, -1, -1]
    assert class_targets(["my own tool"], ("my own tool",)) == [0]


def test_the_classes_are_all_instruments_of_the_table_unless_named() -> None:
    known = Semantic().classes
    assert {"grasper", "monopolar curved scissors"} <= set(known)
    assert not {"liver", "polyp"} & set(known)
    assert Semantic(names=NAMES).classes == NAMES


def test_the_loss_is_the_cross_entropy_of_scaled_cosines() -> None:
    logits = 100 * torch.tensor([[0.02, 0.01, 0.0]])
    expected = -math.log(math.exp(1) / (math.exp(2) + math.exp(1) + 1))
    assert semantic_loss(logits, torch.tensor([1])).item() == pytest.approx(expected, rel=1e-5)


def test_the_stand_in_is_orthonormal_and_always_the_same() -> None:
    table = stand_in(NAMES)
    assert table.source == "stand-in"
    assert torch.allclose(table.vectors @ table.vectors.T, torch.eye(3), atol=1e-6)
    assert torch.equal(table.vectors, stand_in(("a", "b", "c", "d")).vectors[:3])
    with pytest.raises(ValueError, match="room for 512 classes"):
        stand_in([str(number) for number in range(513)])


def test_without_a_text_encoder_the_stand_in_takes_its_place_and_says_so(tmp_path: Path) -> None:
    settings = Semantic(names=NAMES, encoder=str(tmp_path / "no-clip"), cache=str(tmp_path / "cache"))
    with pytest.warns(UserWarning, match=r"stand-in table.*no-clip is not on this machine"):
        table = text_table(settings)
    assert table.source == "stand-in"
    assert not (tmp_path / "cache").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert text_table(Semantic(names=NAMES, encoder="stand-in")).source == "stand-in"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A text encoder of transformers with fresh weights and the smallest of vocabularies."""
    transformers = pytest.importorskip("transformers")
    letters = "abcdefghijklmnopqrstuvwxyz."
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "vocab.json").write_text(str({word: at for at, word in enumerate(words)}).replace("'", '"'))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    config = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        projection_dim=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
        pad_token_id=len(words) - 1,
    )
    transformers.CLIPTextModelWithProjection(config).save_pretrained(folder)
    transformers.CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return folder


def test_clips_features_are_kept_in_a_file_for_each_encoder_template_and_list_of_names(
    clip: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    settings = Semantic(names=NAMES, encoder=str(clip), cache=str(cache))
    table = text_table(settings)
    assert table.vectors.shape == (3, 8)
    assert torch.allclose(table.vectors.norm(dim=1), torch.ones(3), atol=1e-5)
    assert table.source == f"{clip}: a photo of a {{}}"
    other = text_table(Semantic(names=NAMES, encoder=str(clip), cache=str(cache), template="{}."))
    assert not torch.allclose(table.vectors, other.vectors)
    assert len(list(cache.glob("text-*.safetensors"))) == 2
    (clip / "config.json").unlink()  # from now on there is only the cache
    assert torch.equal(text_table(settings).vectors, table.vectors)
    (alone,) = text_table(Semantic(names=NAMES[:1], encoder="stand-in")).names
    assert alone == "grasper"


def test_a_sentence_stands_for_the_same_feature_whatever_its_neighbours(clip: Path, tmp_path: Path) -> None:
    """Sentences of different lengths are padded; padding must not be read."""
    all_three = text_table(Semantic(names=NAMES, encoder=str(clip), cache=str(tmp_path / "a"))).vectors
    alone = text_table(Semantic(names=NAMES[1:2], encoder=str(clip), cache=str(tmp_path / "b"))).vectors
    assert torch.allclose(all_three[1], alone[0], atol=1e-5)


def test_a_damaged_cache_and_double_names_are_named(tmp_path: Path) -> None:
    settings = Semantic(names=NAMES, cache=str(tmp_path))
    file = cache_file(NAMES, settings.encoder, settings.template, settings.cache)
    file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="holds no text features"):
        text_table(settings)
    save_file({"other": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="holds no text features"):
        text_table(settings)
    with pytest.raises(ValueError, match="'grasper' twice"):
        text_table(Semantic(names=("grasper", "grasper")))
    with pytest.raises(ValueError, match="has no place for the name"):
        Semantic(template="a photo")
