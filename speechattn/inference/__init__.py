"""A trained model at work: its files, the recognizer for recordings and for streams.

Read ``recognizer.py`` first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.inference.checkpoint import Checkpoint as Checkpoint
    from speechattn.inference.recognizer import Recognizer as Recognizer
    from speechattn.inference.recognizer import load_model as load_model
    from speechattn.inference.streaming import RecognizerStream as RecognizerStream
    from speechattn.inference.streaming import StreamResult as StreamResult
    from speechattn.inference.transcription import TranscribeOptions as TranscribeOptions
    from speechattn.inference.transcription import Transcription as Transcription

__all__ = [
    "Checkpoint",
    "Recognizer",
    "RecognizerStream",
    "StreamResult",
    "TranscribeOptions",
    "Transcription",
    "load_model",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Recognizer": "recognizer",
        "TranscribeOptions": "transcription",
        "Transcription": "transcription",
        "load_model": "recognizer",
        "RecognizerStream": "streaming",
        "StreamResult": "streaming",
        "Checkpoint": "checkpoint",
    },
)
