"""Folders of recordings in, files of labels out: batches, workers, the journal of what is done.

Read ``batch.py`` first; the formats are in ``formats``, processes and clusters in ``workers``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.transcription.folder import FolderResult as FolderResult
    from speechattn.transcription.folder import transcribe_folder as transcribe_folder

__all__ = ["FolderResult", "transcribe_folder"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "transcribe_folder": "folder",
        "FolderResult": "folder",
    },
)
