"""Alignments of a training corpus made anew by a model.

Read ``realign.py`` first: the phones are known. ``realign_text.py`` finds out what was said of what
the dictionary offers.
"""
