"""The corpus of the default recipe, spoken by espeak-ng with known times.

Read ``corpus.py`` first.
"""
