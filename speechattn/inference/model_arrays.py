"""Weights of a model file as NumPy arrays, mapped into memory: no PyTorch, and nothing copied."""

from __future__ import annotations

import json
import mmap
from pathlib import Path

import numpy as np
from safetensors import safe_open

_LENGTH_BYTES = 8  # of the length of the header, at the beginning of a file
_TYPES = {
    **{"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"},
    **{"I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"},
}


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return what a safetensors file holds; bfloat16 as float32.

    Args:
        path: of the file.

    Raises:
        OSError: if it cannot be read.
        SafetensorError: if it is damaged.
        ValueError: if it holds numbers of a type that NumPy lacks.
    """
    with safe_open(path, "np"):  # the header is as it should be, and the file is whole
        pass
    with path.open("rb") as file:
        memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    begin = _LENGTH_BYTES + int.from_bytes(memory[:_LENGTH_BYTES], "little")
    header = json.loads(memory[_LENGTH_BYTES:begin])
    found = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind = entry["dtype"]
        if kind not in _TYPES:
            raise ValueError(f"{name}: numbers of the type {kind}")
        start, end = entry["data_offsets"]
        dtype = np.dtype(_TYPES[kind])
        count = (end - start) // dtype.itemsize
        values = np.frombuffer(memory, dtype, count, begin + start).reshape(entry["shape"])
        if kind == "BF16":
            values = (values.astype(np.uint32) << 16).view(np.float32)
        found[name] = np.require(values, requirements="A")
    return found
