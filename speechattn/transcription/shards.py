"""Shares of the recordings for several machines, as in ``--shard 2/8``.

A shard depends on the names of the recordings alone: those that come and go do not move the others
from shard to shard. Shards are about equal in size, by chance.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from speechattn.errors import UsageError
from speechattn.transcription.inputs import Recording

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
        """Part of the names of the run's own files, before their suffix."""
        return f"-{self.index}-of-{self.count}"

    def pick(self, recordings: Iterable[Recording]) -> list[Recording]:
        """Return the recordings of this shard, in their order."""
        return [each for each in recordings if _hash(each.file) % self.count == self.index - 1]


def parse_shard(text: str) -> Shard:
    """Parse ``i/n``.

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


def _hash(file: str) -> int:
    return int.from_bytes(hashlib.sha256(os.fsencode(file)).digest()[:8], "big")
