"""The table of models, and how their weights are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trocar.model import Network, registry
from trocar.model.checkpoint import save_weights
from trocar.model.registry import MODELS, find_weights, load_network, model_info
from trocar.model.sam1 import make_network


@pytest.fixture(autouse=True)
def _nothing_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights in the package and no folder named, whatever this machine has."""
    monkeypatch.setattr(registry, "ASSETS", tmp_path / "assets")
    monkeypatch.delenv(registry.WEIGHTS_FOLDER, raising=False)


@pytest.mark.parametrize("name", MODELS)
def test_stated_sizes_are_those_of_the_network(name: str) -> None:
    """Published files are float32, ours is float16."""
    info = MODELS[name]
    with torch.device("meta"):
        parameters = sum(p.numel() for p in make_network(info.config).parameters()) / 1e6
    assert info.parameters == pytest.approx(parameters, abs=0.06)
    assert info.megabytes == pytest.approx(parameters * (4 if info.repository else 2), abs=1)
    assert info.name == info.config.name == name


def test_published_parameter_counts() -> None:
    """The release's README: 38.9, 46, 80.8 and 224.4 million for the four sizes."""
    counts = [MODELS[f"sam2.1-{size}"].parameters for size in ("tiny", "small", "base-plus", "large")]
    assert counts == pytest.approx([38.9, 46, 80.8, 224.4], abs=0.15)


def test_parameter_counts_of_sam() -> None:
    """Those of transformers' SamModel for ViT-B, L and H; the decoder's 4.06 million are the same in all."""
    assert [MODELS[f"sam-vit-{size}"].parameters for size in "blh"] == [93.7, 312.3, 641.1]
    with torch.device("meta"):
        network = make_network(MODELS["sam-vit-h"].config)
    assert sum(p.numel() for p in network.mask_decoder.parameters()) == 4_058_340
    assert sum(p.numel() for p in network.parameters()) == 641_090_608


def test_file_and_repository_names_follow_the_release() -> None:
    info = MODELS["sam2.1-base-plus"]
    assert (info.repository, info.files[0]) == ("facebook/sam2.1-hiera-base-plus", "sam2.1_hiera_base_plus.pt")
    info = MODELS["sam2-large"]
    assert (info.repository, info.files[0]) == ("facebook/sam2-hiera-large", "sam2_hiera_large.pt")


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'sam2\.1-tin'.*sam2\.1-tiny"):
        model_info("sam2.1-tin")
    with pytest.raises(ValueError, match="choose one of nano"):
        model_info("?")


def test_missing_weights_say_how_to_get_them() -> None:
    with pytest.raises(FileNotFoundError, match=r"nano\.safetensors.*reinstall trocar.*TROCAR_WEIGHTS") as error:
        load_network("nano")
    assert "\n" not in str(error.value)
    with pytest.raises(
        FileNotFoundError, match=r"156 MB.*sam2\.1_hiera_tiny\.pt from facebook/sam2\.1-hiera-tiny"
    ) as error:
        load_network("sam2.1-tiny")
    assert "\n" not in str(error.value)


def test_files_without_a_name_of_their_own_are_told_apart_by_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversions of SAM are all called model.safetensors."""
    monkeypatch.setenv(registry.WEIGHTS_FOLDER, str(tmp_path))
    place = r"get model\.safetensors from facebook/sam-vit-large on .*, put it in a folder as sam-vit-large/model\.safe"
    with pytest.raises(FileNotFoundError, match=rf"1249 MB.*{place}") as error:
        load_network("sam-vit-l")
    assert "\n" not in str(error.value)
    for folder in ("sam-vit-base", "sam-vit-large"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.safetensors").touch()
    assert find_weights("sam-vit-l") == tmp_path / "sam-vit-large" / "model.safetensors"
    path = find_weights("sam-vit-b")
    assert [name for name, info in MODELS.items() if info.is_published_as(path)] == ["sam-vit-b"]
    assert MODELS["medsam"].source == "Hugging Face wanglab/medsam-vit-base, file pytorch_model.bin"
    assert MODELS["medsam"].is_published_as(Path("here/medsam_vit_b.pth"))


def test_weights_folder_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(registry.WEIGHTS_FOLDER, str(tmp_path))
    network = Network(MODELS["nano"].config)
    save_weights(network, tmp_path / "nano.safetensors", {}, torch.float32)
    assert find_weights("nano") == tmp_path / "nano.safetensors"
    loaded = load_network("nano")
    assert torch.equal(loaded.absent_pointer, network.absent_pointer)


def test_a_given_file_goes_before_all_others(tmp_path: Path) -> None:
    network = Network(MODELS["nano"].config)
    save_weights(network, tmp_path / "mine.safetensors", {}, torch.float32)
    assert torch.equal(load_network("nano", tmp_path / "mine.safetensors").absent_pointer, network.absent_pointer)
    longer = Network(replace(MODELS["nano"].config, num_long_term_slots=2))
    save_weights(longer, tmp_path / "longer.safetensors", {})
    assert load_network("nano", tmp_path / "longer.safetensors").config == longer.config
    with pytest.raises(FileNotFoundError, match=r"gone\.pt"):
        load_network("sam2.1-tiny", tmp_path / "gone.pt")
