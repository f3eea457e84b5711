"""Signals during a training: noted, left alone, and given back."""

from __future__ import annotations

import signal
import threading

import pytest

from speechattn.training.updates.interruption import SIGNALS, Interruption
from speechattn.training.updates.process_group import ProcessGroup


class Two(ProcessGroup):
    """Of two processes, the other of which had the signal."""

    def total(self, number: float) -> float:
        return number + 1


def test_nothing_is_asked_without_a_signal_and_all_is_as_before():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interruption(ProcessGroup()) as interruption:
        assert not interruption.is_asked()
        assert signal.getsignal(signal.SIGINT) not in before
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_what_is_noted_is_done_at_the_end_of_the_block(capfd):
    done = []
    with pytest.raises(KeyboardInterrupt), Interruption(ProcessGroup()) as interruption:
        signal.raise_signal(signal.SIGINT)
        done.append(interruption.is_asked())
    assert done == [True]
    assert "stopping after this update; the same again stops at once" in capfd.readouterr().err


def test_an_error_of_the_block_comes_before_the_signal():
    with pytest.raises(ValueError, match="first"), Interruption(ProcessGroup()):
        signal.raise_signal(signal.SIGINT)
        raise ValueError("first")


def test_all_processes_stop_if_one_has_the_signal():
    with pytest.raises(KeyboardInterrupt), Interruption(Two(1, 2)) as interruption:
        assert interruption.is_asked()
        interruption.carry_out()


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Interruption(ProcessGroup()) as interruption:
            signal.raise_signal(signal.SIGINT)
            assert not interruption.is_asked()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_has_no_part_in_signals():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Interruption(ProcessGroup()):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]
