"""The Ray cluster that a run uses: joined if there is one, started on this machine if asked for."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

from speechattn.errors import SpeechattnError, UsageError

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
            from speechattn.transcription.workers.ray_shared import begin

            self._do, answer = begin(message)
            return answer

        def do(self, task):
            return self._do(task, lambda share: None)

    return SpeechattnWorker
