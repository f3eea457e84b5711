"""Dividing recordings among machines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.errors import UsageError
from speechattn.transcription.inputs import Recording
from speechattn.transcription.shards import Shard, parse_shard


def jobs(names) -> list[Recording]:
    return [Recording(Path(name), name, {}) for name in names]


@given(st.lists(st.text(min_size=1), unique=True), st.integers(1, 9))
def test_every_job_is_in_one_shard_and_in_order(names, count):
    everything = jobs(names)
    picked = [Shard(i, count).pick(everything) for i in range(1, count + 1)]
    assert sorted(job.file for part in picked for job in part) == sorted(names)
    for part in picked:
        assert part == [job for job in everything if job in part]


def test_a_job_stays_in_its_shard_wherever_and_whenever():
    names = [f"{n}.wav" for n in range(1000)] + ["caf\udce9.wav"]
    first = Shard(2, 7).pick(jobs(names))  # by `printf 2.wav | sha256sum`
    assert first[:4] == jobs(["2.wav", "9.wav", "19.wav", "29.wav"])
    assert Shard(2, 7).pick(jobs(names[::2])) == [job for job in jobs(names[::2]) if job in first]
    sizes = [len(Shard(i, 7).pick(jobs(names))) for i in range(1, 8)]
    assert sum(sizes) == 1001 and min(sizes) > 110


def test_parse():
    assert parse_shard("2/7") == Shard(2, 7) and str(Shard(2, 7)) == "2/7"
    assert Shard(2, 7).suffix == "-2-of-7"
    for text in (
        "",
        "2",
        "0/7",
        "8/7",
        "-1/7",
        "1/0",
        "a/b",
        "1/100001",
        "1/2/3",
        " 1/2",
        "\u0661/2",
    ):
        with pytest.raises(UsageError, match="--shard"):
            parse_shard(text)
