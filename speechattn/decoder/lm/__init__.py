"""What the decoder knows of speech: phone n-grams, durations, a lexicon, a word trigram, grammars.

Read ``phone_model.py`` first, then ``word_lm.py``.
"""
