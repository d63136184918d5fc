"""The precisions that a network can compute in, by name. Masks are the same in fp32 alone."""

from __future__ import annotations

from collections.abc import Callable

from trocar.model.int8 import to_int8
from trocar.model.network import Network


def _to_bfloat16(network: Network) -> None:
    network.bfloat16()


#: Name -> what changes a network in place.
PRECISIONS: dict[str, Callable[[Network], None]] = {
    "fp32": lambda network: None,  # as weights are loaded
    "bf16": _to_bfloat16,  # pays on graphics cards and on processors that multiply bfloat16
    "int8": to_int8,  # pays on processors with VNNI
}


def in_precision(network: Network, precision: str) -> Network:
    """The network, changed to compute in another precision.

    Raises:
        ValueError: there is no such precision, or not on this machine.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"there is no precision {precision!r}: use {', '.join(PRECISIONS)}")
    PRECISIONS[precision](network)
    return network
