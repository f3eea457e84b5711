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
    twice, info = read_audio(save(data + data, "twice.ogg"))  # under one serial number
    assert len(twice) == 2 * len(noise) and "2 recordings follow" in info.contradictions[0]
    another = with_serial(data[pages[-1] :], 99)
    refused(save(data[: pages[-1]] + another), "no stream or after its end", str(pages[-1]))
    damaged = bytearray(data)
    damaged[pages[3] + 500] ^= 0x55  # the page's checksum fails, its samples are dropped
    refused(save(bytes(damaged)), "damaged", "checksum", str(pages[3]))
    damaged = bytearray(data)
    damaged[-5] ^= 0x55
    refused(save(bytes(damaged)), "damaged", "checksum", str(pages[-1]))


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


def changed_end(data: bytes, flags: int | None = None, granule: int | None = None) -> bytes:
    """The stream with another last page."""
    changed, at = bytearray(data), data.rindex(b"OggS")
    if flags is not None:
        changed[at + 5] = flags
    if granule is not None:
        struct.pack_into("<q", changed, at + 6, granule)
    return page_checksums(bytes(changed))


def test_unusual_ends_of_opus_lose_nothing(tmp_path, save):
    noise = np.random.default_rng(0).standard_normal(60_007).astype(np.float32) * 0.1
    data = encoded(tmp_path, "OGG", "OPUS", noise)
    at = data.rindex(b"OggS")
    whole = read_audio(save(data, "whole.ogg"))[0]
    serial, number = struct.unpack_from("<II", data, at + 14)
    granule = struct.unpack_from("<q", data, at + 6)[0]
    empty = struct.pack("<4sBBqIIIB", b"OggS", 0, 4, granule, serial, number + 1, 0, 0)
    ends = {
        "no mark at its end": changed_end(data, flags=0),
        "does not say where it ends; all is read": changed_end(data, granule=-1),
        "": page_checksums(changed_end(data, flags=0) + empty),  # marked on a page of its own
    }
    for said, ending in ends.items():
        samples, info = read_audio(save(ending, "a.ogg"))
        np.testing.assert_array_equal(samples[: len(whole)], whole)
        assert len(samples) - len(whole) < 960 and said in "".join(info.contradictions)
        assert bool(info.contradictions) == bool(said)


@pytest.mark.parametrize("subtype", ["OPUS", "VORBIS"])
def test_what_stands_before_and_between_streams_is_left_out(tmp_path, save, subtype):
    noise = np.random.default_rng(0).standard_normal(20_000).astype(np.float32) * 0.1
    data = encoded(tmp_path, "OGG", subtype, noise)
    tag = b"ID3\3\0\0\0\0\2\x2c" + bytes(300)
    whole = read_audio(save(data, "whole.ogg"))[0]
    samples, info = read_audio(save(tag + data, "a.ogg"))
    np.testing.assert_array_equal(samples, whole)
    assert info.contradictions == ()
    samples, info = read_audio(save(data + tag + data, "b.ogg"))
    np.testing.assert_array_equal(samples, np.concatenate([whole, whole]))
    assert "310 bytes" in info.contradictions[0] and "2 recordings" in info.contradictions[1]
