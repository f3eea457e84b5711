"""Ogg and MP3: a stream that does not reach its end is refused, whatever the decoder says."""

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


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_ogg_pages(tmp_path, save, subtype):
    noise = np.random.default_rng(0).standard_normal(60_000).astype(np.float32) * 0.1
    data = encoded(tmp_path, "OGG", subtype, noise)
    pages = [i for i in range(len(data)) if data[i : i + 4] == b"OggS"]
    assert len(pages) >= 5
    assert len(read_audio(save(data + b"junk" * 50))[0]) == len(noise)
    refused(save(data[: pages[-1]]), "cut off", "no end")  # whole pages, the last one missing
    refused(save(data[:-1]), "cut off")
    refused(save(data[: pages[3]] + data[pages[4] :]), "Ogg page 4", "where 3 should be")
    refused(save(data + data), "second Ogg stream", str(len(data)))
    damaged = bytearray(data)
    damaged[pages[3] + 500] ^= 0x55  # the page's checksum fails, its samples are dropped
    refused(save(bytes(damaged)), "damaged")


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


def test_mp3_of_unknown_length_is_refused(tmp_path, save):
    rng = np.random.default_rng(0)
    noise = (0.05 * rng.standard_normal(80_000)).astype(np.float32)
    data, first = mpeg(tmp_path, "VARIABLE", noise)
    path = save(data[first:], "a.mp3")
    assert soundfile.info(path).frames < 70_000  # libsndfile would stop there, silently
    refused(path, "bit rate varies", "Xing", "convert")


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
def test_joined_mp3s_are_refused_rather_than_cut_short(tmp_path, save, tag):
    data, first = mpeg(tmp_path)
    assert len(read_audio(save(data + TAGS[tag], "a.mp3"))[0]) == len(SIGNAL)
    joined = save(data + TAGS[tag] + data, "b.mp3")
    refused(joined, "joined from several MP3 recordings", str(len(data + TAGS[tag])))
    refused(save(data + TAGS[tag] + TAGS["ID3v1"] + data[first:], "c.mp3"), "joined")
