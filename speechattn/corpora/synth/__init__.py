"""The corpus of the default recipe, spoken by espeak-ng, with known times of phones.

Read ``corpus.py`` first.
"""
