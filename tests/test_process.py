"""Our own processes: their output and exit status, and the cores they may use."""

from __future__ import annotations

import os
import subprocess
import sys
from types import ModuleType

import pytest

from speechattn import process

PROGRAM = "import atexit; atexit.register(print, 'registered'); from speechattn.cli.main import run; run()"


@pytest.mark.parametrize(
    "arguments, status, printed",
    [(["--version"], 0, "speechattn "), (["no-such-command"], 2, ""), (["info", "--no"], 2, "")],
)
def test_as_a_process_it_ends_with_its_status_and_all_it_printed(arguments, status, printed):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == status
    assert done.stdout.startswith(printed) and done.stdout.endswith("registered\n")
    assert bool(done.stderr) == (status == 2)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-m", "speechattn", "--version"],
        ["-c", "from speechattn.process import run; run(lambda: print('a', flush=True), 'x')"],
    ],
    ids=["at its end", "piece by piece"],
)
def test_a_reader_that_leaves_ends_it_quietly(arguments):
    read, write = os.pipe()
    os.close(read)
    line = [sys.executable, *arguments]
    done = subprocess.run(line, check=False, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="this system has no device that is full"
)
def test_what_cannot_be_printed_is_not_lost_in_silence():
    with open("/dev/full", "w") as full:
        line = [sys.executable, "-m", "speechattn", "--version"]
        done = subprocess.run(line, check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "standard output: No space left" in done.stderr


@pytest.mark.parametrize("error", ["BrokenPipeError(32, 'no')", "OSError(28, 'no')"])
def test_errors_that_are_not_of_its_output_are_not_taken_for_it(error):
    code = f"from speechattn import process\ndef main(): raise {error}\nprocess.run(main, 'x')"
    line = [sys.executable, "-c", code]
    done = subprocess.run(line, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="closes files as a POSIX shell does")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_with_standard_files_closed_it_does_its_work(closed):
    line = f'"{sys.executable}" -m speechattn --version {closed}'
    done = subprocess.run(["bash", "-c", line], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("speechattn ") == (">&-" not in closed.split())


def test_cuda_is_looked_for_where_it_may_be(monkeypatch):
    monkeypatch.setattr(os.path, "exists", lambda path: path == "/dev/nvidiactl")
    assert process.may_have_cuda()
    monkeypatch.setattr(os.path, "exists", lambda path: False)
    assert process.may_have_cuda() == (os.name == "nt")


@pytest.mark.parametrize(("value", "may"), [("", True), ("0", True), ("1", False)])
def test_whether_numba_compiles_is_known_before_it_is_imported(monkeypatch, value, may):
    monkeypatch.setenv("NUMBA_DISABLE_JIT", value)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    assert process.may_compile() is may
    # While another thread imports it, it has no settings yet.
    monkeypatch.setitem(sys.modules, "numba", ModuleType("numba"))
    assert process.may_compile() is may
