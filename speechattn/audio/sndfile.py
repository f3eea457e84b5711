"""Sound files by libsndfile, with checks of everything that it does not check.

A file that is cut off, empty or damaged is an :class:`~speechattn.errors.AudioError`, never a
shorter recording: :mod:`~speechattn.audio.containers.detect` tells how many samples there must be,
and decoding must end there.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import soundfile

from speechattn.audio.containers.base import Header
from speechattn.audio.containers.detect import check_container
from speechattn.audio.containers.pieces import PiecedFile, Pieces
from speechattn.audio.media import INSTALL, MEDIA_SUFFIXES, MediaSound, has_media
from speechattn.audio.resample import check_length, chunk_frames
from speechattn.errors import DAMAGED, NO_ACCESS, TRUNCATED, UNREADABLE, AudioError
from speechattn.options import RAW_SUFFIXES, RAW_WAY_OUT
from speechattn.segments import SAMPLE_RATE

PIECES_BUFFER = 1 << 16  # bytes that are read at a time of a file in pieces
_SET_OPUS_RATE, _DONE = 0x1500, 1  # SFC_SET_ORIGINAL_SAMPLERATE and SF_TRUE of libsndfile
# Name of a container in libsndfile → name that detect.py has checked it under. Containers that do
# not say how long they are (VOC, IRCAM, AVR ...) are refused: a cut-off one would go unnoticed.
_CHECKED = {"WAVEX": "WAV", "RF64": "WAV", "HTK": ""}  # libsndfile itself checks HTK's length


@dataclass(frozen=True)
class AudioInfo:
    """What a sound file holds.

    Attributes:
        path: the file.
        sample_rate: Hz, as recorded; of Opus, at which it is decoded: at most 16 kHz.
        channels: number of channels.
        frames: samples per channel at ``sample_rate``.
        format: container, such as ``"WAV"`` or ``"OGG"``.
        subtype: coding, such as ``"PCM_16"`` or ``"OPUS"``.
        contradictions: between its header or name and its contents, each a part of a sentence.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: str
    subtype: str
    contradictions: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate


