"""WAVs that come through a pipe with other things around and behind their samples."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bad_headers import patched, voice, wav

from speechattn.audio.piped import PipedSamples
from speechattn.audio.raw import read_start

DATA = (voice() * 32767).astype("<i2").tobytes()
OTHER = (voice()[::-1] * 32767).astype("<i2").tobytes()
SIZE = len(DATA)
LIST = b"LIST" + struct.pack("<I", 5000) + b"a" * 5000


def heard(data: bytes, *counts: int) -> tuple[bytes, list[str], str]:
    """The samples, the warnings and the problem."""
    file = io.BytesIO(data)
    sound = PipedSamples(file.read, start=read_start(file.read))
    parts, number = [], 0
    while part := sound.read((counts or (3200,))[number % max(1, len(counts))]):
        parts.append(part)
        number += 1
    return b"".join(parts), sound.warnings, sound.problem


@pytest.mark.parametrize("after", [b"", LIST, LIST * 2, b"\0"])
def test_what_is_no_sound_is_not_heard(after):
    assert heard(wav(DATA) + after) == (DATA, [], "")
    assert heard(wav(DATA, after=after)) == (DATA, [], "")


@pytest.mark.parametrize("size", [SIZE // 2, 2, 1000])
def test_samples_go_on_after_a_size_that_is_too_small(size):
    said = [f"the header says {size} bytes of samples, but more follow; all are read"]
    assert heard(wav(DATA, size)) == (DATA, said, "")
    assert heard(patched(wav(DATA, size), b"RIFF", 4, "<I", size + 36)) == (DATA, said, "")
    assert heard(wav(DATA, size) + LIST) == (DATA, said, "")
    followed = heard(wav(DATA, size) + wav(OTHER))
    assert followed == (DATA + OTHER, [*said, "several recordings follow each other; all are read"], "")  # fmt: skip


@pytest.mark.parametrize("declared", [None, 0xFFFFFFFF])
@given(counts=st.lists(st.integers(1, 4500).map(lambda n: 2 * n), min_size=1, max_size=5))
def test_recordings_one_after_the_other(declared, counts):
    data = wav(DATA, declared) + wav(OTHER, declared) + wav(DATA)
    said = ["several recordings follow each other; all are read"]
    assert heard(data, *counts) == (DATA + OTHER + DATA, said, "")


def test_what_does_not_fit_ends_it_with_a_reason():
    samples, _, problem = heard(wav(DATA) + wav(OTHER, rate=8000, bytes=16_000))
    assert samples == DATA and problem.startswith("recordings of s16le samples, 16000 Hz, 1 chan")
    assert heard(wav(DATA) + wav(OTHER)[:20])[2].startswith("a second recording is a WAV that ends")
    assert "several chunks" in heard(wav(DATA) + wav(DATA)[36:])[2]
    assert heard(wav(DATA)[:-100]) == (DATA[:-100], [], "cut off: 100 bytes of the samples in its header lack")  # fmt: skip


def test_small_rests_are_left_out_and_told():
    samples, (said,), _ = heard(wav(DATA) + b"\1" * 999)
    assert samples == DATA and said.startswith("999 bytes follow what the header counts")
    samples, (said,), _ = heard(wav(DATA + b"c", SIZE + 1))
    assert samples == DATA and "no whole number of 2 bytes" in said
    samples, said, _ = heard(wav(DATA + b"c", SIZE + 1, after=b"\0") + wav(OTHER))
    assert samples == DATA + OTHER and len(said) == 2


def test_raw_samples_are_not_searched():
    data = b"\1\0" + wav(DATA)
    assert heard(data) == (data, [], "")


def test_a_mark_within_samples_of_known_length_is_sound():
    data = DATA[:1000] + b"RIFF\0\0\0\0WAVEfmt " + DATA[1016:]
    assert heard(wav(data), 7) == (data, [], "")
