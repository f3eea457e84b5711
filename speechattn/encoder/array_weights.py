"""Weights of an encoder as :mod:`speechattn.encoder.array_encoder` multiplies with them.

Matrices within the encoder become whole numbers of 8 bits, laid out for the processor, as
:mod:`speechattn.encoder.int8` describes. They are kept in the cache (:mod:`speechattn.cache`), from
where processes map them: none of them computes or copies anything, and all share the memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from speechattn import cache, deflated
from speechattn.attention.kernels import byte_matrix, byte_tiles, llvm
from speechattn.deflated import Deflated
from speechattn.encoder import whole_numbers
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.whole_numbers import (
    MAX_INT8,
    MAX_UINT8,
    by_rows,
    columns_of,
    input_steps,
    whole_of,
)

Arrays = Mapping[str, np.ndarray]
StoredArrays = Mapping[str, np.ndarray | Deflated]

# Ends of the names of what belongs to a matrix: sums and steps of its rows, inverse steps of its
# inputs.
SUMS, STEP, PER_STEP = ".sums", ".step", ".per_step"


def is_supported(config: object) -> bool:
    """Return whether an encoder of this shape can be computed on arrays."""
    if not isinstance(config, EncoderConfig) or not byte_matrix.OFFERED:
        return False
    return (
        (config.scores, config.weights, config.conv_kernel) == ("dot", "softmax", 0)
        and config.positions in ("none", "distance")
        and config.width % llvm.LANES == 0
        and config.width // config.heads % llvm.LANES == 0
        and config.feedforward % llvm.LANES == 0
    )


def shapes(config: EncoderConfig, input_dim: int, num_phones: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights of a classifier, by their names in a file.

    Args:
        config: for which :func:`is_supported` holds.
        input_dim: numbers of a frame.
        num_phones: number of classes.
    """
    width, stack = config.width, config.stack
    found: dict[str, tuple[int, ...]] = {"mean": (input_dim,), "std": (input_dim,)}

    def linear(name: str, outputs: int, inputs: int) -> None:
        found[f"{name}.weight"], found[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def norm(name: str) -> None:
        found[f"{name}.weight"] = found[f"{name}.bias"] = (width,)

    first = 0
    if config.subsampling == "convolution":
        linear("layers.0.first", width, 3 * input_dim)
        linear("layers.0.second", width, (2 * stack - 1) * width)
        found["layers.0.offset"] = (width,)
        first = 1
    else:
        linear("enter", width, input_dim * stack)
    for block, reach in enumerate(config.reaches):
        attention, feedforward = (f"layers.{first + 2 * block + part}" for part in (0, 1))
        norm(f"{attention}.norm")
        norm(f"{feedforward}.norm")
        linear(f"{attention}.layer.project", 3 * width, width)
        linear(f"{attention}.layer.join", width, width)
        if reach is not None:
            found[f"{attention}.layer.bias.table"] = config.heads, 2 * (reach // stack) + 1
        linear(f"{feedforward}.layer.expand", config.feedforward, width)
        linear(f"{feedforward}.layer.contract", width, config.feedforward)
    norm("norm")
    linear("classify", num_phones * stack, width)
    return found


def ready_arrays(
    weights: StoredArrays, steps: Arrays, ranges: Arrays, config: EncoderConfig, wanted: Mapping
) -> dict[str, np.ndarray] | None:
    """Return the weights of a file as the layers on arrays take them.

    Args:
        weights: of the file: floats, or whole numbers of 8 or 6 bits.
        steps: of these whole numbers, by the name of the layer.
        ranges: of the inputs of each linear layer, as
            :func:`speechattn.encoder.int8.input_ranges` gives them.
        config: of the encoder.
        wanted: shapes that the weights must have, from :func:`shapes`.

    Returns:
        None if anything is missing or damaged.
    """
    if not _fits(weights, steps, ranges, wanted):
        return None
    modules = byte_matrix, byte_tiles, whole_numbers, deflated
    sources = [__file__, *(str(module.__file__) for module in modules)]
    kind = f"encoder-{llvm.LANES}-{byte_matrix.MOST_WEIGHT}-{config.activation}"
    everything = {
        f"{k} {v.dtype} {v.shape} {wanted[k]}": v.packed if isinstance(v, Deflated) else v
        for k, v in weights.items()
    }
    everything |= {f"steps.{k}": v for k, v in steps.items()}
    everything |= {f"ranges.{k}": v for k, v in ranges.items()}
    try:
        return cache.arrays(
            cache.digest(kind, everything, sources),
            lambda: dict(_made(weights, steps, ranges, wanted, config.activation == "relu")),
        )
    except ValueError:
        return None


def _fits(weights: StoredArrays, steps: Arrays, ranges: Arrays, wanted: Mapping) -> bool:
    """Return whether all is there and has the right shape, whatever the numbers are."""
    if weights.keys() != wanted.keys():
        return False
    inputs = [shape[1] for name, shape in wanted.items() if _in_bytes(name)]
    if any(count % byte_tiles.FOUR or count < llvm.LANES for count in inputs):
        return False
    for name, values in weights.items():
        layer, shape = name.removesuffix(".weight"), values.shape
        if values.dtype.kind != "f":
            step, bits = steps.get(layer), values.dtype
            if step is None or step.dtype.kind != "f" or step.shape != shape[:1]:
                return False
            if bits == np.uint8 and len(shape) == 2:
                shape = shape[0], columns_of(shape[1], wanted[name][-1])
            elif bits != np.int8:
                return False
        elif layer in steps:
            return False
        if shape != wanted[name] or (_in_bytes(name) and layer not in ranges):
            return False
    if any(f"{layer}.weight" not in weights for layer in steps):
        return False
    for layer, values in ranges.items():
        of = wanted.get(f"{layer}.weight", ())
        if len(of) != 2 or values.shape != of[1:] or values.dtype.kind != "f":
            return False
        if not (np.isfinite(values).all() and (values >= 0).all()):
            return False
    return True


def _in_bytes(name: str) -> bool:
    """Return whether a weight is a matrix that is multiplied in 8 bits: not the first or last."""
    return name.startswith("layers.") and name.endswith(".weight") and ".norm." not in name


def _made(
    weights: StoredArrays, steps: Arrays, ranges: Arrays, wanted: Mapping, relu: bool
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of :func:`ready_arrays` and their names.

    Raises:
        ValueError: for a number that is not finite.
    """

    def plain(name: str) -> np.ndarray:
        layer = name.removesuffix(".weight")
        stored = weights[name]
        values = stored.inflate() if isinstance(stored, Deflated) else stored
        values = _plain(values, steps.get(layer), ranges.get(layer), wanted[name])
        if not np.isfinite(values).all():
            raise ValueError(f"{name}: not finite")
        return values

    for name in weights:
        layer = name.removesuffix(".weight")
        if not _in_bytes(name):
            if not (relu and name.endswith(".expand.bias")):
                yield name, plain(name)
            continue
        inner = relu and layer.endswith(".contract")
        step = input_steps(ranges[layer], MAX_UINT8 if inner else MAX_INT8)
        weight = plain(name) * step
        if relu and layer.endswith(".expand"):
            # Its product gives multiples of the inner steps, which need only be rounded.
            of_inner = layer.removesuffix("expand") + "contract"
            inner_step = input_steps(ranges[of_inner], MAX_UINT8)
            weight = weight / inner_step[:, None]
            yield f"{layer}.bias", plain(f"{layer}.bias") / inner_step
        whole, of_rows = by_rows(weight, byte_matrix.MOST_WEIGHT)
        panels, sums = byte_matrix.laid_out(whole)
        yield name, panels
        yield layer + SUMS, sums
        yield layer + STEP, of_rows
        yield layer + PER_STEP, 1 / step


def _plain(
    values: np.ndarray, step: np.ndarray | None, ranges: np.ndarray | None, shape: tuple[int, ...]
) -> np.ndarray:
    """Return weights of a file as float32; ``shape`` is theirs."""
    if step is None:
        return np.array(values, np.float32)  # not a part of the mapped file
    rows = step[:, None].astype(np.float32)
    if values.dtype == np.uint8:
        return whole_of(values, shape[1]) * rows
    if ranges is None:
        raise ValueError("8 bits without ranges")
    return values * rows / input_steps(ranges, MAX_INT8)
