"""Benchmarks: how fast the package is, what memory it takes and how models hold up.

One module a benchmark (``transcribe``), and what they share: ``process`` runs and measures a
program, ``machine`` says on what, ``recordings`` makes audio of any length. Other systems run in
workers of their own (``peer_...``).
"""
