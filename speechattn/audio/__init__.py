"""Recordings in, frames out: decoding, checks of what a file holds, resampling, the front end.

Read ``load.py`` first; 25 ms windows and the 10 ms shift are computed in ``features.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from speechattn.lazy import lazy_names

if TYPE_CHECKING:
    from speechattn.audio.features import FrontEnd as FrontEnd
    from speechattn.audio.features import FrontEndConfig as FrontEndConfig
    from speechattn.audio.load import AudioFile as AudioFile
    from speechattn.audio.load import read_audio as read_audio
    from speechattn.audio.stream import AudioStream as AudioStream

__all__ = ["AudioFile", "AudioStream", "FrontEnd", "FrontEndConfig", "read_audio"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "read_audio": "load",
        "AudioFile": "load",
        "AudioStream": "stream",
        "FrontEnd": "features",
        "FrontEndConfig": "features",
    },
)
