"""espeak-ng: speech from text, with its phones and their times.

The library comes in the ``espeakng-loader`` wheel and is used through ctypes. Its state is global
to the process, so there is one :class:`Espeak` in a process, with a lock. The state cannot be
reset: the phase of its oscillators and of its pitch flutter goes on from one utterance to the next
and shifts times by up to some milliseconds. The same calls in the same order in a fresh process
give the same samples.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from speechattn.errors import UsageError

ACCENTS = {  # accent → espeak's voice file
    "en-us": "en-us",
    "en-gb": "en",
    "en-029": "en-029",  # Caribbean
    "en-gb-scotland": "en-gb-scotland",
    "en-gb-x-rp": "en-gb-x-rp",  # Received Pronunciation
}
OTHER_LANGUAGES = ("de", "fr", "es", "fi", "pl")  # for benchmarks
RATE_RANGE = (80, 450)  # words a minute; above, espeak speeds up the audio and its times are wrong
PERCENT_RANGE = (0, 99)  # espeak's scale of pitch and of pitch range; 50 is the voice's own value

_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 0x0001, 0x8000
_LIST_TERMINATED, _PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARACTER_POSITION, _UTF8 = 1, 1
_SEED = 1  # of the noise in breathy voices
_LONGEST_PATH = 140  # bytes of the data folder's path; espeak's buffer has 160


class Speech(NamedTuple):
    """Speech of espeak.

    Attributes:
        samples: int16, shape (samples,).
        sample_rate: Hz.
        phonemes: espeak's name and start in seconds of each; the last one ends with the samples.
    """

    samples: np.ndarray
    sample_rate: int
    phonemes: list[tuple[str, float]]


class _EventId(ctypes.Union):
    _fields_ = [
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    ]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # whole milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


_INT, _UINT, _TEXT, _POINTER = ctypes.c_int, ctypes.c_uint, ctypes.c_char_p, ctypes.c_void_p
_SYNTH = [_TEXT, ctypes.c_size_t, _UINT, _INT, _UINT, _UINT, _POINTER, _POINTER]
_SIGNATURES = {
    "espeak_Initialize": (_INT, [_INT, _INT, _TEXT, _INT]),
    "espeak_Info": (_TEXT, [_POINTER]),
    "espeak_SetSynthCallback": (None, [_Callback]),
    "espeak_SetVoiceByName": (_INT, [_TEXT]),
    "espeak_ng_SetRandSeed": (_INT, [ctypes.c_long]),
    "espeak_SetParameter": (_INT, [_INT, _INT, _INT]),
    "espeak_Synth": (_INT, _SYNTH),
}


class Espeak:
    """The synthesizer; :func:`espeak` returns the only one of the process.

    Attributes:
        version: version of the library.
        sample_rate: Hz.
        data: folder of its voices.

    Raises:
        UsageError: if the wheel is missing or the library does not start.
    """

    def __init__(self) -> None:
        self._library, self.data = _load()
        self._lock = threading.Lock()
        self._blocks: list[np.ndarray] = []
        self._events: list[tuple[str, int]] = []
        self._failure: Exception | None = None
        self._callback = _Callback(self._receive)  # espeak keeps a pointer to it
        where = str(self.data).encode()
        options = _PHONEME_EVENTS | _DONT_EXIT
        self.sample_rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, where, options)
        if self.sample_rate <= 0 or len(where) > _LONGEST_PATH:
            raise UsageError(
                f"{self.data}: espeak-ng does not start with the data in this folder "
                f"(a path of {len(where)} bytes, {_LONGEST_PATH} at most); install "
                "espeakng-loader again, in an environment with a shorter path if need be"
            )
        self.version = self._library.espeak_Info(None).decode("ascii", "replace")
        self._library.espeak_SetSynthCallback(self._callback)

    def variants(self) -> list[str]:
        """List the voice variants of the library."""
        return sorted(path.name for path in (self.data / "voices" / "!v").iterdir())

    def synthesize(
        self,
        text: str,
        voice: str = "en-us",
        variant: str = "f2",
        *,
        rate: int = 175,
        pitch: int = 50,
        pitch_range: int = 50,
    ) -> Speech:
        """Synthesise a text.

        Args:
            text: in the language of the voice; at least one word.
            voice: accent of English, one of ``ACCENTS``, or one of ``OTHER_LANGUAGES``.
            variant: one of :meth:`variants`.
            rate: words a minute, 80 to 450.
            pitch: 0 to 99; 50 is the variant's own.
            pitch_range: 0 (monotone) to 99.

        Raises:
            UsageError: for an argument that espeak does not accept, or a text without a sound.
        """
        _check_range("rate", rate, RATE_RANGE)
        _check_range("pitch", pitch, PERCENT_RANGE)
        _check_range("pitch range", pitch_range, PERCENT_RANGE)
        if voice not in (*ACCENTS, *OTHER_LANGUAGES):
            raise UsageError(f"espeak-ng: no accent {voice!r}; use one of {', '.join(ACCENTS)}")
        if variant not in self.variants():
            raise UsageError(
                f"espeak-ng: no voice variant {variant!r} in {self.data / 'voices' / '!v'}; "
                f"use one of {', '.join(self.variants()[:8])} ..."
            )
        if "\0" in text or not any(c.isalnum() for c in text):
            raise UsageError(f"espeak-ng: nothing to say in {text[:60]!r}; give a text with words")
        with self._lock:
            self._blocks, self._events, self._failure = [], [], None
            self._library.espeak_ng_SetRandSeed(_SEED)  # by default, the time of day
            self._set_voice(f"{ACCENTS.get(voice, voice)}+{variant}")
            for parameter, value in ((_RATE, rate), (_PITCH, pitch), (_RANGE, pitch_range)):
                self._library.espeak_SetParameter(parameter, int(value), 0)
            data = text.encode()
            status = self._library.espeak_Synth(
                data, len(data) + 1, 0, _CHARACTER_POSITION, 0, _UTF8, None, None
            )
            if self._failure is not None:
                raise self._failure
            if status != 0 or not self._blocks or not self._events:
                raise UsageError(f"espeak-ng: no sound for {text[:60]!r} (status {status})")
            samples = np.concatenate(self._blocks)
            phonemes = [(name, at / self.sample_rate) for name, at in self._events]
        return Speech(samples, self.sample_rate, phonemes)

    def _set_voice(self, name: str) -> None:
        status = self._library.espeak_SetVoiceByName(name.encode())
        if status != 0:
            raise UsageError(
                f"espeak-ng: voice {name!r} cannot be used (status {status}); "
                "install espeakng-loader again"
            )

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        """Store a block of audio and its events from espeak; it goes on after a 0.

        Args:
            samples: pointer to int16, or null.
            count: number of samples.
            events: pointer to :class:`_Event`, of which the last one ends the list.
        """
        try:
            if samples and count > 0:
                self._blocks.append(np.ctypeslib.as_array(samples, (count,)).copy())
            index = 0
            while events[index].type != _LIST_TERMINATED:
                event = events[index]
                if event.type == _PHONEME:
                    name = bytes(event.id.string).split(b"\0")[0].decode("utf-8", "replace")
                    # Not audio_position, which is rounded to milliseconds.
                    self._events.append((name, event.sample))
                index += 1
        except Exception as error:  # an exception could not pass through C
            self._failure = error
            return 1
        return 0


@functools.cache
def espeak() -> Espeak:
    """Return the process's synthesizer, which the first call starts.

    Raises:
        UsageError: as :class:`Espeak`.
    """
    return Espeak()


def _load() -> tuple[ctypes.CDLL, Path]:
    """Load the library; return it and its data folder."""
    try:
        import espeakng_loader
    except ImportError:
        raise UsageError(
            "espeakng-loader: the speech synthesizer is not installed; "
            "run: python -m pip install espeakng-loader"
        ) from None
    path = espeakng_loader.get_library_path()
    try:
        library = ctypes.CDLL(path)
        data = Path(espeakng_loader.get_data_path())
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"{path}: cannot be loaded ({error}); install espeakng-loader again"
        ) from None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library, data


def _check_range(what: str, value: int, allowed: tuple[int, int]) -> None:
    low, high = allowed
    if not low <= value <= high:
        raise UsageError(f"espeak-ng: {what} {value} is not between {low} and {high}; change it")
