"""Locks exclude each other, are shared where that is asked for, and leave no file behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from support.recordings import needs_posix

from speechattn.transcription import locks
from speechattn.transcription.locks import held, is_locked, locked


class WindowsLocks:
    """Locks of ranges of bytes as Windows has them: each for the file that took it."""

    LK_NBLCK, LK_UNLCK = 3, 0

    def __init__(self, position: Callable[[int], int]) -> None:
        self.taken: dict[int, set[int]] = {}
        self._position = position

    def locking(self, file: int, how: int, count: int) -> None:
        """Lock or unlock bytes from the position of a file on."""
        if how == self.LK_UNLCK:
            del self.taken[file]
            return
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
            with pytest.raises(BlockingIOError), locked(path):
                pass
            assert path.exists() and is_locked(path)
        assert not path.exists() and not is_locked(path)


def test_what_is_left_of_a_lock_is_not_locked(system, tmp_path):
    path = tmp_path / ".lock"
    path.write_text("of a killed process")
    assert not is_locked(path)
    with locked(path) as file:
        file.write(b" and mine")
        file.flush()
        assert path.read_text() == "of a killed process and mine"


@needs_posix
def test_others_are_waited_for(tmp_path):
    path = tmp_path / ".lock"
    entered = threading.Event()

    def hold():
        with locked(path):
            entered.set()
            time.sleep(0.2)

    thread = threading.Thread(target=hold)
    thread.start()
    entered.wait()
    with pytest.raises(BlockingIOError), locked(path, wait=0.01):
        pass
    with locked(path, wait=60):
        thread.join()
        assert path.exists()
    assert not path.exists()


def test_an_open_file_is_held_for_a_moment(system, tmp_path):
    path = tmp_path / "journal"
    with path.open("a+b") as one, path.open("a+b") as other:
        with held(one), pytest.raises(BlockingIOError), held(other, wait=0.01):
            pass
        with held(other, wait=0.0):
            assert is_locked(path)
    assert path.exists() and not is_locked(path)


def test_a_file_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    path = tmp_path / ".lock"
    lock, calls = locks._lock, []

    def late(file):
        if not calls:
            path.unlink()  # its last user has just left
        calls.append(file)
        lock(file)

    monkeypatch.setattr(locks, "_lock", late)
    with locked(path):
        assert path.exists() and len(calls) == 2


def test_without_locks_the_file_stays(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(95, "no locks here")

    monkeypatch.setattr(locks, "fcntl", SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_NB=4))
    with locked(tmp_path / ".lock"), locked(tmp_path / ".lock"):
        pass
    assert (tmp_path / ".lock").exists()
