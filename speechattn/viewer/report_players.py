"""Players of a report: recordings are linked, relative to the page, so that it stays small.

What browsers cannot play is put into the page as MP3, as long as that does not make it large.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

from speechattn.audio.load import read_audio
from speechattn.errors import SpeechattnError
from speechattn.segments import SAMPLE_RATE
from speechattn.viewer.sound import FORMATS, encode_whole

# That current browsers play, by suffix.
PLAYED = frozenset((".wav", ".mp3", ".flac", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".webm"))
MOST_EMBEDDED = 300.0  # seconds of a page; some 1.2 MB
LINK, EMBED, NONE = "link", "embed", "none"
SOUNDS = (LINK, EMBED, NONE)


class Players:
    """Makes the players of a page.

    Args:
        output: the page.
        sound: ``"link"``, ``"embed"`` or ``"none"``.

    Attributes:
        gone: number of recordings that are no longer there, or cannot be read.
        left_out: number of those that would have made the page too large.
    """

    def __init__(self, output: Path, sound: str) -> None:
        self._folder, self._sound = output.resolve().parent, sound
        self._room = MOST_EMBEDDED
        self.gone = self.left_out = 0

    def source(self, row: dict[str, Any]) -> str | None:
        """Return where the player of an utterance gets its sound; None for no player."""
        if self._sound == NONE:
            return None
        path = Path(row["path"]) if row.get("path") else None
        if path is None or not path.is_file():
            self.gone += 1
            return None
        start, end = float(row.get("start") or 0.0), row.get("end")
        if self._sound == LINK and path.suffix.lower() in PLAYED:
            span = f"#t={start:g}{'' if end is None else f',{end:g}'}"
            return self._link(path) + (span if start or end is not None else "")
        return self._embedded(path, start, end, float(row["duration"]))

    def _link(self, path: Path) -> str:
        try:
            relative = Path(os.path.relpath(path.resolve(), self._folder)).as_posix()
        except ValueError:  # on another drive
            return path.resolve().as_uri()
        return quote(f"./{relative}" if not relative.startswith(".") else relative)

    def _embedded(self, path: Path, start: float, end: float | None, seconds: float) -> str | None:
        if seconds > self._room:
            self.left_out += 1
            return None
        try:
            samples = read_audio(path)[0]
            last = None if end is None else round(end * SAMPLE_RATE)
            part = samples[round(start * SAMPLE_RATE) : last]
            data = base64.b64encode(encode_whole(part, "mp3")).decode()
        except SpeechattnError:
            self.gone += 1
            return None
        self._room -= seconds
        return f"data:{FORMATS['mp3'].kind};base64,{data}"
