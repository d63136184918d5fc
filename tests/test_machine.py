"""What a machine says of itself."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from trocar import machine
from trocar.train.run import warn_of_bfloat16

CPU = torch.device("cpu")
ASKED = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists() or platform.machine() != "x86_64", reason="Linux on x86 says it")
def test_bfloat16_is_known_as_the_system_knows_it() -> None:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("flags")[2].partition("\n")[0].split()
    assert machine.multiplies_bfloat16() == bool({"avx512_bf16", "amx_tile"} & set(flags))


@pytest.mark.parametrize("has", [True, False])
def test_a_recipe_in_bfloat16_is_warned_of_where_it_is_slow(has: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ASKED:
        monkeypatch.setattr(torch.cpu, name, lambda: has)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    said: list[str] = []
    warn_of_bfloat16(False, CPU, "optimiser.bf16", said.append)
    warn_of_bfloat16(True, torch.device("cuda"), "optimiser.bf16", said.append)
    assert said == []
    warn_of_bfloat16(True, CPU, "optimiser.bf16", said.append)
    assert (said == []) == has
    assert has or "set optimiser.bf16 = false" in said[0]


def test_where_pytorch_cannot_tell_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ASKED:
        monkeypatch.delattr(torch.cpu, name)
    assert machine.multiplies_bfloat16()


def test_the_load_has_three_averages() -> None:
    load = machine.load_average()
    assert len(load) == 3
    assert all(one >= 0 for one in load)
