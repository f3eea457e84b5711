"""speechattn: time-aligned phone labels from speech, by truncated self-attention.

The way of the data, a package a step: ``audio`` → ``encoder`` (made of ``attention``) → posteriors →
``decoder`` → ``segments`` → ``transcription``.
"""

from __future__ import annotations

import importlib
import os

# OpenMP threads that wait for each other should sleep, not spin. Beside any other load, spinning
# made training three times slower. Works if torch has not been imported yet; a value that is set
# already stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tensors of megabytes lie in large pages where Linux offers them. In small ones a quarter of the
# time that attention takes over an hour of frames went into asking for pages.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"

# What the package offers, and where it lives. Imported when first used: torch takes seconds, and
# the command's help should not.
_PUBLIC = {
    "load_model": "inference.recognizer",
    "Recognizer": "inference.recognizer",
    "Transcription": "inference.recognizer",
    "transcribe_folder": "transcription.folder",
    "FolderResult": "transcription.folder",
    "RecognizerStream": "inference.streaming",
    "StreamResult": "inference.streaming",
    "Segment": "segments",
    "PhoneSet": "phones",
    "FrontEnd": "audio.features",
    "FrontEndConfig": "audio.features",
    "EncoderConfig": "encoder.encoder",
    "PhoneClassifier": "encoder.encoder",
    "truncated_attention": "attention.functional",
    "SpeechattnError": "errors",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"speechattn.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'speechattn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
