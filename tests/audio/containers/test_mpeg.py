"""MP3: all frames are read, and a file that does not reach its end is refused."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.recordings import RATE, SIGNAL, encoded, refused, saver

from speechattn.audio.load import read_audio


@pytest.fixture
def save(tmp_path):
    """Write bytes to a file and give its path."""
    return saver(tmp_path)


def mpeg(tmp_path, mode="CONSTANT", signal=SIGNAL, rate=RATE):
    """(an MP3 with its Xing/Info header, position of the first frame after it)."""
    options = {"bitrate_mode": mode, "compression_level": 0.5}
    data = encoded(tmp_path, "MP3", "MPEG_LAYER_III", signal, rate, **options)
    return data, data.index(data[:2], 10)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_with_xing_header(tmp_path, save, mode):
    data, _ = mpeg(tmp_path, mode)
    for tail in (b"", b"TAG" + bytes(125)):
        assert len(read_audio(save(data + tail, "a.mp3"))[0]) == len(SIGNAL)
    tagged = b"ID3\4\0\0\0\0\1\0" + bytes(128) + data
    assert len(read_audio(save(tagged, "a.mp3"))[0]) == len(SIGNAL)
    refused(save(data[:-10], "a.mp3"), "cut off", "MPEG frames")


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_mp3_without_xing_header(tmp_path, save, rate):
    data, first = mpeg(tmp_path, rate=rate)
    path = save(data[first:], "a.mp3")
    frames = 576 if rate == 16_000 else 1152
    info = read_audio(path)[1]
    assert info.frames % frames == 0 and 0 <= info.frames - len(SIGNAL) < 4 * frames
    refused(save(data[first:-10], "a.mp3"), "cut off", "MPEG frames")


def test_mp3_of_varying_rate_without_index(tmp_path, save):
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal(80_000)).astype(np.float32)
    data, first = mpeg(tmp_path, "VARIABLE", noise)
    whole = read_audio(save(data, "whole.mp3"))[0]
    path = save(data[first:], "a.mp3")
    assert soundfile.info(path).frames < 70_000  # libsndfile would stop there, silently
    samples, info = read_audio(path)
    assert info.frames >= len(whole) and info.contradictions == ()
    # The index also says what the encoder added at the beginning, and nothing else does.
    shift = int(np.argmax(np.correlate(samples[:4000], whole[:2000], "valid")))
    assert shift < 1200
    np.testing.assert_allclose(samples[shift : shift + 79_000], whole[:79_000], atol=1e-4)


APE = b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(4)
APE += (0x80000000).to_bytes(4, "little") + bytes(8)
TAGS = {
    "nothing": b"",
    "ID3v1": b"TAG" + bytes(125),
    "ID3v2": b"ID3\3\0\0\0\0\2\x2c" + bytes(300),
    "APE": APE,
    "APE with header": APE[:20] + (0xA0000000).to_bytes(4, "little") + bytes(8 + 32),
    "Lyrics3": b"LYRICSBEGIN" + b"la la" + b"000016LYRICS200",
}


@pytest.mark.parametrize("tag", TAGS)
def test_joined_mp3s_are_read_one_after_the_other(tmp_path, save, tag):
    data, first = mpeg(tmp_path)
    whole = read_audio(save(data + TAGS[tag], "a.mp3"))[0]
    assert len(whole) == len(SIGNAL)
    samples, info = read_audio(save(data + TAGS[tag] + data, "b.mp3"))
    np.testing.assert_array_equal(samples, np.concatenate([whole, whole]))
    assert info.contradictions == ("2 recordings follow each other; all are read",)
    without = save(data + TAGS[tag] + TAGS["ID3v1"] + data[first:], "c.mp3")
    samples = read_audio(without)[0]
    np.testing.assert_array_equal(samples[: len(whole)], whole)
    assert len(whole) <= len(samples) - len(whole) < len(whole) + 4 * 576
    refused(save(data + TAGS[tag] + data[:-10], "d.mp3"), "cut off")


def test_joined_mp3s_of_two_rates_are_refused(tmp_path, save):
    data = mpeg(tmp_path)[0] + mpeg(tmp_path, rate=44_100)[0]
    refused(save(data, "a.mp3"), "16000 Hz with 1 channels", "44100 Hz", "split")


def test_an_index_that_counts_too_few_frames(tmp_path, save):
    data, _ = mpeg(tmp_path)
    at = max(data.find(b"Xing"), data.find(b"Info")) + 8
    count = int.from_bytes(data[at : at + 4], "big")
    path = save(data[:at] + (count // 2).to_bytes(4, "big") + data[at + 4 :], "a.mp3")
    samples, info = read_audio(path)
    np.testing.assert_array_equal(samples, read_audio(save(data, "b.mp3"))[0])
    assert f"{count // 2} MPEG frames, {count} are there" in info.contradictions[0]


JUNK = np.random.default_rng(0).integers(0, 250, 100_000, dtype=np.uint8).tobytes()


@pytest.mark.parametrize("between", [bytes(100_000), JUNK, JUNK[:3000]])
@pytest.mark.parametrize("index", [True, False])
def test_far_between_joined_mp3s(tmp_path, save, between, index):
    data, first = mpeg(tmp_path)
    data = data if index else data[first:]
    whole = read_audio(save(data, "a.mp3"))[0]
    samples, info = read_audio(save(data + between + data, "b.mp3"))
    assert 2 * len(SIGNAL) <= len(samples) < 2 * len(SIGNAL) + 8 * 576
    if index:
        np.testing.assert_array_equal(samples, np.concatenate([whole, whole]))
    assert f"{len(between)} bytes at byte {len(data)}" in info.contradictions[0]


def test_what_follows_an_mp3_is_named(tmp_path, save):
    data, _ = mpeg(tmp_path)
    for tail, said in (
        (JUNK, True),
        (encoded(tmp_path, "WAV", "PCM_16"), True),
        (bytes(9000), False),
    ):
        info = read_audio(save(data + tail, "a.mp3"))[1]
        assert bool(info.contradictions) == said
        assert not said or f"{len(tail)} bytes after the last" in info.contradictions[0]


def test_the_decoder_does_not_talk_of_what_is_no_mp3(tmp_path, save, capfd):
    data, first = mpeg(tmp_path)
    said = refused(save(b"\xff\xfb\x90\x00" + b"no sound at all\n" * 500, "a.mp3"))
    assert "begins like an MP3, but no second MPEG frame follows" in said
    read_audio(save(data + b"no sound at all\n" * 500, "b.mp3"))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("size", "padding"), [(b"\0\0\x7f\x7f", 20), (b"\0\0\0\x10", 3000)])
def test_a_tag_of_the_wrong_size_hides_nothing(tmp_path, save, size, padding):
    data, _ = mpeg(tmp_path)
    samples, info = read_audio(save(b"ID3\3\0\0" + size + bytes(padding) + data, "a.mp3"))
    assert len(samples) == len(SIGNAL)
    assert f"{padding} bytes before the first MPEG frame" in info.contradictions[0]


def test_an_index_with_no_frame_behind_it_ends(tmp_path, save):
    data, first = mpeg(tmp_path)
    refused(save(data[:first] + bytes(5000), "a.mp3"), "cut off", "0 MPEG frames")
