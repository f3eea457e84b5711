"""English as it is written, and how it is read aloud: numbers, dates, abbreviations, signs.

Read ``reader.py`` first.
"""
