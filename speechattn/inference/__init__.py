"""A trained model at work: its files, the recognizer for recordings and for streams.

Read ``recognizer.py`` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.inference.checkpoint import Checkpoint as Checkpoint
    from speechattn.inference.recognizer import Recognizer as Recognizer
    from speechattn.inference.recognizer import Transcription as Transcription
    from speechattn.inference.recognizer import load_model as load_model
    from speechattn.inference.streaming import RecognizerStream as RecognizerStream
    from speechattn.inference.streaming import StreamResult as StreamResult

__all__ = [
    "Recognizer",
    "Transcription",
    "load_model",
    "RecognizerStream",
    "StreamResult",
    "Checkpoint",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Recognizer": "recognizer",
        "Transcription": "recognizer",
        "load_model": "recognizer",
        "RecognizerStream": "streaming",
        "StreamResult": "streaming",
        "Checkpoint": "checkpoint",
    },
)
