"""Headers against files: what a container promises and what is there."""

from __future__ import annotations

import os
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.recordings import PCM, RATE, SIGNAL, encoded, refused, saver, wav

from speechattn.audio.containers.detect import check_container
from speechattn.audio.load import audio_info, read_audio
from speechattn.errors import AudioError

CONTAINERS = [("AIFF", b"SSND", 4, ">I"), ("AU", b".snd", 8, ">I"), ("CAF", b"data", 4, ">q")]
CONTAINERS += [("W64", b"data", 16, "<Q")]


@pytest.fixture
def save(tmp_path):
    """Write bytes to a file and give its path."""
    return saver(tmp_path)


@pytest.mark.parametrize("kind, mark, skip, layout", CONTAINERS)
def test_unfinished_containers(tmp_path, save, kind, mark, skip, layout):
    data = bytearray(encoded(tmp_path, kind, "PCM_16"))
    struct.pack_into(layout, data, data.rindex(mark) + skip, 24 if kind == "W64" else 0)
    samples, info = read_audio(save(bytes(data)))
    np.testing.assert_array_equal(samples, read_audio(save(encoded(tmp_path, kind, "PCM_16")))[0])
    assert "0 bytes of samples" in info.contradictions[0]


def test_unknown_size_reaches_to_the_end(tmp_path, save):
    data = bytearray(encoded(tmp_path, "AU", "PCM_16"))
    struct.pack_into(">I", data, 8, 0xFFFFFFFF)
    assert len(read_audio(save(bytes(data)))[0]) == len(SIGNAL)
    data = bytearray(encoded(tmp_path, "CAF", "PCM_16"))
    struct.pack_into(">q", data, data.rindex(b"data") + 4, -1)
    assert len(read_audio(save(bytes(data)))[0]) == len(SIGNAL)


def sphere(frames: int, data: bytes = PCM, coding: str = "pcm", **fields) -> bytes:
    """A NIST SPHERE file like those of TIMIT."""
    fields = {"channel_count": 1, "sample_count": frames, "sample_rate": RATE} | fields
    lines = [f"{key} -i {value}" for key, value in fields.items() if value is not None]
    lines += ["sample_n_bytes -i 2", "sample_sig_bits -i 16", "sample_byte_format -s2 01"]
    lines += [f"sample_coding -s{len(coding)} {coding}", "end_head", ""]
    return ("NIST_1A\n   1024\n" + "\n".join(lines)).encode().ljust(1024) + data


def test_sphere_named_wav_as_in_timit(save):
    samples, info = read_audio(save(sphere(len(SIGNAL)), "SA1.WAV"))
    assert info.format == "NIST" and len(samples) == len(SIGNAL)
    np.testing.assert_allclose(samples, SIGNAL, atol=2 / 32768)


def test_sphere_lies(save):
    refused(save(sphere(len(SIGNAL) + 1)), "cut off", str(2 * len(SIGNAL) + 2))
    refused(save(sphere(None)), "sample_count None")
    refused(save(sphere(0)), "sample_count 0")
    refused(save(sphere(len(SIGNAL), coding="pcm,embedded-shorten-v2.00")), "sph2pipe")
    # Fewer samples than there are: the rest is sound as well.
    samples, info = read_audio(save(sphere(10_000)))
    assert len(samples) == len(SIGNAL)
    assert "10000 samples, samples of the same kind go on to 16001" in info.contradictions[0]


# --- no sound file at all ------------------------------------------------------------------------


def test_paths_that_are_no_sound_file(tmp_path, save):
    refused(tmp_path / "none.wav", "not found")
    refused(tmp_path, "is a folder")
    refused(save(b""), "0 bytes")
    refused(save(b"These are words.\n" * 50), "no sound file", "These ar")
    refused(save(b"RIFF"), "no sound file")
    refused(save(bytes(1000), "a.raw"), "no sound file")
    refused(save(b"\0\0\0\x20ftypM4A " + bytes(90), "a.m4a"), "convert")
    with pytest.raises(AudioError, match="null"):
        audio_info("a\0b.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "no regular file")


def test_permission_denied(save, monkeypatch):
    path = save(wav())

    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    for name in ("builtins.open", "io.open"):  # chmod does not stop root
        monkeypatch.setattr(name, denied)
    refused(path, "permissions")


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damaged_headers_give_sound_or_an_audio_error(tmp_path, data):
    kind, subtype = data.draw(
        st.sampled_from(
            [("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_16"), ("AU", "PCM_16")]
            + [("CAF", "PCM_16"), ("W64", "PCM_16"), ("RF64", "PCM_16"), ("NIST", "PCM_16")]
            + [("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("FLAC", "PCM_16")]
        )
    )
    content = bytearray(encoded(tmp_path, kind, subtype, SIGNAL[:2000]))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, min(len(content), 300) - 1))
        content[at] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    content = content[: data.draw(st.sampled_from([len(content), len(content) // 2, 50, 13]))]
    path = tmp_path / "damaged"
    path.write_bytes(content)
    try:
        samples, info = read_audio(path)
    except AudioError as error:
        assert "\n" not in str(error) and "damaged" in str(error)
    else:
        assert len(samples) >= 80 and np.isfinite(samples).all() and info.frames > 0


def test_unknown_kind_is_left_to_the_decoder(save):
    assert check_container(save(b"?" * 100)).kind == ""
