"""Sound file containers: does a file hold what its header promises?

A decoder that meets the end of a file early returns what there is without an error, so a cut-off
download would become a shorter utterance. The headers are therefore read here first, without
decoding, in small bounded reads. No size in a file is trusted before it is compared with the file.

This module recognises the containers, which have modules of their own beside it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

from speechattn.audio.containers.apple import check_aiff, check_caf
from speechattn.audio.containers.au import check_au
from speechattn.audio.containers.base import COPY_AGAIN, BoundedReader, Header
from speechattn.audio.containers.flac import check_flac
from speechattn.audio.containers.mpeg import ID3_HEAD, check_mp3, id3_bytes, late_mp3
from speechattn.audio.containers.mpeg_frames import mpeg_frame
from speechattn.audio.containers.nist import check_nist
from speechattn.audio.containers.ogg import check_ogg
from speechattn.audio.containers.pieces import patched
from speechattn.audio.containers.riff import check_wav
from speechattn.audio.containers.wave64 import check_w64
from speechattn.errors import EMPTY, MISSING, NO_ACCESS, AudioError
from speechattn.process import tell
from speechattn.text import one_line

_READ = (  # name, first bytes, more bytes from the ninth on
    ("WAV", b"RIFF", b"WAVE"),
    ("WAV", b"RF64", b"WAVE"),
    ("WAV", b"BW64", b"WAVE"),
    ("big-endian WAV", b"RIFX", b"WAVE"),
    ("W64", b"riff", b""),
    ("AIFF", b"FORM", b"AIFF"),
    ("AIFF", b"FORM", b"AIFC"),
    ("AU", b".snd", b""),
    ("AU", b"dns.", b""),  # little-endian
    ("NIST SPHERE", b"NIST_1A\n", b""),
    ("CAF", b"caff", b""),
    ("Ogg", b"OggS", b""),
    ("FLAC", b"fLaC", b""),
)
_FOREIGN = (  # name, offset, bytes: common containers that libsndfile does not read
    ("MP4/M4A", 4, b"ftyp"),
    ("WavPack", 0, b"wvpk"),
    ("Matroska/WebM", 0, b"\x1aE\xdf\xa3"),
    ("Windows Media", 0, b"0&\xb2u"),
    ("AMR", 0, b"#!AMR"),
    ("Shorten", 0, b"ajkg"),
    ("Monkey's Audio", 0, b"MAC "),
)

MOST_JOINED = 1000  # recordings in a file
SPHERE_AS_WAV = "some files named .wav are NIST SPHERE, as in TIMIT; they are read as such"
SUFFIXES = {  # suffix of a file name → names of the containers that it may hold
    **dict.fromkeys((".wav", ".wave", ".rf64"), ("WAV",)),
    ".w64": ("W64",),
    **dict.fromkeys((".aif", ".aiff", ".aifc"), ("AIFF",)),
    **dict.fromkeys((".au", ".snd"), ("AU",)),
    **dict.fromkeys((".sph", ".nist"), ("NIST",)),
    ".caf": ("CAF",),
    ".flac": ("FLAC", "OGG"),
    **dict.fromkeys((".ogg", ".oga", ".opus"), ("OGG",)),
    ".mp3": ("MP3",),
}


def check_container(path: str | os.PathLike, name: str | None = None) -> Header:
    """Compare a sound file's header with the file.

    Args:
        path: a regular file. If it is no known container, the result is ``Header("")``.
        name: of the file, for messages; None for its path.

    Raises:
        AudioError: if the file cannot be opened, is empty, is of a kind that is not read here, is
            cut off, or was never finished.
    """
    name = one_line(path) if name is None else name
    path = Path(path)
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise AudioError(f"{name}: is a folder; name a sound file in it")
        if not stat.S_ISREG(status.st_mode):
            raise AudioError(f"{name}: is no regular file; save the sound to a file first")
        if status.st_size == 0:
            raise AudioError(f"{name}: is empty (0 bytes); {COPY_AGAIN}", EMPTY)
        with path.open("rb") as file:
            data = BoundedReader(file, name, status.st_size)
            header = _check_all(data, path.suffix.lower())
            within = header.kind == "MP3" and container_of(data.upto(0, 12)) == "WAV"
            _check_suffix(data, path.suffix.lower(), "WAV" if within else header.kind)
            if (data.patches or data.pads) and not header.parts:
                parts = (patched(status.st_size, data.patches, pads=data.pads),)
                header = replace(header, parts=parts)
            return replace(header, contradictions=tuple(data.contradictions))
    except FileNotFoundError:
        raise AudioError(f"{name}: not found; check the path", MISSING) from None
    except PermissionError:
        raise AudioError(f"{name}: may not be read; change its permissions", NO_ACCESS) from None
    except (OSError, ValueError) as error:
        message = f"{name}: cannot be opened ({error}); check the path"
        raise AudioError(message, NO_ACCESS) from None


def container_of(first: bytes) -> str:
    """Return the name of the container that begins with these bytes, of which twelve do.

    ``""`` if it is none of those that have a mark; MP3 has none.
    """
    for name, start, more in _READ:
        if first.startswith(start) and first.startswith(more, 8):
            return name
    for name, offset, mark in _FOREIGN:
        if first.startswith(mark, offset):
            return name
    return ""


def _check_all(data: BoundedReader, suffix: str) -> Header:
    """Check a file, which may hold several recordings one after the other."""
    starts = [_after_id3(data)]
    headers = [_check(data, starts[0])]
    while data.following is not None and len(starts) < MOST_JOINED:
        starts.append(data.following)
        data.following = None
        headers.append(_check(data, starts[-1]))
    first = headers[0]
    if not first.kind and not first.media and suffix == ".mp3":
        # The size of a tag may be wrong: within it, only frames that follow each other count.
        return late_mp3(data, min(starts[0], ID3_HEAD)) or first
    if len(headers) == 1:
        return first
    if first.media:
        raise data.error(f"{first.media}, {len(headers)} one after the other; split the file")
    data.contradictions.append(f"{len(headers)} recordings follow each other; all are read")
    parts = tuple(
        patched(
            end,
            {at: new for at, new in data.patches.items() if begin <= at < end},
            begin,
            [at for at in data.pads if begin <= at < end],
        )
        for begin, end in zip(starts, [*starts[1:], data.size])
    )
    frames = [header.frames for header in headers if header.frames is not None]
    total = sum(frames) if len(frames) == len(headers) else None
    surplus = max(header.surplus for header in headers)
    shortfall = sum(header.shortfall for header in headers)
    return Header(first.kind, total, surplus=surplus, shortfall=shortfall, parts=parts)


def _check(data: BoundedReader, start: int) -> Header:
    data.begin = start
    magic = data.upto(start, 16)
    kind = container_of(magic)
    match kind:
        case "WAV" | "big-endian WAV":
            return check_wav(data, start, magic[:4])
        case "W64":
            return check_w64(data, start)
        case "AIFF":
            return check_aiff(data, start)
        case "AU":
            return check_au(data, start, ">" if magic[:4] == b".snd" else "<")
        case "NIST SPHERE":
            return check_nist(data, start)
        case "CAF":
            return check_caf(data, start)
        case "Ogg":
            return check_ogg(data, start)
        case "FLAC":
            return check_flac(data, start)
    if not kind and mpeg_frame(magic[:4]):
        return check_mp3(data, start)
    return Header("", media=kind)


def _check_suffix(data: BoundedReader, suffix: str, kind: str) -> None:
    expected = SUFFIXES.get(suffix)
    if kind == "NIST" and suffix == ".wav":  # as in TIMIT: too many to name each
        tell(SPHERE_AS_WAV)
    elif kind and expected and kind not in expected:
        data.contradictions.append(f"named {suffix}, but a {kind} file")


def _after_id3(data: BoundedReader) -> int:
    """Return the position after the ID3v2 tags that a file begins with."""
    position = 0
    for _ in range(16):
        tag = data.upto(position, ID3_HEAD)
        if len(tag) < ID3_HEAD or tag[:3] != b"ID3":
            break
        position += id3_bytes(tag)
    return position
