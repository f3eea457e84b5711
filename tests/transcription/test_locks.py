"""Locks exclude each other, are shared where that is asked for, and leave no file behind."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from speechattn.transcription import locks
from speechattn.transcription.locks import locked


class WindowsLocks:
    """Locks of ranges of bytes as Windows has them: each for the file that took it."""

    LK_NBLCK = 3

    def __init__(self, position: Callable[[int], int]) -> None:
        self.taken: dict[int, set[int]] = {}
        self._position = position

    def locking(self, file: int, _: int, count: int) -> None:
        """Lock bytes from the position of a file on."""
        first = self._position(file)
        wanted = set(range(first, first + count))
        if any(wanted & bytes_ for other, bytes_ in self.taken.items() if other != file):
            raise PermissionError(13, "locked")
        self.taken.setdefault(file, set()).update(wanted)


@pytest.fixture(params=["posix", "windows"])
def system(request, monkeypatch) -> str:
    """Locks as this system has them, and as Windows has them."""
    if request.param == "windows":
        fake = WindowsLocks(lambda file: locks.os.lseek(file, 0, locks.os.SEEK_CUR))
        close = locks._remove

        def remove(path):  # when a file is closed, its locks end
            for file in list(fake.taken):
                with contextlib.suppress(OSError):
                    locks.os.fstat(file)
                    continue
                del fake.taken[file]
            if not fake.taken:  # it cannot be removed while others have it open
                close(path)

        monkeypatch.setattr(locks, "fcntl", None)
        monkeypatch.setattr(locks, "msvcrt", fake)
        monkeypatch.setattr(locks, "_remove", remove)
    elif locks.fcntl is None:
        pytest.skip("no such locks here")
    return request.param


def test_a_lock_excludes_others_and_goes(system, tmp_path):
    path = tmp_path / ".lock"
    for _ in range(2):
        with locked(path):
            for shared in (False, True):
                with pytest.raises(BlockingIOError), locked(path, shared=shared):
                    pass
            assert path.exists()
        assert not path.exists()


def test_a_shared_lock_is_gone_with_its_last_user(system, tmp_path):
    path = tmp_path / ".lock"
    with locked(path, shared=True):
        with locked(path, shared=True):
            with pytest.raises(BlockingIOError), locked(path):
                pass
        assert path.exists()
        with pytest.raises(BlockingIOError), locked(path):
            pass
    assert not path.exists()


def test_a_file_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    lock, calls = locks._lock, []

    def late(file, shared):
        if not calls:
            path.unlink()  # its last user has just left
        calls.append(shared)
        lock(file, shared)

    monkeypatch.setattr(locks, "_lock", late)
    with locked(path):
        assert path.exists() and len(calls) == 2


def test_without_locks_the_file_stays(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "no locks here")

    monkeypatch.setattr(
        locks, "fcntl", SimpleNamespace(flock=refuse, LOCK_SH=1, LOCK_EX=2, LOCK_NB=4)
    )
    with locked(tmp_path / ".lock"), locked(tmp_path / ".lock"):
        pass
    assert (tmp_path / ".lock").exists()
