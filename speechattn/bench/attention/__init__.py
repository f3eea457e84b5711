"""``speechattn bench attention``: time, error and memory of ways to compute truncated attention.

Read ``benchmark.py`` first; ``peers.py`` lists the ways.
"""
