"""Benchmarks: how fast the package is, what memory it takes and how models hold up.

One module or folder a benchmark (``streaming``, ``attention``), and what they share: ``process``
runs and measures a program, ``output`` writes results, ``sounds`` makes recordings noisy. ``peers``
runs other phone recognizers, each in a process of its own.
"""
