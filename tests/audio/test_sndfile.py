"""libsndfile behind our checks: every file is read to its end or refused."""

from __future__ import annotations

import os

import numpy as np
import pytest
import soundfile
from support.recordings import SIGNAL, encoded, message, refused, saver, tone, wav

from speechattn.audio.load import read_audio
from speechattn.audio.sndfile import Sound
from speechattn.errors import AudioError

ALL_KINDS = [
    (kind, subtype)
    for kind in soundfile.available_formats()
    if kind != "RAW"
    for subtype in soundfile.available_subtypes(kind)
]
READ = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "NIST", "CAF", "FLAC", "OGG", "MP3", "HTK"}
BLOCK_CODECS = {"IMA_ADPCM", "G721_32", "G723_24", "G723_40"}  # these do not say how many
EXACT = {"PCM_16": 4e-5, "PCM_24": 1e-6, "PCM_32": 1e-6, "FLOAT": 1e-7, "DOUBLE": 1e-7}
EXACT |= {"ALAC_16": 4e-5, "ALAC_20": 4e-6, "ALAC_24": 1e-6, "ALAC_32": 1e-6}
EXACT |= {"DWVW_16": 4e-5, "DWVW_24": 1e-6, "PCM_S8": 0.01, "PCM_U8": 0.01}


@pytest.fixture
def save(tmp_path):
    """Write bytes to a file and give its path."""
    return saver(tmp_path)


@pytest.mark.parametrize("kind, subtype", ALL_KINDS)
def test_every_format_is_read_or_refused_and_never_shortened(tmp_path, kind, subtype):
    path = tmp_path / f"tone.{kind}"
    signal = tone(16_002, 16_000)
    try:
        soundfile.write(path, signal, 16_000, format=kind, subtype=subtype)
    except soundfile.LibsndfileError:
        pytest.skip("libsndfile cannot write it")
    cut = tmp_path / f"cut.{kind}"
    cut.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    message(lambda: read_audio(cut))
    if kind not in READ:
        assert "WAV or FLAC" in message(lambda: read_audio(path))
        return
    samples, info = read_audio(path)
    assert (info.format, info.subtype, info.sample_rate, info.channels) == (
        kind,
        subtype,
        16_000,
        1,
    )
    assert samples.dtype == np.float32 and len(samples) == info.frames
    unknown = subtype in BLOCK_CODECS or (kind, subtype) == ("W64", "MS_ADPCM")
    surplus = 320 if unknown or subtype.startswith("NMS") else 0
    assert 0 <= len(samples) - len(signal) <= surplus
    samples = samples[: len(signal)]
    if subtype in EXACT:
        np.testing.assert_allclose(samples, signal, atol=EXACT[subtype])
    else:
        assert np.corrcoef(samples, signal)[0, 1] > 0.97
    with path.open("ab") as file:  # what follows the samples changes nothing
        file.write(b"junk!" * 40)
    if kind == "HTK":  # which is told by its size alone
        message(lambda: read_audio(path))
    else:
        np.testing.assert_array_equal(read_audio(path)[0][: len(signal)], samples)


@pytest.mark.parametrize("kind, subtype", [("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", None)])
def test_reading_in_chunks_is_reading_at_once(tmp_path, kind, subtype):
    # soundfile seeks after every read, which spoils Opus and MP3 at every seam but not in one read.
    path = tmp_path / "long"
    rng = np.random.default_rng(1)
    signal = (tone(150_000, 16_000) + 0.05 * rng.standard_normal(150_000)).astype(np.float32)
    soundfile.write(path, signal, 16_000, format=kind, subtype=subtype)
    at_once = soundfile.read(path, dtype="float32")[0]
    np.testing.assert_allclose(read_audio(path)[0], at_once, atol=1e-6)


@pytest.mark.parametrize("rate, decoded", [(48_000, 16_000), (24_000, 16_000), (8_000, 8_000)])
def test_opus_is_decoded_at_no_more_than_16_khz(tmp_path, rate, decoded):
    signal = np.stack([tone(5 * rate, rate), tone(5 * rate, rate, 700)], 1).astype(np.float32)
    path = tmp_path / "a.opus"
    soundfile.write(path, signal, rate, format="OGG", subtype="OPUS")
    with Sound(path) as sound:
        assert (sound.samplerate, sound.frames) == (decoded, 5 * decoded)
        samples = np.concatenate([sound.read(37_000, dtype="float32") for _ in range(3)])
    assert len(samples) == 5 * decoded
    expected = np.stack([tone(5 * decoded, decoded), tone(5 * decoded, decoded, 700)], 1)
    assert np.corrcoef(samples.ravel(), expected.ravel())[0, 1] > 0.97  # nothing has moved
    assert len(read_audio(path)[0]) == 80_000


def test_flac_with_damage_or_unknown_length(tmp_path, save):
    noise = np.random.default_rng(0).standard_normal(60_000).astype(np.float32) * 0.1
    data = encoded(tmp_path, "FLAC", "PCM_16", noise)
    assert len(read_audio(save(data + b"TAG" + bytes(125), "a.flac"))[0]) == len(noise)
    damaged = bytearray(data)
    damaged[len(data) // 2] ^= 0x55
    refused(save(bytes(damaged), "a.flac"), "damaged")
    refused(save(data[:-1], "a.flac"), "damaged")
    endless = bytearray(data)
    endless[21] |= 0x0F  # 60 billion samples promised: no reason to ask for 240 GiB
    refused(save(bytes(endless), "a.flac"), "damaged")
    piped = bytearray(data)
    piped[21] &= 0xF0
    piped[22:26] = bytes(4)  # total samples 0: not known when the header was written
    samples, info = read_audio(save(bytes(piped), "a.flac"))
    assert info.frames == len(samples) == len(noise)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_any_name_can_be_read_and_shown(tmp_path, save):
    for name in ("ü 語.wav", "new\nline.wav", os.fsdecode(b"latin\xe9.wav")):
        assert len(read_audio(save(wav(), name))[0]) == len(SIGNAL)
        message = refused(save(wav()[:-2], name), "cut off")
        message.encode("utf-8")


def test_a_path_may_be_longer_than_libsndfile_takes(tmp_path):
    folder = tmp_path.joinpath(*["d" * 100] * 12)
    folder.mkdir(parents=True)
    (folder / "a.wav").write_bytes(wav())
    assert len(read_audio(folder / "a.wav")[0]) == len(SIGNAL)
    whole = bytearray(encoded(tmp_path, "FLAC", "PCM_16"))
    whole[21] &= 0xF0  # 36 bits of length: unknown, so that the file is opened twice
    whole[22:26] = bytes(4)
    (folder / "a.flac").write_bytes(whole)
    assert len(read_audio(folder / "a.flac")[0]) == len(SIGNAL)


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="descriptors are not listed here")
def test_no_descriptor_stays_open(save):
    good, bad = save(wav()), save(b"RIFF" + bytes(100), "b.wav")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        read_audio(good)
        refused(bad)
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", ["a.raw", "b.PCM"])
def test_raw_samples_by_name_are_refused_with_a_way_out(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(range(1, 200)) * 16)
    with pytest.raises(AudioError, match=rf"{name}: .*raw samples do not say .*speechattn stream"):
        read_audio(tmp_path / name)
