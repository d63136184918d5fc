"""How much work a piece of code asks of a processor: operations of its matrix products, and bytes that go through it.

Counts, not times: they are the same on every machine and however busy it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

T = TypeVar("T")


@dataclass(frozen=True)
class Work:
    """What was counted.

    Args:
        operations: multiplications and additions of matrix products, convolutions and attention.
        bytes: read and written by all operators, each on its own; views are free.
        calls: of each operator.
    """

    operations: int
    bytes: int
    calls: Counter[str] = field(default_factory=Counter)


def count_work(call: Callable[[], T]) -> tuple[Work, T]:
    """Run the call and count what PyTorch does in it, on this thread and with no other; gradients are not wanted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # else rows of large networks would go where nobody counts (`model/rows.py`)
    try:
        with torch.no_grad(), _Counting() as counting:
            result = call()
    finally:
        torch.set_num_threads(threads)
    return Work(counting.operations, counting.bytes, counting.calls), result


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = self.bytes = 0
        self.calls: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        packet = func._overloadpacket
        counted = _FURTHER.get(str(packet)) or flop_registry.get(packet)
        if counted is None:
            with self:  # several operators in one arrive whole in inference mode
                whole = func.decompose(*args, **kwargs)
            if whole is not NotImplemented:
                return whole
        out = func(*args, **kwargs)
        self.calls[str(packet)] += 1
        if counted is not None:
            self.operations += int(counted(*args, **kwargs, out_val=out))
        self.bytes += _moved([*tree_leaves(args), *tree_leaves(kwargs)], tree_leaves(out), func._schema.is_mutable)
        return out


def _moved(given: list[Any], made: list[Any], writes: bool) -> int:
    """Bytes of an operator's tensors; none where it only looks at its input in another way."""
    sources, results = ([one for one in some if isinstance(one, Tensor)] for some in (given, made))
    places = {one.untyped_storage().data_ptr() for one in sources}
    if not writes and all(one.untyped_storage().data_ptr() in places for one in results):
        return 0
    return sum(one.numel() * one.element_size() for one in (*sources, *results))


def _linear(x: Tensor, *rest: Any, out_val: Any = None, **more: Any) -> int:
    """x (..., in) times a matrix that makes (..., out) of it."""
    return 2 * int(out_val.numel()) * int(x.shape[-1])


def _attention(query: Tensor, key: Tensor, value: Tensor, *rest: Any, out_val: Any = None, **more: Any) -> int:
    return int(sdpa_flop_count(query.shape, key.shape, value.shape))


_FURTHER: dict[str, Callable[..., int]] = {
    "mkldnn._linear_pointwise": _linear,
    "onednn.qlinear_pointwise": _linear,
    "quantized.linear_dynamic": _linear,
    "quantized.linear_relu_dynamic": _linear,
    "aten._int_mm": _linear,
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
}
"""Operators that PyTorch's own counter leaves out."""
