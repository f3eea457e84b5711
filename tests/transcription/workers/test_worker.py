"""The program of a worker: what it answers, and that it ends with its caller."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

from support import pool_tasks as tasks

from speechattn.errors import ModelError
from speechattn.transcription.workers.worker import Done, Failed, Progress, Ready, Told, do_all

PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from speechattn.transcription.workers.worker import work; work()"
)


def talk(*messages: object) -> tuple[list[object], int, bytes]:
    """Send messages to a worker and close the pipe; gives its answers, status and errors."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    answers: list[object] = []
    for message in messages:
        pickle.dump(message, process.stdin)
        process.stdin.flush()
        more = True
        while more:
            try:
                answers.append(pickle.load(process.stdout))
            except EOFError:
                break
            more = isinstance(answers[-1], (Progress, Told))
    process.stdin.close()
    errors = process.stderr.read()
    return answers, process.wait(timeout=60), errors


def test_it_answers_with_its_facts_and_the_values_of_each_list():
    answers, status, _ = talk(tasks.doubles, [1, 2], [20])
    ready, first, second = answers
    assert isinstance(ready, Ready) and ready.facts["pid"] != os.getpid()
    assert first == Done([2, 4]) and second == Done([40])
    assert status == 1  # the pipe was closed: no caller is left


def test_it_reports_progress_and_keeps_what_is_printed_from_its_answers():
    (ready, progress, done), _, errors = talk(tasks.chatty, ["a"])
    assert isinstance(ready, Ready)
    assert (progress, done) == (Progress(0, 0.5), Done(["a"]))
    assert b"noise" in errors


def test_what_it_has_to_tell_the_user_it_tells_its_caller_once():
    answers, _, errors = talk(tasks.telling, ["a"], ["b"])
    assert answers[1:] == [Told("as in TIMIT"), Done(["a"]), Done(["b"])] and errors == b""


def test_a_setup_that_fails_for_a_known_reason_is_reported():
    (answer,), _, errors = talk(tasks.refused)
    assert isinstance(answer, Failed) and isinstance(answer.error, ModelError)
    assert errors == b""


def test_any_other_error_ends_it_and_is_printed(tmp_path: Path):
    answers, status, errors = talk(partial(tasks.dying, tmp_path), ["raise"])
    assert len(answers) == 1 and status == 1
    assert b"Traceback" in errors


def test_tasks_are_done_together_only_by_a_function_that_can():
    together, _ = tasks.together()
    seen = []
    values = do_all(together, [1, 2, 3], lambda index, share: seen.append(index))
    assert values == [(2, 3), (4, 3), (6, 3)] and seen == [0, 1, 2]
    assert do_all(lambda task, report: -task, [1, 2], lambda *_: None) == [-1, -2]
