"""Encoders from frames to phone scores: attention and feed-forward layers in turn, and baselines.

Read ``encoder.py`` first; ``baselines.py`` holds the feed-forward net, the CNN and the RNN.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.encoder.config import EncoderConfig as EncoderConfig
    from speechattn.encoder.encoder import Encoder as Encoder
    from speechattn.encoder.encoder import PhoneClassifier as PhoneClassifier

__all__ = ["Encoder", "EncoderConfig", "PhoneClassifier"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EncoderConfig": "config",
        "Encoder": "encoder",
        "PhoneClassifier": "encoder",
    },
)
