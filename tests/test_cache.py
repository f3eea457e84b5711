"""The cache of arrays that processes share."""

from __future__ import annotations

import os

import numpy as np
import pytest

from speechattn import cache

MADE = {
    "numbers": np.linspace(0, 1, 7, dtype=np.float32).reshape(7, 1),
    "words": np.arange(12, dtype=np.int32).reshape(3, 4)[:, ::2],
    "bytes": np.frombuffer(b"abc", np.uint8),
    "one": np.asarray(5),
    "none": np.zeros((0, 2), np.float64),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def never():
    raise AssertionError("this is in the cache")


def assert_made(found):
    assert found.keys() == MADE.keys()
    for name, values in MADE.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        np.testing.assert_array_equal(found[name], values)


def test_arrays_are_computed_once(folder):
    assert_made(cache.arrays("a", lambda: MADE))
    assert_made(cache.arrays("a", never))


def test_what_is_written_into_an_array_stays_in_this_process(folder):
    cache.arrays("a", lambda: MADE)
    cache.arrays("a", never)["numbers"][:] = 9
    assert_made(cache.arrays("a", never))


@pytest.mark.parametrize("damage", [b"", b"\x40", b"\xff" * 100, slice(0, -1), slice(0, 20)])
def test_a_damaged_entry_is_made_again(folder, damage):
    cache.arrays("a", lambda: MADE)
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[damage] if isinstance(damage, slice) else damage)
    assert_made(cache.arrays("a", lambda: MADE))
    assert_made(cache.arrays("a", never))


def test_a_folder_that_cannot_be_written_is_done_without(folder):
    folder.write_text("a file where the folder should be")
    for _ in range(2):
        assert_made(cache.arrays("a", lambda: MADE))


def test_the_cache_can_be_turned_off(monkeypatch):
    monkeypatch.setenv(cache.VARIABLE, "")
    assert cache.folder() is None
    assert_made(cache.arrays("a", lambda: MADE))


def test_the_oldest_entries_go(folder):
    for number in range(cache.MOST_ENTRIES + 2):
        cache.arrays(str(number), lambda: MADE)
        os.utime(folder / f"{number}.safetensors", (number, number))
    cache.arrays("new", lambda: MADE)
    left = {path.stem for path in folder.iterdir()}
    assert left == {"new", *map(str, range(3, cache.MOST_ENTRIES + 2))}


def test_a_name_depends_on_all_that_the_arrays_are_computed_from(tmp_path):
    source = tmp_path / "code.py"
    source.write_text("one")
    zeros = np.zeros(4, np.float32)
    names = [
        cache.digest("kind", {"x": zeros}, []),
        cache.digest("other", {"x": zeros}, []),
        cache.digest("kind", {"y": zeros}, []),
        cache.digest("kind", {"x": zeros.reshape(2, 2)}, []),
        cache.digest("kind", {"x": zeros.view(np.int32)}, []),
        cache.digest("kind", {"x": zeros + 1}, []),
        cache.digest("kind", {"x": zeros}, [str(source)]),
    ]
    source.write_text("two")
    names.append(cache.digest("kind", {"x": zeros}, [str(source)]))
    assert len(set(names)) == len(names)
    assert cache.digest("kind", {"x": zeros.copy()}, []) == names[0]
