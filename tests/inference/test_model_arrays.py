"""Model files as arrays: numbers of every type, and files that are damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from speechattn.inference.model_arrays import read_arrays

TYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.int64, torch.int32, torch.int16),
    *(torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8),
]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def write(path, header, data=b""):
    """Write a file by hand."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_numbers_of_every_type(path, dtype):
    info = torch.finfo(dtype) if dtype.is_floating_point else torch.iinfo(dtype)
    values = torch.tensor([[0, 1, 2], [info.max, info.min, 100]], dtype=dtype)
    save_file({"values": values}, path)
    found = read_arrays(path)["values"]
    np.testing.assert_array_equal(found, values.numpy())
    assert found.dtype == values.numpy().dtype and found.dtype.isnative


def test_every_number_in_bfloat16_is_exact(path):
    bits = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16)
    values = bits.view(torch.bfloat16).reshape(256, 256)
    save_file({"values": values}, path)
    found = read_arrays(path)["values"]
    assert found.dtype == np.float32 and found.flags.aligned
    np.testing.assert_array_equal(found, values.float().numpy())


@given(data=st.data())
def test_files_of_many_tensors(tmp_path_factory, data):
    shapes = st.lists(st.integers(0, 4), max_size=3)
    kinds = st.sampled_from([*TYPES, torch.bfloat16])
    drawn = data.draw(st.dictionaries(st.text(min_size=1, max_size=5), st.tuples(kinds, shapes)))
    drawn.pop("__metadata__", None)
    tensors = {
        name: torch.arange(int(np.prod(shape))).reshape(shape).to(kind)
        for name, (kind, shape) in drawn.items()
    }
    path = tmp_path_factory.mktemp("file") / "model.safetensors"
    save_file(tensors, path, {"written": "by a test"})
    found, wanted = read_arrays(path), load_file(path)
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        exact = values.float() if values.dtype == torch.bfloat16 else values
        assert found[name].shape == values.shape and found[name].flags.aligned
        np.testing.assert_array_equal(found[name], exact.numpy())


@pytest.mark.parametrize("kind", ["F32", "BF16", "F64"])
def test_unaligned_numbers(path, kind):
    dtype = {"F32": "<f4", "BF16": "<u2", "F64": "<f8"}[kind]
    values = np.arange(6).astype(dtype) if kind != "BF16" else np.full(6, 0x3F80, "<u2")  # 1.0
    size = values.nbytes
    for extra in range(8):  # of the header, which decides where the numbers lie
        header = {"odd": entry("U8", [1], 0, 1), "values": entry(kind, [2, 3], 1, 1 + size)}
        text = json.dumps(header).encode() + b" " * extra
        write(path, text, b"\x07" + values.tobytes())
        found = read_arrays(path)
        assert found["odd"].tolist() == [7] and found["values"].flags.aligned
        wanted = np.ones(6) if kind == "BF16" else np.arange(6)
        np.testing.assert_array_equal(found["values"].ravel(), wanted)


@pytest.mark.parametrize("shape", [[0], [0, 7], [3, 0, 2]])
@pytest.mark.parametrize("kind", ["F32", "BF16", "U8"])
def test_tensors_without_numbers(path, kind, shape):
    write(path, {"none": entry(kind, shape, 0, 0)})
    assert read_arrays(path)["none"].shape == tuple(shape)
    write(path, {"one": entry("U8", [], 0, 1), "none": entry(kind, shape, 1, 1)}, b"\x05")
    found = read_arrays(path)
    assert found["none"].shape == tuple(shape) and found["one"] == 5 and found["one"].shape == ()


def test_a_file_without_tensors(path):
    write(path, {})
    assert read_arrays(path) == {}
    write(path, {"__metadata__": {"dtype": "F32"}})
    assert read_arrays(path) == {}


def test_what_is_written_into_an_array_stays_in_this_process(path):
    save_file({"values": torch.ones(3)}, path)
    read_arrays(path)["values"][:] = 9
    assert read_arrays(path)["values"].tolist() == [1, 1, 1]


def test_arrays_outlive_their_file(path):
    save_file({"values": torch.arange(5000)}, path)
    found = read_arrays(path)["values"]
    path.unlink()
    assert found.sum() == 5000 * 4999 // 2


@pytest.mark.parametrize("dtype", [torch.bool, torch.float8_e4m3fn, torch.complex64])
def test_numbers_that_no_model_has_are_refused(path, dtype):
    save_file({"ok": torch.ones(2), "odd": torch.zeros(4).to(dtype)}, path)
    with pytest.raises((ValueError, SafetensorError)):
        read_arrays(path)


WHOLE = {"values": entry("F32", [3], 0, 12)}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"", b""),
        (b"no json", b""),
        (b"[]", b""),
        (b"{", b""),
        (WHOLE, b"\0" * 11),
        (WHOLE, b"\0" * 13),
        ({"values": entry("F32", [4], 0, 12)}, b"\0" * 12),
        ({"values": entry("F32", [3], 0, 1 << 60)}, b"\0" * 12),
        ({"values": entry("F32", [3], 4, 16)}, b"\0" * 16),
        ({"values": entry("F32", [-3], 0, 12)}, b"\0" * 12),
        ({"values": entry("F33", [3], 0, 12)}, b"\0" * 12),
        ({"values": {"dtype": "F32", "shape": [3]}}, b"\0" * 12),
        ({**WHOLE, "again": entry("F32", [3], 0, 12)}, b"\0" * 12),
        (b'{"a": "\xff"}', b""),
    ],
)
def test_a_damaged_header(path, header, data):
    write(path, header, data)
    with pytest.raises(SafetensorError):
        read_arrays(path)


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 8, b"\xff" * 100, b"\x10" + b"\0" * 7])
def test_a_file_that_is_cut(path, content):
    path.write_bytes(content)
    with pytest.raises(SafetensorError):
        read_arrays(path)


def test_a_file_cut_anywhere(path):
    save_file({"values": torch.ones(30), "bytes": torch.ones(7, dtype=torch.uint8)}, path)
    content = path.read_bytes()
    for end in range(0, len(content), 5):
        path.write_bytes(content[:end])
        with pytest.raises(SafetensorError):
            read_arrays(path)


def test_a_file_that_is_not_there(path):
    with pytest.raises(OSError):
        read_arrays(path)
