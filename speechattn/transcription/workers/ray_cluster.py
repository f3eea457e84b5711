"""The Ray cluster of a run: joined, or started on this machine; what its machines must share.

Every worker checks that it sees the same recordings, output folder, model and versions as its
caller (:class:`Shared`).
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
from speechattn.transcription.at_work import MARK
from speechattn.transcription.workers.worker import Do, Failed, Ready

LOCAL = "local"  # in place of an address: a cluster of this process, on this machine
CONNECT_SECONDS = 10.0  # for a machine to answer at all
STORE_BYTES = 100_000_000  # of Ray's shared memory on this machine; our messages are small
# Variables that Ray reads when it is imported.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # sends nothing to its makers
    "RAY_NUM_REDIS_GET_RETRIES": "3",  # attempts to join a cluster
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # avoids a warning about a future change
}
_OWN = {  # for a cluster of this process
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # at 127.0.0.1, which no other machine can reach
    "RAY_worker_niceness": "0",  # Ray's 15 lets everything else on the machine go first
}
# First message of a client of HTTP/2, and so of gRPC, and the kind of frame that answers it.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
_SETTINGS = 4

_WAY_OUT = "all machines of the cluster need the same folders under the same paths"


def import_ray(address: str) -> Any:
    """Import Ray so that it prints nothing.

    Args:
        address: of the cluster that will be joined.

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
    """Join a cluster for the block; keep the one that this process belongs to already.

    Args:
        ray: the module.
        address: of the cluster.
        cores: of a cluster that is started on this machine.

    Raises:
        UsageError: if the address is invalid.
        SpeechattnError: if the cluster cannot be joined.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
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
    """Drop what is printed: Ray prints a page for each worker that dies, without a switch."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        yield


def _check_reachable(address: str) -> None:
    """Find out soon whether a cluster answers; Ray itself takes minutes.

    Raises:
        UsageError: if the address is invalid.
        SpeechattnError: if no cluster answers.
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
    """Drop what Ray's native code prints while it tries to join; its error says the same."""
    sys.stderr.flush()
    standard_error = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def worker_class() -> type:
    """Return the class of the actors.

    Ray sends its code to the workers, so that it can report that this package is missing there or
    has another version. Until it has checked that, it may use nothing of this module.
    """

    class SpeechattnWorker:
        def begin(self, version: str, path: list[str], message: bytes) -> str | bytes:
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
            from speechattn.transcription.workers.ray_cluster import begin

            self._do, answer = begin(message)
            return answer

        def do(self, task: object) -> object:
            assert self._do is not None, "begin() has failed"
            return self._do(task, lambda share: None)

    return SpeechattnWorker


@dataclass(frozen=True)
class Shared:
    """What a worker must see as its caller sees it.

    Attributes:
        folder: current folder, where relative paths begin.
        inputs: files and folders.
        sample: one of the recordings, and its size in bytes.
        output_dir: folder for the results.
        model: name or folder.
        digest: of the model.
        torch: version of PyTorch, on which the last bits of the results depend.
    """

    folder: str
    inputs: tuple[str, ...]
    sample: tuple[str, int] | None
    output_dir: str
    model: str
    digest: str
    torch: str

    @contextlib.contextmanager
    def marked(self) -> Iterator[str]:
        """Make a file in the output folder for the block, by which workers recognise the folder.

        Yields:
            Its name.

        Raises:
            OSError: if it cannot be made.
        """
        path = Path(self.output_dir, f"{MARK}-{uuid.uuid4().hex}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        try:
            yield path.name
        finally:
            path.unlink(missing_ok=True)

    def check(self, mark: str) -> None:
        """Check that this machine sees the same, and make ``folder`` the current one.

        Args:
            mark: from :meth:`marked`.

        Raises:
            SpeechattnError: if something differs.
            ModelError: if the model is missing.
        """
        paths = (*self.inputs, self.output_dir, self.model)
        try:
            os.chdir(self.folder)
        except OSError:
            if not all(map(os.path.isabs, paths)):
                raise SpeechattnError(f"{self.folder}: {_missing()}; {_WAY_OUT}") from None
        for path in self.inputs:
            if not os.path.exists(path):  # noqa: PTH110 - false without permission
                raise SpeechattnError(f"{path}: {_missing()}; {_WAY_OUT}")
        if self.sample and _size(self.sample[0]) != self.sample[1]:
            raise SpeechattnError(f"{self.sample[0]}: {_different()}; {_WAY_OUT}")
        if _size(str(Path(self.output_dir, mark))) is None:
            raise SpeechattnError(f"{self.output_dir}: {_different()}; {_WAY_OUT}")
        if not os.access(self.output_dir, os.W_OK):
            raise SpeechattnError(
                f"{self.output_dir}: cannot be written on {platform.node()}; give its users there "
                "the right to"
            )
        if model_digest(find_model(self.model)) != self.digest:
            raise SpeechattnError(f"{self.model}: {_different()}; copy the model there")
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
    """Return what this process sees.

    Args:
        inputs: files and folders, as they were given.
        sample: one of the recordings.
        output_dir: folder for the results.
        model: name or folder.
        digest: of the model.
    """
    size = _size(str(sample)) if sample else None
    return Shared(
        str(Path.cwd()),
        tuple(map(str, inputs)),
        None if size is None else (str(sample), size),
        str(output_dir),
        str(model),
        digest,
        _torch(),
    )


def begin(message: bytes) -> tuple[Do | None, bytes]:
    """Set up a worker: check what it sees and load the model.

    Args:
        message: pickle of the setup, of what is shared or None, and of its mark.

    Returns:
        The function for tasks, and the pickled answer to the caller.
    """
    try:
        setup, shared, mark = pickle.loads(message)
        if shared:
            shared.check(mark)
        do, facts = setup()
    except SpeechattnError as error:
        return None, pickle.dumps(Failed(error))
    return do, pickle.dumps(Ready(facts))


def _torch() -> str:
    return metadata.version("torch").partition("+")[0]  # without the device it was built for


def _size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        return None


def _missing() -> str:
    return f"is not there on {platform.node()}"


def _different() -> str:
    return f"is another one on {platform.node()}, or none"
