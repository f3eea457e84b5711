"""What phones, browsers and cameras write: read by FFmpeg, whole or refused, or said what to install."""

from __future__ import annotations

import fractions
import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from support.bad_headers import voice
from support.recordings import refused, saver, without_media

from speechattn.audio.load import audio_suffixes, read_audio
from speechattn.errors import UsageError
from speechattn.transcription.inputs import find_recordings, left_out_message

av = pytest.importorskip("av", reason="the extra media")
SOUND = voice(32_000)


@pytest.fixture
def save(tmp_path):
    """Write bytes to a file and give its path."""
    return saver(tmp_path)


def made(container: str, codec: str, rate: int = 16_000, sound=SOUND, start: int = 0, channels=1):
    """Sound in a container, as FFmpeg writes it; ``start`` is the first time stamp, in samples."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="stereo" if channels == 2 else "mono")
        layout = "stereo" if channels == 2 else "mono"
        stream.bit_rate = 64_000
        resampler = av.AudioResampler(
            format=stream.codec_context.format or "s16", layout=layout, rate=rate
        )
        frame = av.AudioFrame.from_ndarray(
            np.repeat((sound * 32767).astype(np.int16)[None, :], channels, 1), "s16", layout
        )
        frame.sample_rate, frame.pts = 16_000, 0
        for one in [*resampler.resample(frame), *resampler.resample(None)]:
            one.pts = None if one.pts is None else one.pts + start
            one.time_base = fractions.Fraction(1, rate)
            output.mux(stream.encode(one))
        output.mux(stream.encode(None))
    return buffer.getvalue()


KINDS = {
    "a.m4a": ("ipod", "aac", 16_000),
    "a.mp4": ("mp4", "aac", 44_100),
    "a.3gp": ("3gp", "libopencore_amrnb", 8000),
    "a.amr": ("amr", "libopencore_amrnb", 8000),
    "a.aac": ("adts", "aac", 16_000),
    "a.webm": ("webm", "libopus", 48_000),
    "a.mkv": ("matroska", "flac", 16_000),
    "a.wma": ("asf", "wmav2", 44_100),
    "a.wv": ("wv", "wavpack", 16_000),
    "a.mov": ("mov", "pcm_s16le", 16_000),
}


def like(samples: np.ndarray, whole: np.ndarray) -> float:
    """The correlation of two recordings at the best shift up to 0.15 s."""
    middle = whole[2400:-2400]
    size = len(samples) + len(middle)
    products = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(middle, size).conj(), size)
    shift = int(np.argmax(products[:4800]))
    return float(np.corrcoef(samples[shift : shift + len(middle)], middle)[0, 1])


@pytest.mark.parametrize("name", KINDS)
def test_all_of_the_sound(save, name):
    container, codec, rate = KINDS[name]
    samples, info = read_audio(save(made(container, codec, rate), name))
    assert info.sample_rate == rate and info.channels == 1
    assert abs(len(samples) - len(SOUND)) < 3000
    assert like(samples, SOUND) > 0.9
    unknown = name in ("a.amr", "a.aac")
    assert bool(info.contradictions) == unknown


def test_lossless_coding_gives_the_samples(save):
    for name in ("a.mkv", "a.mov"):
        samples = read_audio(save(made(*KINDS[name][:2]), name))[0]
        np.testing.assert_allclose(samples, SOUND, atol=1e-4)


@pytest.mark.parametrize("name", ["a.m4a", "a.mkv"])
def test_titles_that_are_not_utf_8_do_no_harm(save, name):
    container, codec, rate = KINDS[name]
    data = made(container, codec, rate)
    assert b"Lavf" in data  # the name of the program that wrote it
    sound, _ = read_audio(save(data.replace(b"Lavf", b"\xff\xfe\xe9\xfc"), name))
    np.testing.assert_array_equal(sound, read_audio(save(data, name))[0])


def test_a_file_that_is_cut_off_is_refused(save):
    data = made("ipod", "aac")
    refused(save(data[: len(data) // 2], "a.m4a"), "cut off")
    data = made("matroska", "flac")
    refused(save(data[: len(data) // 2], "a.mkv"), "cut off")


def test_sound_that_begins_late_keeps_its_times(save):
    data = made("matroska", "flac", start=8000)
    samples, info = read_audio(save(data, "a.mkv"))
    lead = len(samples) - len(SOUND)
    assert lead == 0 or (lead == 8000 and "read as silence" in info.contradictions[0])


def test_no_sound_and_no_such_format(save):
    refused(save(b"\0\0\0\x20ftypM4A " + bytes(500), "a.m4a"), "cannot be decoded")
    refused(save(b"nothing at all" * 50, "a.amr"), "a.amr")


@pytest.mark.parametrize("codec", ["ac3", "mp2", "g722"])
def test_a_wav_of_a_coding_that_only_ffmpeg_reads(save, monkeypatch, codec):
    data = made("wav", codec, 32_000 if codec == "ac3" else 16_000)
    whole, info = read_audio(save(data, "a.wav"))
    assert like(whole, SOUND) > 0.9 and info.contradictions == ()
    refused(save(data[: len(data) // 2], "b.wav"), "cut off", "bytes of samples")
    at = data.index(b"data") + 4
    endless, info = read_audio(save(data[:at] + bytes(4) + data[at + 4 :], "c.wav"))
    assert len(endless) == len(whole) and "all are read" in info.contradictions[0]
    half = (len(data) // 2).to_bytes(4, "little")
    refused(save(data[:at] + half + data[at + 4 :], "d.wav"), "by the size of the whole")
    refused(save(data + data, "e.wav"), "one after the other; split the file")
    with without_media(monkeypatch):
        refused(save(data, "f.wav"), "WAV of", "needs the extra media")


def test_a_wav_of_a_coding_without_decoder(save):
    data = bytearray(made("wav", "g722"))
    struct.pack_into("<H", data, data.index(b"fmt ") + 8, 0x674F)
    refused(save(bytes(data), "a.wav"), "coding that is not known here")


def test_playlists_are_not_followed(save, tmp_path):
    other = save(made("adts", "aac"), "secret.aac")
    for name, text in (
        ("a.aac", f"#EXTM3U\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n"),
        ("b.mkv", f"ffconcat version 1.0\nfile {other}\n"),
    ):
        refused(save(text.encode(), name), name)


def test_a_folder_with_and_without_the_extra(save, tmp_path, monkeypatch):
    save(made("ipod", "aac"), "b.m4a")
    left_out: list[str] = []
    assert [file for _, file in find_recordings([tmp_path], left_out)] == ["b.m4a"]
    assert left_out == [] and ".m4a" in audio_suffixes()
    with without_media(monkeypatch):
        with pytest.raises(UsageError, match=r"speechattn\[media\]"):
            list(find_recordings([tmp_path], left_out))
        assert "1 .m4a" in left_out_message([str(tmp_path / "b.m4a")])
        refused(tmp_path / "b.m4a", "MP4/M4A", "pip install 'speechattn[media]'")


def test_it_is_imported_only_for_such_files():
    code = "import sys, speechattn.audio.load; assert 'av' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
