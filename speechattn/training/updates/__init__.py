"""What the updates of a training need beside model and batches.

Read ``inputs.py`` first: the utterances and settings that a training takes. ``process_group.py``
shares updates between processes, ``early_stopping.py`` ends them, ``window_draws.py`` draws the
attention windows of each.
"""
