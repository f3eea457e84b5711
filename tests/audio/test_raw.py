"""Raw samples in all encodings are what libsndfile takes them for, and headers are seen."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from support.recordings import message, tone

from speechattn.audio.encodings import ENCODINGS
from speechattn.audio.raw import read_start
from speechattn.cli.stream import ENCODING_NAMES

SUBTYPES = {
    "s16le": ("PCM_16", "LITTLE"),
    "s16be": ("PCM_16", "BIG"),
    "u8": ("PCM_U8", "FILE"),
    "s24le": ("PCM_24", "LITTLE"),
    "s32le": ("PCM_32", "LITTLE"),
    "f32le": ("FLOAT", "LITTLE"),
    "f64le": ("DOUBLE", "LITTLE"),
    "mulaw": ("ULAW", "FILE"),
    "alaw": ("ALAW", "FILE"),
}
SIGNAL = np.append(tone(1_000, 16_000), [-0.999, 0.0, 0.999])


def test_the_command_offers_all():
    assert ENCODING_NAMES == tuple(ENCODINGS) == tuple(SUBTYPES)


@pytest.mark.parametrize("name", ENCODINGS)
def test_decoding(name):
    subtype, endian = SUBTYPES[name]
    file = io.BytesIO()
    soundfile.write(file, SIGNAL, 16_000, format="RAW", subtype=subtype, endian=endian)
    file.seek(0)
    expected, _ = soundfile.read(
        file, samplerate=16_000, channels=1, format="RAW", subtype=subtype, endian=endian
    )
    assert ENCODINGS[name].width == len(file.getvalue()) // len(SIGNAL)
    np.testing.assert_allclose(ENCODINGS[name].decode(file.getvalue()), expected, atol=1e-9)


@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("name", ["s16le", "u8", "s24le", "s32le", "f32le", "mulaw", "alaw"])
def test_a_wav_header_is_obeyed(kind, name):
    file = io.BytesIO()
    both = np.stack([SIGNAL, SIGNAL], 1)
    soundfile.write(file, both, 44_100, format=kind, subtype=SUBTYPES[name][0])
    file.seek(0)
    start = read_start(file.read)
    assert start.header == (name, 44_100, 2) and start.first == b""
    samples = ENCODINGS[name].decode(file.read(start.length)).reshape(-1, 2)
    file.seek(0)
    np.testing.assert_allclose(samples, soundfile.read(file)[0], atol=1e-9)


@pytest.mark.parametrize("size", [0, 0x7FFF0000, 0x80000000, 0xFFFFFFFF])
def test_a_wav_written_to_a_pipe_lasts_until_it_ends(size):
    fmt = struct.pack("<HHIIHH", 1, 1, 8_000, 16_000, 2, 16)
    header = b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0" + fmt + b"data" + struct.pack("<I", size)
    assert read_start(io.BytesIO(header + bytes(10)).read).length is None
    assert "inside its header" in message(lambda: read_start(io.BytesIO(header[:-2]).read))


@pytest.mark.parametrize(
    ("kind", "name"), [("FLAC", "FLAC"), ("OGG", "Ogg"), ("MP3", "MP3"), ("AIFF", "AIFF"),
                       ("AU", "AU"), ("CAF", "CAF"), ("W64", "W64"), ("NIST", "NIST SPHERE")]
)  # fmt: skip
def test_other_containers_are_refused_by_name(kind, name):
    file = io.BytesIO()
    soundfile.write(file, tone(8_000, 16_000), 16_000, format=kind)
    data = file.getvalue()
    assert f"is {name}, and" in message(lambda: read_start(io.BytesIO(data).read))


@given(st.binary(max_size=5_000))
def test_raw_samples_are_left_as_they_are(data):
    data = b"\0\1" + data
    file = io.BytesIO(data)
    start = read_start(file.read)
    assert start.header is None and start.first + file.read() == data


def test_samples_that_begin_like_a_frame_of_mp3_are_no_mp3():
    data = b"\xff\xfb\x90\x64" + bytes(5_000)
    file = io.BytesIO(data)
    assert read_start(file.read).first + file.read() == data
