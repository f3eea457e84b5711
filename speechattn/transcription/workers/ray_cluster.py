"""The Ray cluster that a run uses: joined if there is one, started on this machine if asked for.

What the machines of a cluster must have in common, and how a worker on one of them looks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import platform
import socket
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from speechattn.errors import SpeechattnError, UsageError
from speechattn.inference.model_files import find_model, model_digest
from speechattn.transcription.run_record import LOCK
from speechattn.transcription.workers.worker import Do, Failed, Ready

LOCAL = "local"  # instead of an address: a cluster of this process, on this machine
CONNECT_SECONDS = 10.0  # for a machine to answer at all
STORE_BYTES = 100_000_000  # for Ray's shared memory on this machine; what we send is small
# Ray looks at these when it is imported.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing to its makers
    "RAY_NUM_REDIS_GET_RETRIES": "3",  # at joining a cluster
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or it warns of what it will do with GPUs one day
}
_OWN = {  # for a cluster of this process
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # at 127.0.0.1, which nobody else can reach
    "RAY_worker_niceness": "0",  # Ray's 15 lets everything else on the machine go first
}
# What a client of HTTP/2, and so of gRPC, says first, and the kind of the frame that is the answer.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS = 4


_WAY_OUT = "all machines of the cluster need the same folders under the same paths"


def import_ray(address: str) -> Any:
    """The module, quiet.

    Args:
        address: of the cluster that it is for.

    Raises:
        UsageError: if it is not installed.
    """
    for name, value in (_QUIET | (_OWN if address == LOCAL else {})).items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError:
        raise UsageError(
            "--ray: Ray is not installed; pip install 'speechattn[ray]', on all machines"
        ) from None
    return ray


@contextlib.contextmanager
def connected(ray: Any, address: str, cores: int) -> Iterator[None]:
    """Belong to a cluster; where this process does already, to that one."""
    if ray.is_initialized():
        yield
        return
    options = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address == LOCAL:
        options |= {
            "num_cpus": cores,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        }
    elif address != "auto":
        _check_reachable(address)
    try:
        with _no_standard_error():
            ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        raise SpeechattnError(
            f"--ray {address}: cannot join the cluster ({_first_line(error)}); start it with `ray "
            "start --head`, and run this on one of its machines"
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def no_standard_output() -> Iterator[None]:
    """Drop what is printed: Ray prints a page there for each worker that dies, and offers no way to
    keep it from that."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _check_reachable(address: str) -> None:
    """Find out soon whether there is anything; Ray itself takes minutes.

    Raises:
        UsageError: if it is no address.
        SpeechattnError: if nobody answers.
    """
    host, _, port = address.rpartition(":")
    if "/" in address or not host or not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise UsageError(
            f"--ray {address}: no address; give HOST:PORT of the cluster (as `ray start --head` "
            f"prints it), auto or {LOCAL}"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.sendall(_HELLO)
            answer = connection.recv(9)  # the head of a frame
    except OSError as error:
        raise SpeechattnError(
            f"--ray {address}: nobody answers ({error.strerror or error}); check the address, or "
            "start a cluster there with `ray start --head`"
        ) from None
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise SpeechattnError(
            f"--ray {address}: what answers is no Ray cluster; give the address that `ray start "
            "--head` prints, which has port 6379 as a rule"
        )


@contextlib.contextmanager
def _no_standard_error() -> Iterator[None]:
    """Send what Ray's own code says while it tries to join nowhere; the error says it after that."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def worker_class() -> type:
    """The class of the actors. Ray sends its code along, so that it also says what is wrong where
    this package is missing or another; so it may use nothing of this module before it has looked."""

    class SpeechattnWorker:
        def begin(self, version, path, message):
            import platform
            import sys

            sys.path.extend(part for part in path if part not in sys.path)
            try:
                from speechattn import __version__
            except ImportError:
                return f"speechattn is not installed on {platform.node()}; install {version} there"
            if __version__ != version:
                return (
                    f"speechattn on {platform.node()} is version {__version__} and here {version}; "
                    "install the same on all machines"
                )
            pass

            self._do, answer = begin(message)
            return answer

        def do(self, task):
            return self._do(task, lambda share: None)

    return SpeechattnWorker


@dataclass(frozen=True)
class Shared:
    """What a worker must see as its caller does.

    Attributes:
        folder: that relative paths begin at; the worker's current folder.
        inputs: files and folders.
        sample: one of the recordings, and its size in bytes.
        output_dir: of the results.
        model: name or folder.
        digest: of the model.
        torch: its version, on which the last bits of what comes out depend.
    """

    folder: str
    inputs: tuple[str, ...]
    sample: tuple[str, int] | None
    output_dir: str
    model: str
    digest: str
    torch: str

    def mark(self) -> str:
        """Leave a word in the output folder's lock file by which workers know it; gives the word.

        Words of earlier runs stay: other shards may be at work.

        Raises:
            OSError: if it cannot be written.
        """
        word = uuid.uuid4().hex
        folder = Path(self.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOCK, "a") as file:
            file.write(f"{word}\n")
        return word

    def look(self, word: str) -> None:
        """Look whether all is the same here.

        Raises:
            SpeechattnError: if something is not.
            ModelError: if the model is not there.
        """
        paths = (*self.inputs, self.output_dir, self.model)
        try:
            os.chdir(self.folder)
        except OSError:
            if not all(map(os.path.isabs, paths)):
                raise SpeechattnError(f"{self.folder}: {_not_there()}; {_WAY_OUT}") from None
        for path in self.inputs:
            if not os.path.exists(path):
                raise SpeechattnError(f"{path}: {_not_there()}; {_WAY_OUT}")
        if self.sample and _size(self.sample[0]) != self.sample[1]:
            raise SpeechattnError(f"{self.sample[0]}: {_another()}; {_WAY_OUT}")
        if word not in _words(Path(self.output_dir, LOCK)):
            raise SpeechattnError(f"{self.output_dir}: {_another()}; {_WAY_OUT}")
        if not os.access(self.output_dir, os.W_OK):
            raise SpeechattnError(
                f"{self.output_dir}: cannot be written on {platform.node()}; give its users there "
                "the right to"
            )
        if model_digest(find_model(self.model)) != self.digest:
            raise SpeechattnError(f"{self.model}: {_another()}; copy the model there")
        if (torch := _torch()) != self.torch:
            raise SpeechattnError(
                f"PyTorch on {platform.node()} is {torch} and here {self.torch}; install the same "
                "on all machines"
            )


def shared_by(
    inputs: Sequence[str | Path],
    sample: Path | None,
    output_dir: str | Path,
    model: str | Path,
    digest: str,
) -> Shared:
    """What this process sees.

    Args:
        inputs: files and folders, as they were given.
        sample: one of the recordings.
        output_dir: of the results.
        model: name or folder.
        digest: of the model.
    """
    size = _size(str(sample)) if sample else None
    return Shared(
        os.getcwd(),
        tuple(map(str, inputs)),
        None if size is None else (str(sample), size),
        str(output_dir),
        str(model),
        digest,
        _torch(),
    )


def begin(message: bytes) -> tuple[Do | None, bytes]:
    """What a worker does first: it looks and loads the model.

    Args:
        message: the pickled setup, what is shared or None, and its word.

    Returns:
        The function for tasks, and the pickled answer to the caller.
    """
    try:
        setup, shared, word = pickle.loads(message)
        if shared:
            shared.look(word)
        do, facts = setup()
    except SpeechattnError as error:
        return None, pickle.dumps(Failed(error))
    return do, pickle.dumps(Ready(facts))


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").split()
    except OSError:
        return []


def _torch() -> str:
    return metadata.version("torch").partition("+")[0]  # without what it was built for


def _size(path: str) -> int | None:
    try:
        return os.stat(path).st_size
    except OSError:
        return None


def _not_there() -> str:
    return f"is not there on {platform.node()}"


def _another() -> str:
    return f"is another one on {platform.node()}, or none"
