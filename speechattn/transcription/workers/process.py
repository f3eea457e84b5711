"""One worker process, as its caller has it: started, spoken to in pickles, ended.

A worker is a Python that runs :mod:`~speechattn.transcription.workers.worker`. It is no process of
:mod:`multiprocessing`: those import the caller's script again, which then needs ``if __name__ ==
"__main__":``, and a forked one would inherit the state of threads that it does not have.
"""

from __future__ import annotations

import contextlib
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, BinaryIO, cast

from speechattn.errors import SpeechattnError
from speechattn.transcription.workers.worker import Failed, Ready, WorkerInit

LAST_WORDS_SECONDS = 10.0  # that a process which has closed its pipe may take to end
# The path is set before anything is imported, so that a worker finds what its caller finds.
_PROGRAM = (
    "import sys; sys.path[:] = sys.argv[1:]; "
    "from speechattn.transcription.workers.worker import work; work()"
)


class WorkerEndedError(Exception):
    """The process ended without an answer; the message says how."""


class WorkerProcess:
    """Starts a worker process.

    Args:
        environment: all its variables.

    Raises:
        SpeechattnError: if it cannot start.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the caller
            )
        except OSError as error:
            raise SpeechattnError(
                f"a worker process cannot start ({error.strerror}); use fewer --workers"
            ) from error
        self.pid = self._process.pid
        self._to_worker = cast(BinaryIO, self._process.stdin)
        self._from_worker = cast(BinaryIO, self._process.stdout)

    @property
    def has_ended(self) -> bool:
        """Whether the process has ended."""
        return self._process.poll() is not None

    def begin(self, setup: WorkerInit) -> None:
        """Send the function that the worker calls first; it can be pickled."""
        with contextlib.suppress(OSError):  # it has ended already, which is noticed later
            self._send(setup)

    def ready(self) -> dict[str, Any]:
        """Wait until the worker takes tasks; return the facts that its setup gave.

        Raises:
            SpeechattnError: if the setup fails, or the process ends.
        """
        try:
            message = self.receive()
        except WorkerEndedError as ended:
            raise SpeechattnError(
                f"a worker process cannot start ({ended}); see what it wrote before "
                "this line, free memory or use fewer --workers"
            ) from None
        if isinstance(message, Failed):
            raise message.error
        assert isinstance(message, Ready)
        return message.facts

    def send(self, message: object) -> None:
        """Send a message.

        Raises:
            WorkerEndedError: if the process has ended.
        """
        try:
            self._send(message)
        except OSError:
            raise WorkerEndedError(self._how_it_ended()) from None

    def receive(self) -> Any:
        """Wait for a message.

        Raises:
            WorkerEndedError: if the process ends instead.
        """
        try:
            return pickle.load(self._from_worker)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise WorkerEndedError(self._how_it_ended()) from None

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait()

    def _send(self, message: object) -> None:
        pickle.dump(message, self._to_worker, pickle.HIGHEST_PROTOCOL)
        self._to_worker.flush()

    def _how_it_ended(self) -> str:
        try:
            status = self._process.wait(timeout=LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        if status < 0:
            with contextlib.suppress(ValueError):
                return f"its process was ended by {signal.Signals(-status).name}"
        return f"its process ended with status {status}"
