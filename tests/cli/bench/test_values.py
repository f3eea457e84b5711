"""What the arguments of ``speechattn bench transcribe`` may be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from speechattn.bench.process import usable_core_ids
from speechattn.cli.bench.values import parse_cores, parse_minutes, parse_peers, read_list
from speechattn.errors import UsageError


def test_lists(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"caf\xe9 1.wav")
    for item in ("a.wav", name):
        Path(item).touch()
    listing = tmp_path / "split"
    listing.write_bytes(b"a.wav\r\n\n" + os.fsencode(name))
    assert read_list(listing) == ["a.wav", name]
    for text, match in [(b"a.wav\nb.wav\n", "split:2: 'b.wav' does not"), (b"\n", "no path")]:
        listing.write_bytes(text)
        with pytest.raises(UsageError, match=match):
            read_list(listing)
    with pytest.raises(UsageError, match="nothing: No such file.*--list"):
        read_list("nothing")


def test_minutes():
    assert parse_minutes("20, 6,60,6") == [6.0, 20.0, 60.0]
    assert parse_minutes("None") == []
    for text in ("", "6,", "0", "-1", "nan", "1e9", "six", "6;20"):
        with pytest.raises(UsageError, match="--long-minutes"):
            parse_minutes(text)


def test_cores_and_peers():
    assert parse_cores("1") == [1] and parse_cores(f"{len(usable_core_ids())},1")[0] == 1
    for text in ("", "0", "1,", "-1", "1.5", "two", "100000"):
        with pytest.raises(UsageError, match="--cores"):
            parse_cores(text)
    assert parse_peers("None") == [] and parse_peers("hama, pocketsphinx,hama") == [
        "hama",
        "pocketsphinx",
    ]
    for text in ("", "hama,", "none,hama", "espeak"):
        with pytest.raises(UsageError, match="--peer"):
            parse_peers(text)
