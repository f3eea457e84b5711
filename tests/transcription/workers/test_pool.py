"""Worker processes: order, deaths, interrupts, and nobody left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest
from support import pool_tasks as tasks
from support.recordings import needs_posix

from speechattn.errors import ModelError, SpeechattnError
from speechattn.transcription.workers.grouping import Grouping
from speechattn.transcription.workers.pool import AHEAD, CAN_FORK, InProcessPool, ProcessPool
from speechattn.transcription.workers.worker import WorkerDied


def pool(kind: type, setup):
    return InProcessPool(setup) if kind is InProcessPool else ProcessPool(setup, 2)


@pytest.mark.parametrize("kind", [InProcessPool, ProcessPool])
def test_every_task_is_done_once(kind):
    with pool(kind, tasks.doubles) as team:
        assert (team.facts["pid"] == os.getpid()) == (kind is InProcessPool)
        assert sorted(team.run(range(40))) == [(n, 2 * n) for n in range(40)]
        assert team.running == {}


@pytest.mark.parametrize("kind", [InProcessPool, ProcessPool])
def test_values_come_in_order_if_asked_to(kind):
    jobs = ["late", *map(str, range(20))]
    with pool(kind, tasks.plain) as team:
        assert list(team.run(jobs, ordered=True)) == list(enumerate(jobs))


def test_values_come_as_they_are_ready():
    with ProcessPool(tasks.plain, 2) as team:
        assert [number for number, _ in team.run(["late", "a"])] == [1, 0]


@pytest.mark.parametrize("ordered", [False, True])
def test_tasks_are_not_taken_long_before_values_are(ordered):
    taken = []

    def jobs():
        for number in range(100):
            taken.append(number)
            yield number

    with ProcessPool(tasks.plain, 2) as team:
        values = team.run(jobs(), ordered=ordered)
        assert not taken
        next(values)
        time.sleep(0.5)
        assert len(taken) <= 2 * AHEAD + 1
        assert len(list(values)) == 99


@pytest.mark.parametrize("kind", [InProcessPool, ProcessPool])
def test_progress_is_told_and_printing_does_no_harm(kind, capfd):
    told = []
    with pool(kind, tasks.chatty) as team:
        values = sorted(team.run("ab", lambda number, share: told.append((number, share))))
    assert values == [(0, "a"), (1, "b")]
    assert sorted(told) == [(0, 0.5), (1, 0.5)]
    assert "noise" in "".join(capfd.readouterr())


@needs_posix
def test_a_worker_that_dies_costs_its_task_after_a_second_try(tmp_path):
    jobs = ["a", "killed", "b", "killed once", "exit", "raise", "c"]
    with ProcessPool(partial(tasks.dying, tmp_path), 2) as team:
        values = dict(team.run(jobs))
    assert values == {
        0: "a",
        1: WorkerDied("its process was ended by SIGKILL, 2 times"),
        2: "b",
        3: "killed once",
        4: WorkerDied("its process ended with status 3, 2 times"),
        5: WorkerDied("its process ended with status 1, 2 times"),
        6: "c",
    }
    assert [len((tmp_path / job).read_text()) for job in jobs] == [1, 2, 1, 2, 2, 2, 1]


# --- workers that begin as copies of the first one ------------------------------------------------

needs_fork = pytest.mark.skipif(not CAN_FORK, reason="processes are forked on Linux only")
sharing = partial(ProcessPool, share=True)


@needs_fork
def test_workers_share_the_memory_of_the_setup():
    with sharing(tasks.large, 3) as team:
        values = [megabytes for _, megabytes in team.run(range(12))]
        pids = {worker.pid for worker in team._processes}
    assert len(pids) == 3 and team.facts["pid"] in pids
    assert max(values) < 60
    assert all_end(pids)


@needs_fork
def test_a_forked_worker_that_dies_is_replaced_and_its_task_is_tried_again(tmp_path):
    jobs = ["a", "killed", "b", "killed once", "exit", "raise", "c"]
    with sharing(partial(tasks.dying, tmp_path), 2) as team:
        values = dict(team.run(jobs))
    assert values[1] == WorkerDied("its process was ended by SIGKILL, 2 times")
    assert values[4] == WorkerDied("its process ended with status 3, 2 times")
    assert values[5] == WorkerDied("its process ended with status 1, 2 times")
    assert [values[number] for number in (0, 2, 3, 6)] == ["a", "b", "killed once", "c"]


@needs_fork
def test_a_setup_that_fails_says_why_before_it_is_shared():
    with pytest.raises(ModelError, match="see the list"), sharing(tasks.refused, 2):
        pytest.fail("it must not begin")
    with pytest.raises(SpeechattnError, match="ended with status 5"), sharing(tasks.broken, 2):
        pytest.fail("it must not begin")


@needs_fork
def test_stopping_early_ends_forked_workers_as_well(tmp_path):
    with sharing(partial(tasks.dying, tmp_path), 3) as team:
        assert next(team.run(["slow", "a", "slow"])) == (1, "a")
        pids = [process.pid for process in team._processes]
    assert all_end(filter(None, pids))


SMALL = Grouping(4, lambda task: task < 100)


@pytest.mark.parametrize("kind", [InProcessPool, ProcessPool])
def test_small_tasks_are_done_together_and_large_ones_alone(kind):
    jobs, told = [*range(30), 100, 101, *range(30, 60)], []
    many = [] if kind is InProcessPool else [2, {}]
    with kind(tasks.together, *many, grouping=SMALL) as team:
        values = dict(team.run(jobs, lambda number, share: told.append(number)))
        assert team.running == {}
    assert [values[number][0] for number in range(62)] == [2 * job for job in jobs]
    counts = [values[number][1] for number in range(62)]
    assert max(counts) == 4 and counts[30:32] == [1, 1]
    assert sorted(told) == [number for number in range(62) if counts[number] > 1]


@needs_posix
def test_a_task_that_brings_down_those_done_with_it_fails_alone(tmp_path):
    jobs = ["a", "b", "killed", "c", "d", "killed once", "e", "f"]
    with ProcessPool(partial(tasks.dying_together, tmp_path), 1, {}, Grouping(8, bool)) as team:
        values = dict(team.run(jobs))
    assert values.pop(2) == WorkerDied("its process was ended by SIGKILL, 2 times")
    assert values == {number: job for number, job in enumerate(jobs) if number != 2}


@pytest.mark.parametrize("kind", [InProcessPool, ProcessPool])
def test_a_setup_that_fails_says_why(kind):
    with pytest.raises(ModelError, match="see the list"), pool(kind, tasks.refused):
        pytest.fail("it must not begin")


def test_a_worker_that_cannot_start_says_so():
    with (
        pytest.raises(SpeechattnError, match="cannot start .its process ended with status 5"),
        ProcessPool(tasks.broken, 2),
    ):
        pytest.fail("it must not begin")


def test_an_error_in_the_list_of_tasks_is_raised():
    def jobs():
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"), ProcessPool(tasks.plain, 2) as team:
        list(team.run(jobs()))


def test_stopping_early_ends_the_workers_and_names_what_was_under_way(tmp_path):
    with ProcessPool(partial(tasks.dying, tmp_path), 2) as team:
        assert next(team.run(["slow", "a", "slow"])) == (1, "a")
        processes = list(team._processes)
    assert all(process.has_ended for process in processes)
    assert team.running[0] == "slow" and 1 not in team.running


@needs_posix
@pytest.mark.parametrize("share", [False, True])
def test_workers_end_with_their_caller_however_it_ends(tmp_path, share):
    program = (
        "import sys; sys.path[:] = sys.argv[2:]\n"
        "import os, signal, time\n"
        "from support import pool_tasks as tasks\n"
        "from functools import partial\n"
        "from pathlib import Path\n"
        "from speechattn.transcription.workers.pool import ProcessPool\n"
        "with ProcessPool(partial(tasks.dying, Path(sys.argv[1])), 2, share=SHARE) as team:\n"
        "    values = team.run(['slow', 'slow', 'a'])\n"
        "    def stop():\n"
        "        while not all(process.pid for process in team._processes):\n"
        "            time.sleep(0.05)\n"
        "        print([process.pid for process in team._processes], flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    import threading\n"
        "    threading.Timer(1.0, stop).start()\n"
        "    list(values)\n"
    ).replace("SHARE", str(share))
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path), *sys.path],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -9, done.stderr
    assert Path(tmp_path, "slow").exists()
    pids = [int(word) for word in done.stdout.strip("[]\n").split(",")]
    assert len(pids) == 2 and all(pids)
    assert all_end(pids)


def all_end(pids: Iterable[int]) -> bool:
    """Whether all processes end soon; a busy machine takes its time to clear them away."""
    left, until = list(pids), time.monotonic() + 10
    while any(map(alive, left)) and time.monotonic() < until:
        time.sleep(0.05)
    return not any(map(alive, left))


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
