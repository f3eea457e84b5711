"""Where the data of a recipe and its first model come from.

Read ``corpus_reader.py`` first: it reads the corpora that a recipe lists, and aligns those without
phones. ``shorthand.py`` spells out the keys ``corpus`` and ``init``; ``recipe_check.py`` looks at
all of it before anything is computed.
"""
