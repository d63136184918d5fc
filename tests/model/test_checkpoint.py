"""Weights files: three layouts, every tensor used once, and one-line errors for everything else."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trocar.model import Network, tiny_random
from trocar.model.checkpoint import WeightsError, load_tensors, load_weights, open_network, read_head, save_weights
from trocar.model.key_map import ROWS, UNREAD, upstream_name
from trocar.model.registry import MODELS
from trocar.model.sam1 import make_network


@pytest.fixture
def network() -> Network:
    torch.manual_seed(5)
    return Network(tiny_random()).eval()


def as_release(network: Network) -> dict[str, Tensor]:
    """The network's tensors under the release's names, with the one that no network reads."""
    tensors = {upstream_name(name, "release"): tensor.clone() for name, tensor in network.state_dict().items()}
    return tensors | {UNREAD["release"]: torch.zeros(1, 1, network.config.hidden_dim)}


def equal(a: Network, b: Network) -> bool:
    theirs = b.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in a.state_dict().items())


@pytest.mark.parametrize("name", [name for name, info in MODELS.items() if info.repository])
def test_every_tensor_has_one_name_in_each_layout(name: str) -> None:
    with torch.device("meta"):
        network = make_network(MODELS[name].config)
    names = list(network.state_dict())
    for layout in ("release", "transformers"):
        assert len({upstream_name(ours, layout, network.config.family) for ours in names}) == len(names)


@pytest.mark.parametrize("name", ["sam2.1-tiny", "sam-vit-b"])
def test_every_row_of_the_map_is_needed(name: str) -> None:
    config = MODELS[name].config
    with torch.device("meta"):
        names = "\n".join(make_network(config).state_dict())
    for ours, _, _ in ROWS[config.family]:
        pattern = re.escape(ours).replace(r"\#", r"\d+")
        assert re.search(rf"^{pattern}(\.weight|\.bias)?$", names, re.MULTILINE), ours


def test_own_file_brings_its_sizes_and_its_story(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    save_weights(network, path, {"recipe": "none"}, dtype=torch.float32)
    again = open_network(path)
    assert again.config == network.config
    assert equal(again, network)
    assert not again.training
    assert read_head(path)["recipe"] == "none"
    assert [p.name for p in tmp_path.iterdir()] == ["own.safetensors"]


def test_float16_file_is_half_as_large_and_near(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_weights(network, path, {})
    parameters = sum(tensor.numel() for tensor in network.state_dict().values())
    assert path.stat().st_size < 2 * parameters + 40_000
    again = open_network(path)
    for name, tensor in network.state_dict().items():
        assert again.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(again.state_dict()[name], tensor, rtol=1e-3, atol=1e-6)


def test_release_file_loads(network: Network, tmp_path: Path) -> None:
    torch.save({"model": as_release(network)}, tmp_path / "release.pt")
    other = Network(network.config)
    load_weights(other, tmp_path / "release.pt")
    assert equal(other, network)


def test_axes_of_length_one_may_differ_and_nothing_else(network: Network) -> None:
    tensors = as_release(network)
    tensors["maskmem_tpos_enc"] = tensors["maskmem_tpos_enc"][:, None, None]
    load_tensors(Network(network.config), tensors, "x.pt")
    tensors["maskmem_tpos_enc"] = tensors["maskmem_tpos_enc"].transpose(0, 3)
    with pytest.raises(WeightsError, match="maskmem_tpos_enc has shape"):
        load_tensors(Network(network.config), tensors, "x.pt")


def test_left_over_and_missing_tensors_are_named_and_nothing_is_changed(network: Network) -> None:
    tensors = as_release(network)
    del tensors["obj_ptr_tpos_proj.weight"]
    tensors["stranger"] = torch.zeros(1)
    other = Network(network.config)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(WeightsError, match=r"lacks obj_ptr_tpos_proj.weight; nothing takes stranger"):
        load_tensors(other, tensors, "x.pt")
    assert all(torch.equal(tensor, before[name]) for name, tensor in other.state_dict().items())


def test_20_weights_do_not_pass_as_21(network: Network) -> None:
    old = Network(replace(network.config, pointer_time_code=False, absent_memory=False))
    with pytest.raises(WeightsError, match="no_obj_embed_spatial"):
        load_tensors(network, as_release(old), "old.pt")


def test_long_term_rows_start_as_the_prompted_frames_row(network: Network) -> None:
    longer = Network(replace(network.config, num_long_term_slots=3))
    load_tensors(longer, as_release(network), "x.pt")
    rows = longer.memory_attention.long_term_codes
    assert rows is not None
    assert torch.equal(rows, network.memory_attention.slot_codes[6].expand(3, -1))


def test_long_term_rows_are_kept_in_our_own_files(network: Network, tmp_path: Path) -> None:
    longer = Network(replace(network.config, num_long_term_slots=3))
    save_weights(longer, tmp_path / "l.safetensors", {}, torch.float32)
    assert equal(open_network(tmp_path / "l.safetensors"), longer)


def test_two_different_frequency_copies_are_refused(network: Network) -> None:
    tensors = {upstream_name(name, "transformers"): t for name, t in network.state_dict().items()}
    tensors["shared_image_embedding.positional_embedding"] = torch.zeros(2, network.config.hidden_dim // 2)
    with pytest.raises(WeightsError, match="two different position codes"):
        load_tensors(network, tensors, "hf")


@pytest.mark.parametrize("name", ["broken.pt", "broken.safetensors"])
def test_unreadable_files_are_named(network: Network, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"this is not a weights file")
    with pytest.raises(WeightsError, match=name) as error:
        load_weights(network, path)
    assert "\n" not in str(error.value)


def test_truncated_files_are_named(network: Network, tmp_path: Path) -> None:
    save_weights(network, tmp_path / "w.safetensors", {})
    torch.save(as_release(network), tmp_path / "w.pt")
    for path in (tmp_path / "w.safetensors", tmp_path / "w.pt"):
        path.write_bytes(path.read_bytes()[:-1000])
        with pytest.raises(WeightsError, match="fetch it again"):
            load_weights(network, path)


def test_missing_file_and_foreign_tensors(network: Network, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"):
        load_weights(network, tmp_path / "nowhere.pt")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.safetensors"):
        open_network(tmp_path / "nowhere.safetensors")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="no SAM 2 network"):
        load_weights(network, tmp_path / "other.pt")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(WeightsError, match="table of tensors"):
        load_weights(network, tmp_path / "list.pt")


def test_further_long_term_rows_start_as_the_nearest_one_there_is(network: Network, tmp_path: Path) -> None:
    short, longer = (Network(replace(network.config, num_long_term_slots=count)) for count in (1, 3))
    save_weights(short, tmp_path / "one.safetensors", {}, torch.float32)
    load_weights(longer, tmp_path / "one.safetensors")
    rows, row = longer.memory_attention.long_term_codes, short.memory_attention.long_term_codes
    assert rows is not None
    assert row is not None
    assert torch.equal(rows, row.expand(3, -1))
    save_weights(longer, tmp_path / "three.safetensors", {}, torch.float32)
    with pytest.raises(WeightsError, match="long_term_codes has shape"):
        load_weights(short, tmp_path / "three.safetensors")
