"""Short runs of the fuzzers; ``python tests/fuzz.py`` runs as long as one likes."""

from __future__ import annotations

import pytest

pytest.importorskip("resource", reason="limits of processes, of POSIX")

from hypothesis import strategies as st

from fuzz.__main__ import main, target
from fuzz.runner import Target, one_file
from fuzz.targets import MAKERS
from speechattn.errors import UsageError

EXAMPLES = {"audio": 250, "model": 60}


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_but_our_own_errors_comes_out(tmp_path, name):
    tried = target(name)
    tried.outcomes.clear()
    tried.fuzz(tmp_path, EXAMPLES.get(name, 100))
    # Of the files that are changed some are still right: otherwise nothing deep would be reached.
    assert tried.outcomes["read"] >= 5 and len(tried.outcomes) >= 2


def _fails(folder):
    data = (folder / "a").read_bytes()
    if data.startswith(b"k"):
        raise KeyError("k")
    raise UsageError("no name" if data.startswith(b"n") else f"{folder}: no")


@pytest.mark.parametrize(
    "wrong, error", [(b"k", KeyError), (b"n", AssertionError), (b"fine", None)]
)
def test_a_fuzzer_finds_what_is_wrong(tmp_path, wrong, error):
    examples = one_file("a", st.sampled_from([b"", wrong]))
    tried = Target("test", examples, _fails)
    if error is None:
        tried.fuzz(tmp_path, 50)
        assert tried.outcomes == {"UsageError": tried.outcomes.total()}
    else:
        with pytest.raises(error):
            tried.fuzz(tmp_path, 50)


def test_memory_and_time_that_a_file_only_claims_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("fuzz.runner.MOST_BYTES", 20 << 20)
    examples = one_file("a", st.just(b""))
    with pytest.raises(AssertionError, match="MiB"):
        Target("test", examples, lambda folder: bytearray(_held() + (256 << 20))).fuzz(tmp_path, 1)
    monkeypatch.setattr("fuzz.runner.MOST_SECONDS", 0.0)
    with pytest.raises(AssertionError, match="too long"):
        Target("test", examples, lambda folder: None).fuzz(tmp_path, 1)


def _held() -> int:
    """Bytes between what this process holds and the most it ever held."""
    from fuzz.runner import peak_memory

    with open("/proc/self/statm") as file:
        return max(0, peak_memory() - 4096 * int(file.read().split()[1]))


def test_the_command(capfd):
    assert main(["--minutes", "0", "--target", "list", "--seed", "1"]) == 0
    assert "0 found" in capfd.readouterr().out
