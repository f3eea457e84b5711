"""Corpora of speech with phone alignments, and the frames and labels prepared from them.

Read ``corpus.py`` first; the corpus that espeak-ng speaks is made in ``synth``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.corpora.corpus import Corpus as Corpus
    from speechattn.corpora.corpus import read_corpus as read_corpus
    from speechattn.corpora.prepared import PreparedSet as PreparedSet

__all__ = ["Corpus", "PreparedSet", "read_corpus"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "read_corpus": "corpus",
        "Corpus": "corpus",
        "PreparedSet": "prepared",
    },
)
