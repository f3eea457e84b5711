"""Tensors of a model's file: packed, read, checked, and given to a model.

PyTorch is imported where tensors are written or read: the command line finds a model without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from speechattn.deflated import Deflated, deflate, stored_arrays
from speechattn.errors import ModelError

if TYPE_CHECKING:
    import torch

Module = TypeVar("Module", bound="torch.nn.Module")


def packed_tensors(tensors: dict[str, torch.Tensor], small: bool) -> bytes:
    """Return the content of a file of tensors, the same for every order of them.

    Args:
        tensors: by name.
        small: deflate what becomes smaller by it (:mod:`speechattn.deflated`).
    """
    import torch
    from safetensors.torch import save

    metadata: dict[str, str] = {}
    if small:
        arrays = {n: v.numpy() for n, v in tensors.items() if v.dtype != torch.bfloat16}
        stored, metadata = deflate(arrays)
        changed = [name for name, values in stored.items() if values is not arrays[name]]
        tensors = tensors | {name: torch.from_numpy(stored[name]) for name in changed}
    return save(tensors, metadata or None)


def unpacked_tensors(
    path: Path, begins: tuple[str, ...] | None = None, without: tuple[str, ...] = ()
) -> tuple[dict[str, torch.Tensor], bool]:
    """Read a file of tensors.

    Args:
        path: of the file.
        begins: beginnings of the names that are read; None for all.
        without: beginnings of names that are not.

    Returns:
        The tensors by name, and whether some of them were deflated.

    Raises:
        OSError: if it cannot be read.
        SafetensorError, ValueError: if it is damaged.
    """
    import torch
    from safetensors import safe_open

    tensors, small = {}, False
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        for name in file.keys():  # noqa: SIM118 - it is no dictionary
            tensors[name] = file.get_tensor(name)
    octets = {n: v.numpy() for n, v in tensors.items() if v.dtype == torch.uint8}
    stored = stored_arrays(octets, metadata)
    for name in list(tensors):
        if name.startswith(without) or not (begins is None or name.startswith(begins)):
            del tensors[name]
        elif isinstance(values := stored.get(name), Deflated):
            tensors[name], small = torch.from_numpy(values.inflate()), True
    return tensors, small


def without_values(build: Callable[[], Module]) -> Module:
    """Return a model that knows the shapes of its weights and has no memory for their values.

    A damaged size in a configuration would otherwise take all memory there is.

    Args:
        build: makes the model.
    """
    import torch

    with torch.device("meta"):
        return build()


def give_values(model: torch.nn.Module, weights: Mapping[str, torch.Tensor]) -> None:
    """Give a model of :func:`without_values` the weights of a file, as float32.

    No values are drawn first, and no memory is needed twice.

    Args:
        model: has no values yet.
        weights: all of its state.
    """
    model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)


def read_weights(
    path: Path,
    shapes: dict[str, torch.Tensor],
    beside: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> dict[str, torch.Tensor]:
    """Read weights, which must have the names and shapes that the configuration promises.

    Args:
        path: of the file.
        shapes: state of a model from :func:`without_values`.
        beside: beginnings of the names of further tensors, which may have any shape.
        without: beginnings of the names of tensors that are not read.

    Raises:
        ModelError: if a shape differs, a value is not finite, or the file cannot be read.
    """
    from speechattn.encoder.six_bits import restore_six_bits

    weights = _read(path, None, without)
    wanted = {k: tuple(v.shape) for k, v in shapes.items()}
    try:
        restore_six_bits(weights, wanted)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from None
    found = {k: tuple(v.shape) for k, v in weights.items() if not k.startswith(beside)}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise ModelError(
                f"{path}: {name} has shape {found.get(name)}, where the configuration says "
                f"{wanted.get(name)}; the two files do not belong together"
            )
    _check_finite(path, weights)
    return weights


def read_tensors(path: Path, begins: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Read the tensors of a file whose names begin with one of ``begins``.

    Raises:
        ModelError: if the file cannot be read, or a value of theirs is not finite.
    """
    tensors = _read(path, begins)
    _check_finite(path, tensors)
    return tensors


def _read(
    path: Path, begins: tuple[str, ...] | None, without: tuple[str, ...] = ()
) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError

    try:
        return unpacked_tensors(path, begins, without)[0]
    except (OSError, SafetensorError, ValueError, MemoryError) as error:
        raise ModelError(f"{path}: cannot be read ({error}); export the model again") from None


def _check_finite(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    for name, value in tensors.items():
        if not _all_finite(value):
            raise ModelError(f"{path}: {name} holds NaN or Inf; export the model again")


def _all_finite(values: torch.Tensor) -> bool:
    """Whether there is no NaN and no Inf, in one pass and without a copy."""
    if not values.is_floating_point() or not values.numel():
        return True
    return all(math.isfinite(extreme) for extreme in values.aminmax())
