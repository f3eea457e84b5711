"""Ogg: pages without gaps, streams one after the other, ends of every kind."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from support.header_fields import page_checksums
from support.recordings import encoded, refused, saver, without_media

from speechattn.audio.load import audio_info, read_audio


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
    short, info = read_audio(
        save(data[: pages[-1]], "short.ogg")
    )  # whole pages, the last one missing
    assert 0 < len(short) < len(noise) and "no mark at its end" in info.contradictions[0]
    refused(save(data[:-1]), "cut off")
    refused(save(data[: pages[3]] + data[pages[4] :]), "Ogg page 4", "where 3 should be")
    refused(save(data + data), "no stream or after its end", str(len(data)))  # one serial
    damaged = bytearray(data)
    damaged[pages[3] + 500] ^= 0x55  # the page's checksum fails, its samples are dropped
    refused(save(bytes(damaged)), "damaged")


def with_serial(data: bytes, serial: int) -> bytes:
    """The stream under another number."""
    changed, position = bytearray(data), 0
    while data[position : position + 4] == b"OggS":
        struct.pack_into("<I", changed, position + 14, serial)
        count = data[position + 26]
        position += 27 + count + sum(data[position + 27 : position + 27 + count])
    return page_checksums(bytes(changed))


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_chained_streams_are_read_one_after_the_other(tmp_path, save, subtype):
    rng = np.random.default_rng(1)
    parts = [(0.1 * rng.standard_normal(n)).astype(np.float32) for n in (20_000, 9_000, 30_000)]
    files = [
        with_serial(encoded(tmp_path, "OGG", subtype, part), 7 + number)
        for number, part in enumerate(parts)
    ]
    alone = [read_audio(save(data))[0] for data in files]
    samples, info = read_audio(save(b"".join(files), "a.ogg"))
    assert info.contradictions == ("3 recordings follow each other; all are read",)
    assert info.frames == sum(len(part) for part in parts)
    np.testing.assert_array_equal(samples, np.concatenate(alone))
    other = with_serial(encoded(tmp_path, "OGG", subtype, parts[0], rate=48_000), 99)
    mixed = save(files[0] + other, "b.ogg")
    if subtype == "OPUS":  # whatever rate it names, it is decoded at 16 kHz
        samples, info = read_audio(mixed)
        assert info.contradictions == ("2 recordings follow each other; all are read",)
        np.testing.assert_array_equal(samples[: len(alone[0])], alone[0])
        assert abs(len(samples) - len(parts[0]) - len(parts[0]) // 3) <= 2
    else:
        refused(mixed, "follow each other", "48000 Hz", "split")


def test_streams_side_by_side_are_for_the_extra(tmp_path, save, monkeypatch):
    data = encoded(tmp_path, "OGG", "VORBIS")
    first = data.index(b"OggS", 4)
    picture = with_serial(data[:first], 5)
    path = save(data[:first] + picture + data[first:], "a.ogg")
    with without_media(monkeypatch):
        refused(path, "side by side", "speechattn[media]")


def test_an_end_mark_before_the_last_opus_packets_is_told(tmp_path, save):
    data = encoded(tmp_path, "OGG", "OPUS")
    last = data.rindex(b"OggS")
    (granule,) = struct.unpack_from("<q", data, last + 6)
    changed = bytearray(data)
    struct.pack_into("<q", changed, last + 6, granule // 2)
    info = audio_info(save(page_checksums(bytes(changed)), "a.ogg"))
    assert f"it ends after {granule // 2} samples" in info.contradictions[0]
    assert audio_info(save(data, "b.ogg")).contradictions == ()
