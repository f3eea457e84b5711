"""WAV and its kin: what the header promises and what is there."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile
from support.recordings import PCM, SIGNAL, encoded, refused, saver, wav

from speechattn.audio.load import audio_info, read_audio
from speechattn.errors import AudioError


@pytest.fixture
def save(tmp_path):
    """Write bytes to a file and give its path."""
    return saver(tmp_path)


@pytest.mark.parametrize("declared", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFF000, 0x7FFFFFFF - 36])
def test_wav_written_to_a_pipe_reaches_to_its_end(save, declared):
    samples, _ = read_audio(save(wav(declared=declared)))
    assert len(samples) == len(SIGNAL)
    np.testing.assert_allclose(samples, SIGNAL, atol=2 / 32768)


@pytest.mark.parametrize("after", [b"\0", b"junk" * 99, b"LIST\4\0\0\0abcd"])
def test_what_follows_the_samples_does_no_harm(save, after):
    assert len(read_audio(save(wav(after=after)))[0]) == len(SIGNAL)


def test_odd_sizes_are_padded_or_not(save):
    assert len(read_audio(save(wav(before=b"LIST\3\0\0\0abc\0")))[0]) == len(SIGNAL)
    # A size that counts half a sample, and the half sample missing: no whole sample is lost.
    assert len(read_audio(save(wav(declared=len(PCM) + 1)))[0]) == len(SIGNAL)


def test_big_endian_wav(save):
    data = np.frombuffer(PCM, "<i2").astype(">i2").tobytes()
    samples, _ = read_audio(save(wav(data, order=">")))
    np.testing.assert_allclose(samples, SIGNAL, atol=2 / 32768)
    refused(save(wav(data, order=">")[:-2]), "cut off", str(len(PCM)), str(len(PCM) - 2))


@pytest.mark.parametrize("lost", [2, 1000, len(PCM) - 2, len(PCM)])
def test_cut_wav_names_both_sizes(save, lost):
    refused(save(wav()[:-lost]), "cut off", str(len(PCM)), str(len(PCM) - lost), "copy")


def test_unfinished_wav(save):
    samples, info = read_audio(save(wav(declared=0)))
    np.testing.assert_array_equal(samples, read_audio(save(wav()))[0])
    assert f"0 bytes of samples, {len(PCM)} follow; all are read" in info.contradictions[0]


@pytest.mark.parametrize("after", [b"", b"LIST\4\0\0\0abcd"])
def test_header_only_wav(save, after):
    refused(save(wav(b"", after=after)), "no samples")


def test_impossible_header_values(save):
    refused(save(wav(channels=0)), "0 channels")
    refused(save(wav(rate=0)), "0 Hz")
    refused(save(wav(rate=3999)), "3999 Hz", "4000")
    refused(save(wav(rate=768_001)), "768001 Hz")


def test_no_data_or_no_fmt(save):
    refused(save(wav()[:36]), "no data chunk")
    refused(save(wav()[:30]), "cut off inside the header")
    refused(save(wav()[:12] + wav()[36:]), "no fmt chunk")
    endless = wav()[:36] + b"LIST\0\0\0\0" * 20_000 + wav()[36:]
    refused(save(endless), "chunks")


def test_rf64_size_is_in_ds64(tmp_path, save):
    data = encoded(tmp_path, "RF64", "PCM_16")
    at = data.index(b"ds64") + 16
    assert struct.unpack("<Q", data[at : at + 8])[0] == len(PCM)
    more = data[:at] + struct.pack("<Q", len(PCM) + 2000) + data[at + 8 :]
    refused(save(more), "cut off", str(len(PCM) + 2000))


@pytest.mark.parametrize("kind", ["WAV", "W64"])
@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_padding_of_block_codecs_is_trimmed_to_fact(tmp_path, save, kind, subtype):
    data = bytearray(encoded(tmp_path, kind, subtype))
    at = data.index(b"fact") + (8 if kind == "WAV" else 24)
    layout = "<I" if kind == "WAV" else "<Q"
    struct.pack_into(layout, data, at, len(SIGNAL))  # libsndfile itself does not always write it
    path = save(bytes(data))
    assert soundfile.info(path).frames > len(SIGNAL)  # or there is nothing to trim
    assert audio_info(path).frames == len(SIGNAL)
    assert len(read_audio(path)[0]) == len(SIGNAL)
    struct.pack_into(layout, data, at, 5)  # no number of samples that this many blocks can hold
    frames = audio_info(save(bytes(data))).frames
    assert len(SIGNAL) < frames <= min(soundfile.info(path).frames, len(SIGNAL) + 505)


@pytest.mark.parametrize("block", [1, 1152])
@pytest.mark.parametrize("fact", [0, 132_300])
def test_mp3_in_wav_is_read_to_its_end(tmp_path, block, fact):
    time = np.arange(132_300) / 44_100
    file = io.BytesIO()
    soundfile.write(file, 0.3 * np.sin(880 * time), 44_100, format="MP3")
    layout = struct.pack("<HHIIHHHHIHHH", 0x55, 1, 44_100, 4000, block, 0, 12, 1, 2, 417, 1, 1393)
    chunks = [(b"fmt ", layout), *([(b"fact", struct.pack("<I", fact))] if fact else [])]
    chunks.append((b"data", file.getvalue()))
    body = b"WAVE" + b"".join(
        name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for name, data in chunks
    )
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    samples, info = read_audio(path)
    assert abs(info.duration - 3) < 0.1 and len(samples) == round(info.duration * 16_000)
    assert info.contradictions == ()
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(AudioError, match="cut off"):
        read_audio(path)


def test_bw64_is_rf64_by_another_name(tmp_path, save):
    data = encoded(tmp_path, "RF64", "PCM_16")
    samples = read_audio(save(b"BW64" + data[4:]))[0]
    np.testing.assert_array_equal(samples, read_audio(save(data))[0])


def test_24_bits_in_4_bytes_of_the_extended_form(save):
    wide = (np.frombuffer(PCM, "<i2").astype("<i4") << 16).tobytes()
    coding = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")
    fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16_000, 64_000, 4, 24, 22, 24, 4) + coding
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data"
    body += struct.pack("<I", len(wide)) + wide
    samples, info = read_audio(save(b"RIFF" + struct.pack("<I", len(body)) + body))
    np.testing.assert_allclose(samples, SIGNAL, atol=2 / 32768)
    assert "1 x 24 bits a sample, but 4 and not 3 bytes" in info.contradictions[0]


def test_w64_of_impossible_size_is_cut_off(tmp_path, save):
    data = bytearray(encoded(tmp_path, "W64", "PCM_16"))
    struct.pack_into("<Q", data, data.index(b"data") + 16, 1 << 63)
    refused(save(bytes(data)), "cut off", str((1 << 63) - 24))
