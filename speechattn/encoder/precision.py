"""A model as it is used: its linear layers laid out for the processor, in a precision of choice."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from speechattn.attention.kernels.runtime import DTYPES, fast_bfloat16
from speechattn.encoder.int8 import WITHIN, Int8FeedForward, Int8Linear, fast_int8
from speechattn.encoder.layers import FeedForward
from speechattn.encoder.packed_linear import PackedFeedForward, PackedLinear
from speechattn.errors import ConfigError
from speechattn.options import PRECISIONS

INT8 = "int8"

Module = TypeVar("Module", bound=nn.Module)


def fastest_precision(device: torch.device, ranges: Mapping[str, Tensor] | None = None) -> str:
    """What ``"auto"`` stands for on a device.

    Args:
        device: where the model computes.
        ranges: of the model's inputs, see :func:`speechattn.encoder.int8.input_ranges`; None for none.
    """
    if device.type != "cpu":
        return "fp32"
    if ranges and fast_int8():
        return INT8
    return "bf16" if fast_bfloat16() else "fp32"


def with_packed_linears(
    model: Module, precision: str = "fp32", ranges: Mapping[str, Tensor] | None = None
) -> Module:
    """A copy of a model for inference whose linear layers are packed.

    Everything else is shared with the model. The model itself, where packing is not possible: for
    weights that are not 32-bit floats on a CPU.

    Args:
        model: any module.
        precision: ``"fp32"``, ``"bf16"`` to multiply matrices in 16 bits, or ``"int8"`` for those
            within the encoder in 8.
        ranges: of inputs, by the names of linear layers; ``"int8"`` needs them.

    Raises:
        ConfigError: for another precision, or one that this processor, device or model does not
            have.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"precision: {precision!r}; choose from {', '.join(PRECISIONS)}")
    linears = {n: m for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    possible = all(
        (m.weight.device.type, m.weight.dtype) == ("cpu", torch.float32) for m in linears.values()
    )
    there = {"bf16": fast_bfloat16, INT8: fast_int8}.get(precision)
    if there is not None and not (possible and there()):
        raise ConfigError(
            f"precision: {precision}; this processor or device has no such products here; use fp32"
        )
    if not possible:
        return model
    whole = {}
    if precision == INT8:
        if not ranges:
            raise ConfigError(
                "precision: int8; the model does not say in which ranges its numbers lie, which "
                "training writes into it now; train it again, or use bf16 or fp32"
            )
        whole = {n: r for n, r in ranges.items() if n.startswith(WITHIN)}
        precision = "bf16" if fast_bfloat16() else "fp32"
    dtype = DTYPES[precision]
    replaced: dict[int, object] = {id(t): t for t in (*model.parameters(), *model.buffers())}
    for name, layer in model.named_modules():
        if isinstance(layer, FeedForward):
            inside = [f"{name}.{part}" for part in ("expand", "contract")]
            linears = {n: m for n, m in linears.items() if n not in inside}
            replaced[id(layer)] = (
                Int8FeedForward(layer, *(whole[n] for n in inside))
                if all(n in whole for n in inside)
                else PackedFeedForward(layer, dtype)
            )
    for name, layer in linears.items():
        replaced[id(layer)] = (
            Int8Linear(layer, whole[name]) if name in whole else PackedLinear(layer, dtype)
        )
    return copy.deepcopy(model, replaced).eval()
