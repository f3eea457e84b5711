"""One worker process, as its caller has it: started, spoken to in pickles, ended.

A worker is a Python that runs :mod:`~speechattn.transcription.workers.worker`. It is no process of
:mod:`multiprocessing`: those import the caller's script again, which then needs ``if __name__ ==
"__main__":``, and a forked one would inherit the state of threads that it does not have. But one
worker may become several before it has any threads: then they share the memory of its model.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from speechattn.errors import SpeechattnError
from speechattn.transcription.workers.worker import Failed, Ready, WorkerInit

if TYPE_CHECKING:
    import socket

# Elsewhere there is no fork, or libraries of the system do not survive it.
CAN_FORK = sys.platform == "linux"
_NO_MORE = 1  # SHUT_WR of a socket
LAST_WORDS_SECONDS = 10.0  # that a process which has closed its pipe may take to end
# The path is set before anything is imported, so that a worker finds what its caller finds.
_PROGRAM = (
    "import sys; sockets = sys.argv[1].split(','); sys.path[:] = sys.argv[2:]; "
    "from speechattn.transcription.workers.worker import work; work([int(n) for n in sockets if n])"
)


class WorkerEndedError(Exception):
    """The process ended without an answer; the message says how."""


class Worker:
    """A worker process that has been started: a connection to it.

    Attributes:
        pid: of the process; 0 while it is not known.
    """

    pid = 0
    _to_worker: BinaryIO
    _from_worker: BinaryIO

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
        self.pid = message.pid
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
        raise NotImplementedError

    def wait(self) -> None:
        """Wait for its end."""
        raise NotImplementedError

    def _send(self, message: object) -> None:
        pickle.dump(message, self._to_worker, pickle.HIGHEST_PROTOCOL)
        self._to_worker.flush()

    def _how_it_ended(self) -> str:
        raise NotImplementedError


class WorkerProcess(Worker):
    """Starts a worker process.

    Args:
        environment: all its variables.
        siblings: how many more workers it becomes after its setup, if :data:`CAN_FORK`.

    Attributes:
        siblings: those workers.

    Raises:
        SpeechattnError: if it cannot start.
    """

    def __init__(self, environment: Mapping[str, str], siblings: int = 0) -> None:
        pairs = []
        if siblings:
            import socket  # here, because it takes milliseconds

            pairs = [socket.socketpair() for _ in range(siblings)]
        theirs = [other.fileno() for _, other in pairs]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, ",".join(map(str, theirs)), *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=environment,
                pass_fds=theirs,
                start_new_session=True,  # Ctrl-C is for the caller
            )
        except OSError as error:
            raise SpeechattnError(
                f"a worker process cannot start ({error.strerror}); use fewer --workers"
            ) from error
        finally:
            for _, other in pairs:
                other.close()
        self.pid = self._process.pid
        self.siblings = [ForkedWorker(ours) for ours, _ in pairs]
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

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()

    def wait(self) -> None:
        """Wait for its end."""
        self._process.wait()

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


class ForkedWorker(Worker):
    """A worker that another one becomes, with whose memory it begins.

    It is no child of this process, so nobody here learns how it ended, only that it did: the system
    then closes its end of the socket.

    Args:
        connection: to the worker.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._to_worker = cast(BinaryIO, connection.makefile("wb"))
        self._from_worker = cast(BinaryIO, connection.makefile("rb"))

    def kill(self) -> None:
        """End the process at once."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        else:  # it ends when it finds nothing to read
            with contextlib.suppress(OSError):
                self._connection.shutdown(_NO_MORE)

    def wait(self) -> None:
        """Wait for its end."""
        self._connection.settimeout(LAST_WORDS_SECONDS)
        with contextlib.suppress(OSError):
            while self._connection.recv(1 << 16):
                pass

    def _how_it_ended(self) -> str:
        return "its process ended"
