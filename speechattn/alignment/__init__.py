"""Words and phones with times, where the words are known.

Read ``aligner.py`` first: from a recording and its text to times. ``network.py`` turns a text into
all the ways of saying it, ``text_aligner.py`` finds which of them was taken, ``boundaries.py``
where phones meet, ``pause_edges.py`` where pauses begin and end, ``squeezed.py`` which words at
the edges were not said, ``text_faults.py`` where the text is wrong. What may be said instead of
the dictionary's forms is the table of ``reductions.py``; ``task.py`` aligns many recordings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.alignment.aligner import AlignedRecording as AlignedRecording
    from speechattn.alignment.aligner import Aligner as Aligner
    from speechattn.alignment.loading import load_aligner as load_aligner
    from speechattn.alignment.reductions import Reductions as Reductions
    from speechattn.alignment.text_aligner import SpokenWord as SpokenWord
    from speechattn.alignment.text_aligner import TextAligner as TextAligner
    from speechattn.alignment.text_aligner import TextAlignment as TextAlignment
    from speechattn.alignment.text_faults import TextFault as TextFault

__all__ = [
    "AlignedRecording",
    "Aligner",
    "Reductions",
    "SpokenWord",
    "TextAligner",
    "TextAlignment",
    "TextFault",
    "load_aligner",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "AlignedRecording": "aligner",
        "Aligner": "aligner",
        "Reductions": "reductions",
        "SpokenWord": "text_aligner",
        "TextAligner": "text_aligner",
        "TextAlignment": "text_aligner",
        "TextFault": "text_faults",
        "load_aligner": "loading",
    },
)
