"""Arrays stored smaller: the same again, and damage that is named."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from dataclasses import replace

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from speechattn import deflated
from speechattn.deflated import METADATA, Deflated, deflate, stored_arrays

TYPES = [np.dtype(name) for name in ("uint8", "int8", "uint16", "int32", "float16", "float64")]


def alike(count=40_000, dtype=np.uint8):
    """Numbers that become smaller: most of them are near each other."""
    return np.random.default_rng(0).normal(30, 4, count).astype(dtype)


@given(
    npst.arrays(st.sampled_from(TYPES), npst.array_shapes(min_dims=0, max_dims=3, min_side=0)),
    st.integers(0, 3),
)
def test_what_is_stored_comes_back_the_same(values, copies):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deflated, "LEAST_BYTES", 0)
        patch.setattr(deflated, "MOST_SHARE", 100.0)
        stored, metadata = deflate({"a": values, "b": values[..., :copies]} if values.ndim else {})
    found = stored_arrays(stored, metadata)
    for name, each in found.items():
        wanted = values if name == "a" else values[..., :copies]
        assert isinstance(each, Deflated) == (wanted.size > 0 and values.dtype != np.float64)
        again = each.inflate() if isinstance(each, Deflated) else each
        assert (each.dtype, each.shape) == (wanted.dtype, wanted.shape)
        assert again.dtype == wanted.dtype and again.tobytes() == wanted.tobytes()


def test_a_file_of_them_is_smaller_and_holds_the_same(tmp_path):
    arrays = {
        "many": alike().reshape(200, 200),
        "words": np.sort(alike(30_000, np.int32)),
        "noise": np.random.default_rng(1).integers(0, 256, 50_000).astype(np.uint8),
        "few": np.zeros(100, np.uint8),
    }
    stored, metadata = deflate(arrays)
    file = tmp_path / "a.safetensors"
    file.write_bytes(save(stored, metadata))
    found = stored_arrays(load_file(file), metadata)
    small = {name for name, each in found.items() if isinstance(each, Deflated)}
    assert small == {"many", "words"}  # others gain nothing
    assert file.stat().st_size < 0.6 * sum(values.nbytes for values in arrays.values())
    for name, values in arrays.items():
        each = found[name]
        again = each.inflate() if isinstance(each, Deflated) else each
        assert np.array_equal(again, values) and again.dtype == values.dtype


def test_no_more_is_deflated_than_is_read_again(monkeypatch):
    monkeypatch.setattr(deflated, "MOST_BYTES", 100_000)
    arrays = {name: alike() for name in "abc"} | {"d": alike(200_000)}
    stored, metadata = deflate(arrays)
    found = stored_arrays(stored, metadata)
    assert [name for name, each in found.items() if isinstance(each, Deflated)] == ["a", "b"]
    assert stored["c"] is arrays["c"] and stored["d"] is arrays["d"]


def test_the_order_of_arrays_changes_nothing():
    arrays = {name: alike() for name in "bca"}
    (stored, metadata), turned = deflate(arrays), deflate(dict(reversed(arrays.items())))
    assert save(stored, metadata) == save(turned[0], turned[1])


def test_arrays_that_gain_nothing_need_no_metadata():
    arrays = {"few": np.zeros(100, np.uint8)}
    stored, metadata = deflate(arrays)
    assert stored["few"] is arrays["few"] and metadata == {}
    assert stored_arrays(stored, None) == stored


@pytest.mark.parametrize(
    "change",
    [
        lambda d: replace(d, packed=d.packed[:-5]),
        lambda d: replace(d, packed=d.packed[:0]),
        lambda d: replace(d, packed=np.zeros_like(d.packed)),
        lambda d: replace(d, shape=(len(d.packed),)),
        lambda d: replace(d, shape=(40_001,)),
        lambda d: replace(d, dtype=np.dtype("int32")),
        lambda d: replace(d, packed=np.append(d.packed, np.uint8(0))),
    ],
    ids=["cut", "empty", "others", "too few", "too many", "type", "more"],
)
def test_other_bytes_are_refused(change):
    found = stored_arrays(*deflate({"a": alike()}))["a"]
    assert isinstance(found, Deflated)
    with pytest.raises(ValueError, match="^a: (not deflated|does not inflate to)"):
        change(found).inflate()


def test_no_more_memory_is_taken_than_the_array_needs():
    # A thousand times as much as is promised.
    bomb = stored_arrays(*deflate({"a": np.zeros(40_000_000, np.uint8)}))["a"]
    assert isinstance(bomb, Deflated)
    tracemalloc.start()
    with pytest.raises(ValueError, match="a: does not inflate to the 40000 bytes of its shape"):
        replace(bomb, shape=(40_000,)).inflate()
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


# The product of the second is 2 ** 64 - 1, which is -1 in 64 bits.
@pytest.mark.parametrize("shape", [[2**31 - 1, 2**31 - 1], [3, 5, 17, 257, 641, 65537, 6700417]])
def test_shapes_of_more_than_a_file_may_hold_are_refused(shape):
    data = np.frombuffer(zlib.compress(bytes(1000)), np.uint8)
    with pytest.raises(ValueError, match=r"deflated: \d+ bytes, more than"):
        stored_arrays({"a": data}, {METADATA: json.dumps({"a": ["float32", shape]})})
    with pytest.raises(ValueError, match=r"a: \d+ bytes, more than"):
        Deflated("a", data, np.dtype("float32"), tuple(shape)).inflate()


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        json.dumps({"a": ["uint8"]}),
        json.dumps({"a": ["object", [3]]}),
        json.dumps({"a": ["uint8", [-1]]}),
        json.dumps({"a": ["uint8", [2.0]]}),
        json.dumps({"a": ["uint8", 3]}),
        json.dumps({"b": ["uint8", [3]]}),
        json.dumps({"c": ["uint8", [3]]}),
    ],
)
def test_metadata_that_cannot_be_are_refused(text):
    arrays = {"a": np.zeros(9, np.uint8), "c": np.zeros(9, np.float32)}
    with pytest.raises(ValueError, match=r"deflated"):
        stored_arrays(arrays, {METADATA: text})