class Sound(soundfile.SoundFile):
    """A sound file that is read once from front to back.

    soundfile seeks after every read of a seekable file. In Opus and MP3 this restarts the decoder,
    and the samples after each seam are wrong by more than the signal. (DWVW cannot seek at all.)

    Opus is decoded at 16 kHz where libsndfile would choose more: its decoder gives any of five
    rates, so that nothing is left to resample. This takes half the time.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        if self.subtype == "OPUS" and self.samplerate > SAMPLE_RATE:
            self._decode_at_16_khz()

    def _decode_at_16_khz(self) -> None:
        """Have a new decoder made, which must come before anything is decoded."""
        # soundfile does not offer this command, and keeps what it was told when it opened the file.
        rate = soundfile._ffi.new("int *", SAMPLE_RATE)
        if soundfile._snd.sf_command(self._file, _SET_OPUS_RATE, rate, 4) == _DONE:
            self._info.frames = self._info.frames * SAMPLE_RATE // self._info.samplerate
            self._info.samplerate = SAMPLE_RATE

    def seekable(self) -> bool:
        """Return False, so that soundfile never seeks."""
        return False


class PiecedSound(Sound):
    """A sound file that is read from pieces of a file."""

    def __init__(self, path: Path, pieces: Pieces) -> None:
        self._pieces = io.BufferedReader(PiecedFile(path, pieces), PIECES_BUFFER)
        try:
            super().__init__(self._pieces)
        except BaseException:
            self._pieces.close()
            raise

    def close(self) -> None:
        """Close the file."""
        super().close()
        self._pieces.close()


class JoinedSound:
    """Sound files of one rate and number of channels, read as one.

    Raises:
        AudioError: if they are of different rates or numbers of channels.
    """

    def __init__(self, sounds: list[Sound]) -> None:
        self._sounds, self._number, self._done = sounds, 0, 0
        first = sounds[0]
        self.samplerate, self.channels = first.samplerate, first.channels
        self.format, self.subtype = first.format, first.subtype
        self.frames = sum(sound.frames for sound in sounds)
        self.different = next(
            (s for s in sounds if (s.samplerate, s.channels) != (self.samplerate, self.channels)),
            None,
        )

    def __enter__(self) -> JoinedSound:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, *, out: np.ndarray) -> np.ndarray:
        """Read the next samples into an array; see :meth:`soundfile.SoundFile.read`."""
        while self._number < len(self._sounds):
            sound = self._sounds[self._number]
            # Never past the end, as in decode(); a length that is not known is a very large one.
            left = min(len(out), sound.frames - self._done)
            found = sound.read(out=out[:left]) if left else out[:0]
            if len(found):
                self._done += len(found)
                return found
            self._number, self._done = self._number + 1, 0
        return out[:0]

    def close(self) -> None:
        """Close all files."""
        for sound in self._sounds:
            sound.close()


AnySound: TypeAlias = "Sound | JoinedSound | MediaSound"


def open_sound(path: Path, name: str) -> tuple[AnySound, AudioInfo]:
    """Open a sound file and check everything that can be checked without decoding.

    Args:
        path: of the file.
        name: of the file, for messages.

    Returns:
        The open file, at its beginning, and what it holds.

    Raises:
        AudioError: as :func:`speechattn.audio.load.audio_info`.
    """
    header = check_container(path, name)
    if header.media:
        if not has_media():
            raise AudioError(
                f"{name}: is {header.media}, which needs the extra media "
                f"(`{INSTALL}`); or convert it to WAV or FLAC"
            )
        media, info = _open_media(path, name)
        return media, replace(info, contradictions=header.contradictions + info.contradictions)
    try:
        sound = _open(path, header.parts)
    except OSError as error:  # deleted or locked since it was checked
        message = f"{name}: cannot be opened ({error.strerror}); check the path"
        raise AudioError(message, NO_ACCESS) from None
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        suffix = path.suffix.lower()
        if not header.kind and suffix in MEDIA_SUFFIXES and has_media():
            return _open_media(path, name)
        if header.kind:
            problem = f"this {header.kind} file cannot be decoded ({_reason(error)})"
        else:
            with path.open("rb") as file:
                start = file.read(8)
            problem = f"no sound file that can be read (begins with {start!r}: {_reason(error)})"
        kind = DAMAGED if header.kind else UNREADABLE
        way_out = "convert it to WAV or FLAC"
        if not header.kind and suffix in RAW_SUFFIXES:
            way_out = RAW_WAY_OUT
        elif not header.kind and suffix in MEDIA_SUFFIXES:
            way_out = f"{suffix} needs the extra media (`{INSTALL}`), or {way_out}"
        raise AudioError(f"{name}: {problem}; {way_out}", kind) from None
    try:
        if isinstance(sound, JoinedSound) and sound.different is not None:
            other = sound.different
            raise AudioError(
                f"{name}: recordings of {sound.samplerate} Hz with {sound.channels} channels and "
                f"{other.samplerate} Hz with {other.channels} follow each other; split the file"
            )
        if _CHECKED.get(sound.format, sound.format) != header.kind:
            raise AudioError(
                f"{name}: is {sound.format} {sound.subtype}, of which it cannot be told whether "
                "it is complete; convert it to WAV or FLAC"
            )
        frames = _frames(sound, path, header, name)
        check_length(frames, sound.samplerate, name)
    except AudioError:
        sound.close()
        raise
    contradictions = header.contradictions
    if path.suffix.lower() == ".opus" and sound.subtype != "OPUS":
        contradictions += (f"named {path.suffix}, but {sound.subtype} inside",)
    return sound, AudioInfo(
        path,
        sound.samplerate,
        sound.channels,
        frames,
        sound.format,
        sound.subtype,
        contradictions,
    )


def _open_media(path: Path, name: str) -> tuple[MediaSound, AudioInfo]:
    sound = MediaSound(path, name)
    check_length(sound.frames, sound.samplerate, name)
    return sound, AudioInfo(
        path,
        sound.samplerate,
        sound.channels,
        sound.frames,
        sound.format,
        sound.subtype,
        sound.contradictions,
    )


def _open(path: Path, parts: tuple[Pieces, ...] = ()) -> Sound | JoinedSound:
    """Open a file, or the parts of it that are read one after the other."""
    if not parts:
        # By its descriptor, because libsndfile takes no path above 1,023 bytes.
        return Sound(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)), closefd=True)
    sounds: list[Sound] = []
    try:
        sounds.extend(PiecedSound(path, pieces) for pieces in parts)
    except BaseException:
        for sound in sounds:
            sound.close()
        raise
    return sounds[0] if len(sounds) == 1 else JoinedSound(sounds)


def _frames(sound: AnySound, path: Path, header: Header, name: str) -> int:
    """Return the samples per channel that decoding must give."""
    frames = sound.frames
    if frames >= 1 << 60:  # the header of a FLAC that was written to a pipe has no number
        frames = _count_frames(path, name)
    if header.frames is None or frames - header.frames > header.surplus:
        return frames
    if frames < header.frames - header.shortfall:
        why = "its bit rate varies and it has no Xing header" if header.kind == "MP3" else "cut off"
        raise AudioError(
            f"{name}: the decoder finds {frames} of {header.frames} samples ({why}); "
            "convert it to WAV or FLAC, or copy it again",
            TRUNCATED,
        )
    return min(frames, header.frames)


def _count_frames(path: Path, name: str) -> int:
    """Count the samples per channel by decoding them all."""
    frames = 0
    with _open(path) as sound:
        buffer = np.empty((chunk_frames(sound.channels), sound.channels), np.float32)
        while count := len(_read(sound, buffer, frames, name)):
            frames += count
    return frames


def decode(sound: AnySound, info: AudioInfo, name: str) -> Iterator[np.ndarray]:
    """Decode a sound file to its end.

    Args:
        sound: open and at its beginning.
        info: what it must hold.
        name: of the file, for messages.

    Yields:
        Chunks at the original rate, float32, shape (samples, channels); a chunk is overwritten by
        the next one.

    Raises:
        AudioError: if the file cannot be decoded to its end or holds fewer samples.
    """
    buffer = np.empty((chunk_frames(info.channels), info.channels), np.float32)
    done = 0
    while done < info.frames:
        # Never past the end: a FLAC decoder takes bytes after the last frame for damage.
        chunk = _read(sound, buffer[: info.frames - done], done, name)
        if len(chunk) == 0:
            raise AudioError(
                f"{name}: cut off or damaged: {done} of {info.frames} samples can be decoded "
                f"({done / info.sample_rate:.2f} of {info.duration:.2f} s); copy it again",
                TRUNCATED,
            )
        done += len(chunk)
        yield chunk


def _read(sound: AnySound, buffer: np.ndarray, done: int, name: str) -> np.ndarray:
    try:
        return sound.read(out=buffer)
    except soundfile.SoundFileError as error:
        raise AudioError(
            f"{name}: cannot be decoded after {done / sound.samplerate:.2f} s "
            f"({_reason(error)}): cut off or damaged; copy it again",
            DAMAGED,
        ) from None


def _reason(error: Exception) -> str:
    """Return the message of libsndfile on one line."""
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).rstrip(".")
