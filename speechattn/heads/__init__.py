"""Heads that label whole sequences, on any encoder: one label, or a string of labels.

Read :mod:`speechattn.heads.models` first. They are trained by the studies and loaded by
:mod:`speechattn.inference.head_checkpoint`.
"""
