"""One fuzzer: examples, what reads them, and what may come out: our own errors, in one line, soon."""

from __future__ import annotations

import resource
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from speechattn.errors import SpeechattnError

MOST_SECONDS = 5.0  # of processor time that one input may take
MOST_BYTES = 200 << 20  # of memory that one small input may add; a header may claim any number


@dataclass
class Target:
    """Something that reads a file.

    Attributes:
        name: for the command line.
        examples: what it is given: file name → bytes.
        run: reads the files in a folder.
        outcomes: what came of the examples so far.
    """

    name: str
    examples: st.SearchStrategy[dict[str, bytes]]
    run: Callable[[Path], object]
    outcomes: Counter = field(default_factory=Counter)

    def try_one(self, folder: Path, files: dict[str, bytes]) -> None:
        """Run it over one example.

        Raises:
            AssertionError: if it takes too long or too much memory, or its error is not one line.
            Exception: whatever else comes out of it.
        """
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        began, held = time.process_time(), peak_memory()
        try:
            self.run(folder)
            outcome = "read"
        except SpeechattnError as error:
            message = str(error)
            assert message.isprintable(), f"not one line: {message!r}"
            assert str(folder) in message or "array" in message, f"no file named: {message!r}"
            outcome = type(error).__name__
        finally:
            for name in files:
                (folder / name).unlink()
        self.outcomes[outcome] += 1
        assert time.process_time() - began < MOST_SECONDS, "took too long"
        assert peak_memory() - held < MOST_BYTES, f"took {(peak_memory() - held) >> 20} MiB"

    def fuzz(self, folder: Path, examples: int, number: int | None = None) -> None:
        """Try some examples; the smallest that goes wrong is shown by the exception.

        Args:
            folder: for the files; empty.
            examples: how many.
            number: of the series of examples; None for the same one every time.
        """

        @given(self.examples)
        def check(files: dict[str, bytes]) -> None:
            self.try_one(folder, files)

        profile = settings(
            max_examples=examples,
            deadline=None,
            database=None,
            derandomize=number is None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
            print_blob=False,
        )
        check = profile(check)
        if number is not None:
            check = seed(number)(check)
        check()


def peak_memory() -> int:
    """Bytes that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def one_file(name: str, data: st.SearchStrategy[bytes]) -> st.SearchStrategy[dict[str, bytes]]:
    """Examples of one file."""
    return data.map(lambda content: {name: content})
