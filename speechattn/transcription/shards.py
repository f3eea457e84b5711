"""A share of the recordings for one of several machines: ``--shard 2/8``.

Which shard a recording belongs to depends on its name alone, so recordings that come and go do not
move the others from shard to shard. The shards are of equal size by chance only.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from speechattn.errors import UsageError
from speechattn.transcription.inputs import Job

MOST_SHARDS = 100_000


@dataclass(frozen=True)
class Shard:
    """Number ``index``, counted from 1, of ``count`` shards."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def suffix(self) -> str:
        """What names of the run's own files have before theirs."""
        return f"-{self.index}-of-{self.count}"

    def pick(self, jobs: Iterable[Job]) -> list[Job]:
        """The jobs of this shard, in their order."""
        return [job for job in jobs if _number(job.file) % self.count == self.index - 1]


def parse_shard(text: str) -> Shard:
    """Read ``i/n``.

    Raises:
        UsageError: if it is no such pair, or ``i`` is not from 1 to ``n``.
    """
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text, re.ASCII)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count <= MOST_SHARDS:
        raise UsageError(
            f"--shard {text!r}: no shard; give i/n, such as 1/8 for the first of "
            f"eight, n at most {MOST_SHARDS}"
        )
    return Shard(index, count)


def _number(file: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(file)).digest()[:8], "big")
