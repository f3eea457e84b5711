"""``speechattn bench transcribe``: time and memory of whole processes, beside peers.

Read ``benchmark.py`` first.
"""
