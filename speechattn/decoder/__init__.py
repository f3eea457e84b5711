"""Viterbi decoder: from posteriors to segments, with phone n-grams, words and durations.

Read ``decoder.py`` first, then ``records.py``, which explains the compiled search; the language
models are in ``lm``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.decoder.decoder import Decoder as Decoder
    from speechattn.decoder.decoder import decode as decode
    from speechattn.decoder.forced_alignment import force_align as force_align
    from speechattn.decoder.options import DecoderOptions as DecoderOptions

__all__ = ["Decoder", "DecoderOptions", "decode", "force_align"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Decoder": "decoder",
        "DecoderOptions": "options",
        "decode": "decoder",
        "force_align": "forced_alignment",
    },
)
