"""Broken files for the fuzzers: whole ones of every kind with a few things changed."""

from __future__ import annotations

import copy
import gzip
import json
import struct

from hypothesis import strategies as st

NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000)
NUMBERS += (0xFFFFFFFF, 0xFFFFFFFE, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
WORDS = (
    *(
        b"",
        b"\n",
        b"\r\n",
        b" ",
        b"\t",
        b"\0",
        b"\x1b[2J",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
    ),
    *("\u2028 \u0085 \u00a0 é e\u0301 語 \U0001f3a4 \u202e").encode().split(b" "),
    *(b"nan", b"inf", b"-1", b"1e999", b"1e-999", b"0x10", b"1_0", b"9" * 400, b"0.1", b"-0.0"),
    *(b"|", b"rm -rf x |", b"../..", b"/", b"/dev/zero", b".", b"-", b"u1", b"u2", b"AA", b"SIL"),
    *(b"null", b"true", b"!!python/object:os.system", b"&a", b"*a", b"<<: *a", b"{", b"[", b"]"),
    *(b"?", b": ", b"- ", b"|\n", b">", b"%TAG", b"---", b"...", b"2020-13-45", b"1:60", b"0o8"),
    *(b"training.steps", b"corpora:", b"#", b";;", b'"', b"'", b"\\", b"A" * 5000, b"[" * 2000),
)
LAYOUTS = ("B", "<H", ">H", "<I", ">I", "<Q", ">Q")
VALUES = st.one_of(
    st.sampled_from([None, True, False, "", "x", "rotary", [], {}, [[]], [None], {"a": 1}, 0.5]),
    st.sampled_from([0, 1, -1, 2, 3, 1 << 31, 1 << 40, 1 << 63, 10**400, 1e308, -1e308]),
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e-320, "1", "nan", "\ud800"]),
    st.lists(st.integers(-2, 40), max_size=5),
)


@st.composite
def bytes_like(draw, wholes: list[bytes], words: tuple[bytes, ...] = (), most: int = 5) -> bytes:
    """One of some files with up to ``most`` changes.

    Args:
        wholes: files that are right.
        words: what to put in besides numbers.
        most: changes.
    """
    data = bytearray(draw(st.sampled_from(wholes)))
    for _ in range(draw(st.integers(0, most))):
        place = draw(st.one_of(st.integers(0, 100), st.integers(0, len(data))))
        place = min(place, len(data))
        length = draw(st.sampled_from([1, 2, 4, 16, 300]))
        match draw(st.sampled_from(["number", "bit", "word", "cut", "remove", "repeat", "end"])):
            case "number":
                layout, number = draw(st.sampled_from(LAYOUTS)), draw(st.sampled_from(NUMBERS))
                size = struct.calcsize(layout)
                data[place : place + size] = struct.pack(layout, number % (1 << 8 * size))
            case "bit" if place < len(data):
                data[place] ^= 1 << draw(st.integers(0, 7))
            case "word":
                other = draw(st.sampled_from(wholes))
                piece = other[place : place + length]
                data[place:place] = draw(st.sampled_from(words)) if words else piece
            case "cut":
                del data[place:]
            case "remove":
                del data[place : place + length]
            case "repeat":
                data[place:place] = data[place : place + length]
            case "end":
                data += draw(st.binary(max_size=40))
    return bytes(data)


@st.composite
def json_like(draw, whole: dict, most: int = 3) -> bytes:
    """A JSON file of which some values are others, some keys gone or doubled."""
    changed = copy.deepcopy(whole)
    for _ in range(draw(st.integers(0, most))):
        place, holder = changed, None
        while isinstance(place, (dict, list)) and place and (holder is None or draw(st.booleans())):
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            holder, key = place, draw(st.sampled_from(keys))
            place = place[key]
        if holder is None:
            break
        if draw(st.booleans()):
            holder[key] = copy.deepcopy(draw(VALUES))
        elif draw(st.booleans()):
            del holder[key]
        elif isinstance(holder, dict):
            holder[f"{key}x"] = place
        else:
            holder.append(place)
    text = json.dumps(changed).encode()
    return draw(bytes_like([text], WORDS, 2)) if draw(st.integers(0, 9)) == 0 else text


@st.composite
def gzipped(draw, texts: st.SearchStrategy[bytes]) -> bytes:
    """A gzip file of a text, whole or changed."""
    packed = gzip.compress(draw(texts), mtime=0)
    return draw(bytes_like([packed], most=3)) if draw(st.booleans()) else packed


@st.composite
def safetensors_like(draw, whole: bytes) -> bytes:
    """A safetensors file with a changed header, whose length is right for once, or any change."""
    if draw(st.booleans()):
        return draw(bytes_like([whole], most=4))
    size = struct.unpack("<Q", whole[:8])[0]
    header = draw(json_like(json.loads(whole[8 : 8 + size])))
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["F16", "BF16", "F64", "I64", "I8", "U8", "BOOL", "F8_E4M3"]))
        header = header.replace(b'"F32"', b'"%s"' % kind.encode(), draw(st.integers(1, 3)))
    return struct.pack("<Q", len(header)) + header + whole[8 + size :]
