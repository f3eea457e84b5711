"""Bounded reads of a header, and promised sizes against the size of the file."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.audio.containers.base import MAX_CHUNKS, BoundedReader, chunks, is_chunk
from speechattn.errors import AudioError


def file_bytes(data: bytes) -> BoundedReader:
    return BoundedReader(io.BytesIO(data), "a.wav", len(data))


@given(st.binary(max_size=20), st.integers(0, 25), st.integers(0, 25))
def test_reads_are_whole_or_refused(content, position, count):
    data, there = file_bytes(content), content[position : position + count]
    assert data.upto(position, count) == there
    if len(there) == count:
        assert data.exactly(position, count) == there
    else:
        with pytest.raises(AudioError, match=f"a.wav: cut off .* byte {len(content)};"):
            data.exactly(position, count)


def test_numbers_of_both_orders():
    data = file_bytes(b"..\x01\x02\x03")
    assert data.unpack("<HB", 2) == (0x0201, 3) and data.unpack(">HB", 2) == (0x0102, 3)


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 8))
def test_a_promise_is_broken_by_whole_blocks_only(size, declared, begin, block):
    data = file_bytes(bytes(size))
    promised = {at // block for at in range(block - 1, declared, block)}
    present = {at // block for at in range(block - 1, size - begin, block)}
    if promised <= present:
        data.compare(declared, begin, block)
    else:
        with pytest.raises(
            AudioError, match=f"promises {declared} .* holds {max(0, size - begin)}"
        ):
            data.compare(declared, begin, block)


@pytest.mark.parametrize("order", ["<", ">"])
@given(st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(max_size=9)), max_size=6))
def test_chunks_begin_at_even_offsets(order, content):
    written, expected = b"head", []
    for name, body in content:
        expected.append((name, len(written) + 8, len(body)))
        written += name + struct.pack(f"{order}I", len(body)) + body + b"\0" * (len(body) % 2)
    assert list(chunks(file_bytes(written), 4, order)) == expected


def test_chunks_without_end():
    data = file_bytes(b"LIST\0\0\0\0" * (MAX_CHUNKS + 1))
    with pytest.raises(AudioError, match=f"more than {MAX_CHUNKS} chunks"):
        list(chunks(data, 0, "<"))


def test_samples_are_no_chunk():
    assert is_chunk(file_bytes(b"LIST\2\0\0\0ab"), 0, "<")
    assert not is_chunk(file_bytes(b"LIST\2\0\0\0ab"), 0, ">")  # of 512 MiB
    assert not is_chunk(file_bytes(b"LIST\2\0\0\0a"), 0, "<")
    assert not is_chunk(file_bytes(b"LI\0T\2\0\0\0ab"), 0, "<")
    assert not is_chunk(file_bytes(b"LIST\2\0\0"), 0, "<")
