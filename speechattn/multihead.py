"""Moved to :mod:`speechattn.attention.multihead`; the old name goes with version 0.3."""

from speechattn.lazy import moved_module

__getattr__, __dir__ = moved_module(__name__, "speechattn.attention.multihead")
