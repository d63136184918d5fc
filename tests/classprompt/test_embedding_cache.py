"""The cache of image features: what it gives back, what it refuses, and how it goes on after a kill."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from trocar.classprompt.embeddings import CacheMismatch, EmbeddingCache
from trocar.model import Network, tiny_random
from trocar.model.config import tiny_sam
from trocar.model.sam1 import make_network

Image = NDArray[np.uint8]


def prepare(image: Image) -> torch.Tensor:
    return torch.from_numpy(image).permute(2, 0, 1).float() / 255


def images(count: int, side: int) -> list[Image]:
    return list(np.random.default_rng(3).integers(0, 256, (count, side, side, 3), np.uint8))


@pytest.fixture(scope="module", params=[tiny_random(), tiny_sam()], ids=lambda config: str(config.family))
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    return make_network(request.param).eval()


def cache_of(folder: Path, network: Network, preparation: str = "plain", dtype: str = "float32") -> EmbeddingCache:
    return EmbeddingCache(folder, network, network.config.image_size, prepare, preparation, dtype)


def test_it_gives_back_what_the_network_encodes(tmp_path: Path, network: Network) -> None:
    given = images(3, network.config.image_size)
    cache = cache_of(tmp_path / "cache", network)
    keys = cache.add(given)
    with torch.no_grad():
        whole = network.encode_image(torch.stack([prepare(image) for image in given]))
    again = cache_of(tmp_path / "cache", network).read(keys[::-1])
    for name in ("stride4", "stride8", "stride16"):
        assert torch.equal(getattr(again, name), getattr(whole, name).flip(0))


def test_an_image_is_encoded_once_and_takes_the_stated_bytes(tmp_path: Path, network: Network) -> None:
    given = images(2, network.config.image_size)
    cache = cache_of(tmp_path / "cache", network, dtype="float16")
    keys = cache.add([given[0], given[1], given[0]])
    assert keys[0] == keys[2] != keys[1]
    assert cache.add(given) == keys[:2]
    assert len(cache) == 2
    side, dim = network.config.image_size, network.config.hidden_dim
    values = dim * (side // 16) ** 2
    if network.config.remembers:
        values += dim // 4 * (side // 8) ** 2 + dim // 8 * (side // 4) ** 2
    assert cache.bytes_per_image == 2 * values
    assert (tmp_path / "cache" / "features.bin").stat().st_size == 2 * cache.bytes_per_image


def test_other_weights_and_other_settings_are_refused(tmp_path: Path, network: Network) -> None:
    cache_of(tmp_path / "cache", network).add(images(1, network.config.image_size))
    torch.manual_seed(9)
    other = make_network(network.config).eval()
    with pytest.raises(CacheMismatch, match="other weights or settings"):
        cache_of(tmp_path / "cache", other)
    with pytest.raises(CacheMismatch, match="preparation 'plain', wanted 'padded'"):
        cache_of(tmp_path / "cache", network, preparation="padded")
    with pytest.raises(CacheMismatch, match="dtype"):
        cache_of(tmp_path / "cache", network, dtype="float16")


def test_it_goes_on_after_a_kill_in_the_middle_of_a_record(tmp_path: Path, network: Network) -> None:
    given = images(3, network.config.image_size)
    cache = cache_of(tmp_path / "cache", network)
    keys = cache.add(given[:2])
    records, lines = tmp_path / "cache" / "features.bin", tmp_path / "cache" / "keys.txt"
    whole = records.read_bytes()
    records.write_bytes(whole[: cache.bytes_per_image + 5])  # the second record was being written
    lines.write_text(lines.read_text()[:40])
    again = cache_of(tmp_path / "cache", network)
    assert len(again) == 1
    assert again.add(given[:2]) == keys
    found, wanted = (np.frombuffer(one, np.float32) for one in (records.read_bytes(), whole))
    assert np.allclose(found, wanted, atol=1e-5)  # an image encoded alone differs in its last bits from one of a batch
    assert lines.read_text().split() == keys


def test_a_folder_of_other_things_and_a_broken_head_are_refused(tmp_path: Path, network: Network) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no cache of features"):
        cache_of(tmp_path, network)
    cache_of(tmp_path / "cache", network)
    assert json.loads((tmp_path / "cache" / "cache.json").read_text())["bytes_per_image"] > 0
    (tmp_path / "cache" / "cache.json").write_text("{")
    with pytest.raises(ValueError, match="cannot be read"):
        cache_of(tmp_path / "cache", network)
    with pytest.raises(ValueError, match="float16 or float32"):
        cache_of(tmp_path / "other", network, dtype="int8")
