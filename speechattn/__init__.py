"""speechattn: time-aligned phone labels from speech, by truncated self-attention.

Data flows one way, a package a step: ``audio`` → ``encoder`` (made of ``attention``) → posteriors →
``decoder`` → segments → ``transcription``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.alignment.aligner import AlignedRecording as AlignedRecording
    from speechattn.alignment.aligner import Aligner as Aligner
    from speechattn.alignment.loading import load_aligner as load_aligner
    from speechattn.alignment.text_faults import TextFault as TextFault
    from speechattn.attention.functional import truncated_attention as truncated_attention
    from speechattn.audio.features import FrontEnd as FrontEnd
    from speechattn.audio.features import FrontEndConfig as FrontEndConfig
    from speechattn.encoder.config import EncoderConfig as EncoderConfig
    from speechattn.encoder.encoder import PhoneClassifier as PhoneClassifier
    from speechattn.errors import SpeechattnError as SpeechattnError
    from speechattn.inference.recognizer import Recognizer as Recognizer
    from speechattn.inference.recognizer import Transcription as Transcription
    from speechattn.inference.recognizer import load_model as load_model
    from speechattn.inference.streaming import RecognizerStream as RecognizerStream
    from speechattn.inference.streaming import StreamResult as StreamResult
    from speechattn.phones import PhoneSet as PhoneSet
    from speechattn.segments import Segment as Segment
    from speechattn.transcription.folder import FolderResult as FolderResult
    from speechattn.transcription.folder import transcribe_folder as transcribe_folder
    from speechattn.transcription.writing import write_transcription as write_transcription

# OpenMP threads that wait for each other should sleep, not spin. Beside any other load, spinning
# made training three times slower. Works if torch has not been imported yet; a value that is set
# already stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Tensors of megabytes lie in large pages where Linux offers them. In small ones a quarter of the
# time that attention takes over an hour of frames went into asking for pages.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.2.0"

_PUBLIC = {
    "load_model": "inference.recognizer",
    "Recognizer": "inference.recognizer",
    "Transcription": "inference.recognizer",
    "load_aligner": "alignment.loading",
    "Aligner": "alignment.aligner",
    "AlignedRecording": "alignment.aligner",
    "TextFault": "alignment.text_faults",
    "transcribe_folder": "transcription.folder",
    "FolderResult": "transcription.folder",
    "write_transcription": "transcription.writing",
    "RecognizerStream": "inference.streaming",
    "StreamResult": "inference.streaming",
    "Segment": "segments",
    "PhoneSet": "phones",
    "FrontEnd": "audio.features",
    "FrontEndConfig": "audio.features",
    "EncoderConfig": "encoder.config",
    "PhoneClassifier": "encoder.encoder",
    "truncated_attention": "attention.functional",
    "SpeechattnError": "errors",
}

__all__ = ["__version__", *_PUBLIC]

__getattr__, __dir__ = lazy_names(__name__, _PUBLIC)
