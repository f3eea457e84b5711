"""``speechattn bench``: its options, what they may be, and what each benchmark does with them.

Read ``command.py`` first.
"""

from speechattn.cli.bench.command import add_bench

__all__ = ["add_bench"]
