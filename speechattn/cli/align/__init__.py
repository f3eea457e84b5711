"""``speechattn align``: its options, what it does, and what it reports at the end.

Read ``command.py`` first.
"""

from speechattn.cli.align.command import add_align

__all__ = ["add_align"]
