"""espeak-ng: text becomes speech whose phones and their times are known.

The library comes in the ``espeakng-loader`` wheel and is used through ctypes. Its state is global
to the process, so there is one :class:`Espeak` a process and a lock around it. It cannot be put
back into its first state either: the phase of its oscillators and of its pitch flutter goes on
from one utterance to the next and shifts times by up to some milliseconds. The same calls in the
same order in a fresh process give the same samples.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechattn.errors import ConfigError, UsageError
from speechattn.phones import PhoneSet, arpabet
from speechattn.resources import resource

ACCENTS = {  # accent → espeak's voice file
    "en-us": "en-us",
    "en-gb": "en",
    "en-029": "en-029",  # Caribbean
    "en-gb-scotland": "en-gb-scotland",
    "en-gb-x-rp": "en-gb-x-rp",  # Received Pronunciation
}
RATE_RANGE = (80, 450)  # words a minute; above, espeak speeds the audio up and the times go wrong
PERCENT_RANGE = (0, 99)  # espeak's scale of pitch and of pitch range; 50 is the voice's own

BLOCK_S = 0.002  # seconds; the step in which boundaries are moved
LOUD_BLOCK_S = 0.005  # seconds
QUIET = 0.015  # of the loudest 5 ms of the utterance; below it nothing counts as heard
MAX_CLOSURE_S = 0.2  # seconds; a longer gap is a pause
MIN_CODA_S = 0.016  # seconds; an L or R heard for less was sounded before its event
CODA_SHARE, MAX_CODA_S = 0.4, 0.09  # of the vowel's span, and seconds, that it then gets
VOWEL_ONSET_S = 0.03  # seconds after its event where a vowel is there in full
MIN_RISE = 1.5  # amplitude ratio, from sonorant to vowel
MAX_ADVANCE_S = 0.05  # seconds

STOPS = frozenset(("P", "B", "T", "D", "K", "G", "CH", "JH"))
CODAS = frozenset(("L", "R"))
SONORANTS = frozenset(("M", "N", "NG", "L", "R", "W", "Y"))
VOWELS = frozenset(
    ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
)

_STRESS = "',%="  # prefixes of a phoneme's name
_SAME_AS_BEFORE = "<"
_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 0x0001, 0x8000
_LIST_TERMINATED, _PHONEME = 0, 7
_RATE, _PITCH, _RANGE = 1, 3, 4
_CHARACTER_POSITION, _UTF8 = 1, 1
_SEED = 1  # of the noise in breathy voices
_LONGEST_PATH = 140  # bytes of the data folder's path; espeak's buffer has 160


class Speech(NamedTuple):
    """What espeak says.

    Attributes:
        samples: int16, shape (samples,).
        sample_rate: Hz.
        phonemes: espeak's name and start in seconds of each; the last one ends with the samples.
    """

    samples: np.ndarray
    sample_rate: int
    phonemes: list[tuple[str, float]]


class PhoneSpan(NamedTuple):
    """A phone and where it is, in seconds."""

    phone: str
    start: float
    end: float


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
    """The synthesizer; get the process's only one from :func:`espeak`.

    Attributes:
        version: of the library.
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
        """Names of the voice variants that come with the library."""
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
        """Say a text.

        Args:
            text: English; at least one word.
            voice: accent, one of ``ACCENTS``.
            variant: one of :meth:`variants`.
            rate: words a minute, 80 to 450.
            pitch: 0 to 99; 50 is the variant's own.
            pitch_range: 0 (monotone) to 99.

        Raises:
            UsageError: for an argument that espeak does not have, or a text it has no sound for.
        """
        _check_range("rate", rate, RATE_RANGE)
        _check_range("pitch", pitch, PERCENT_RANGE)
        _check_range("pitch range", pitch_range, PERCENT_RANGE)
        if voice not in ACCENTS:
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
            self._library.espeak_ng_SetRandSeed(_SEED)  # it starts from the time of day
            self._set_voice(f"{ACCENTS[voice]}+{variant}")
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

    def _receive(self, samples, count: int, events) -> int:
        """Take a block of audio and its events from espeak; 0 makes it go on."""
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
        except Exception as error:  # noqa: BLE001 (it could not pass through C)
            self._failure = error
            return 1
        return 0


@functools.cache
def espeak() -> Espeak:
    """The process's synthesizer, started by the first call.

    Raises:
        UsageError: as :class:`Espeak`.
    """
    return Espeak()


def _load() -> tuple[ctypes.CDLL, Path]:
    """The library and its data folder."""
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


class PhonemeTable:
    """espeak's phonemes as phones of the phone set, from ``data/espeak_arpabet.tsv``.

    Raises:
        ConfigError: with the first line that is not understood.
    """

    def __init__(self, path: str | Path | None = None, phones: PhoneSet | None = None) -> None:
        self.path = Path(path or resource("data", "espeak_arpabet.tsv"))
        self.phones = phones or arpabet()
        self._shares: dict[tuple[str, str], tuple[tuple[str, float], ...]] = {}
        for number, line in enumerate(self.path.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            columns = line.split("\t")
            where = f"{self.path}:{number}"
            if len(columns) < 3 or not (columns[1] == "*" or columns[1] in ACCENTS):
                raise ConfigError(
                    f"{where}: {line!r} is not: mnemonic, accent (* or one of "
                    f"{', '.join(ACCENTS)}), phones; separate them by tabs"
                )
            key = columns[0], columns[1]
            if key in self._shares:
                raise ConfigError(f"{where}: {key[0]} is listed twice for {key[1]}; keep one line")
            self._shares[key] = self._parse(columns[2], where)

    def _parse(self, cell: str, where: str) -> tuple[tuple[str, float], ...]:
        """``"AA:0.6 R:0.4"`` → phones and their shares of the span, which sum to 1."""
        shares = []
        for item in cell.split():
            phone, _, share = item.partition(":")
            if phone != _SAME_AS_BEFORE and phone not in self.phones.index:
                raise ConfigError(f"{where}: unknown phone {phone!r}; use one of the phone set")
            try:
                shares.append((phone, float(share or 1.0)))
            except ValueError:
                raise ConfigError(f"{where}: {share!r} is no share; write e.g. 0.5") from None
        numbers = [share for _, share in shares]
        if not all(n > 0 for n in numbers) or not abs(sum(numbers) - 1) < 1e-6:
            raise ConfigError(f"{where}: the shares in {cell!r} are not positive or not 1 in sum")
        return tuple(shares)

    def shares(self, mnemonic: str, accent: str) -> tuple[tuple[str, float], ...]:
        """Phones of a phoneme and their shares of its span.

        Args:
            mnemonic: as in ``Speech.phonemes``, with or without stress.
            accent: one of ``ACCENTS``.

        Raises:
            ConfigError: if the table does not have it.
        """
        bare = mnemonic.lstrip(_STRESS)
        found = self._shares.get((bare, accent)) or self._shares.get((bare, "*"))
        if found is None:
            raise ConfigError(
                f"{self.path}: no phoneme {bare!r} (accent {accent}); add a line for it"
            )
        return found


def phone_spans(speech: Speech, accent: str, table: PhonemeTable) -> list[PhoneSpan]:
    """Phones of an utterance, from 0 s to its end, without gaps; pauses are silence.

    espeak's events are exact but for three habits, which are corrected from the samples: the
    closure of a stop precedes its event, an L or R may be sounded wholly before its own, and a
    vowel after a nasal or approximant begins before its own. A phone that espeak leaves out stays,
    with no length (the D of "and the").

    Raises:
        ConfigError: if the table lacks a phoneme.
    """
    spans = _label(speech, accent, table)
    sound = _Sound(speech)
    silence = table.phones.silence
    spans = _claim_closures(_advance_vowels(_restore_codas(spans, sound), sound), sound, silence)
    return spans


def _label(speech: Speech, accent: str, table: PhonemeTable) -> list[PhoneSpan]:
    """Phones at the times of espeak's events.

    The R that an r-coloured vowel ends in and an R that follows it are one R.
    """
    end = len(speech.samples) / speech.sample_rate
    silence = table.phones.silence
    first = speech.phonemes[0][1]
    spans = [PhoneSpan(silence, 0.0, first)] if first > 0 else []
    stops = [start for _, start in speech.phonemes[1:]] + [end]
    coloured = False  # the last span is the R of a vowel
    for (name, start), stop in zip(speech.phonemes, stops):
        shares = table.shares(name, accent)
        phone = shares[0][0]
        same = (coloured and phone == "R") or (spans and spans[-1].phone == phone == silence)
        if spans and (phone == _SAME_AS_BEFORE or same):
            spans[-1] = spans[-1]._replace(end=stop)
            continue
        if phone == _SAME_AS_BEFORE:
            raise ConfigError(f"{table.path}: {name!r} begins an utterance; give it a phone")
        at = start
        for phone, share in shares:
            spans.append(PhoneSpan(phone, at, at + share * (stop - start)))
            at = spans[-1].end
        spans[-1] = spans[-1]._replace(end=stop)
        coloured = len(shares) > 1 and spans[-1].phone == "R"
    return spans


class _Sound:
    """The samples of an utterance in seconds, and what counts as quiet in it."""

    def __init__(self, speech: Speech) -> None:
        self.rate = speech.sample_rate
        self.samples = speech.samples.astype(np.float64)
        self.bright = np.diff(self.samples, prepend=0.0)  # pre-emphasised
        self.limit = QUIET * _block_rms(self.samples, round(LOUD_BLOCK_S * self.rate)).max()

    def audible(self, start: float, end: float) -> np.ndarray:
        """Whether consecutive blocks of ``BLOCK_S``, counted back from ``end``, are heard."""
        piece = self.samples[round(start * self.rate) : round(end * self.rate)]
        return _block_rms(piece[::-1], round(BLOCK_S * self.rate)) >= self.limit

    def brightness(self, times: np.ndarray) -> np.ndarray:
        """Root mean square of the pre-emphasised 10 ms around some times in seconds."""
        half = round(0.005 * self.rate)
        centres = [round(time * self.rate) for time in times]
        pieces = [self.bright[max(0, c - half) : c + half] for c in centres]
        return np.array([np.sqrt((p**2).mean()) if len(p) else 0.0 for p in pieces])


def _restore_codas(spans: list[PhoneSpan], sound: _Sound) -> list[PhoneSpan]:
    """Give an L or R that espeak sounds as the end of a vowel its part of the vowel's span."""
    restored = list(spans)
    for i in range(1, len(spans)):
        before, span = restored[i - 1], spans[i]
        if span.phone not in CODAS or before.phone not in VOWELS:
            continue
        if sound.audible(span.start, span.end).sum() * BLOCK_S < MIN_CODA_S:
            edge = before.end - min(CODA_SHARE * (before.end - before.start), MAX_CODA_S)
            restored[i - 1], restored[i] = _with_edge(before, span, edge)
    return restored


def _advance_vowels(spans: list[PhoneSpan], sound: _Sound) -> list[PhoneSpan]:
    """Let a vowel after a nasal or approximant begin where half of the rise to it is done.

    The rise is measured in the logarithm of the pre-emphasised amplitude; where it is small, the
    event's time stays.
    """
    advanced = list(spans)
    for i in range(1, len(spans)):
        before, span = advanced[i - 1], spans[i]
        if before.phone not in SONORANTS or span.phone not in VOWELS:
            continue
        middle = (before.start + before.end) / 2
        first = min(before.start + 0.005, middle)
        low = np.median(sound.brightness(np.arange(first, middle + BLOCK_S, BLOCK_S)))
        onset = min(span.start + VOWEL_ONSET_S, span.end)
        high = np.median(sound.brightness(np.arange(span.start, onset + BLOCK_S, BLOCK_S)))
        if not high > MIN_RISE * low:
            continue
        earliest = max(middle, before.end - MAX_ADVANCE_S)
        times = np.arange(before.end, earliest, -BLOCK_S)
        below = sound.brightness(times) < np.sqrt(low * high)
        edge = times[np.argmax(below)] if below.any() else earliest
        advanced[i - 1], advanced[i] = _with_edge(before, span, float(edge))
    return advanced


def _claim_closures(spans: list[PhoneSpan], sound: _Sound, silence: str) -> list[PhoneSpan]:
    """Move the start of stops, affricates and pauses back to where the sound before them ends.

    The phone before keeps at least half of its span. After a pause nothing moves: where the
    closure begins there is not to be heard.
    """
    claimed = list(spans)
    for i in range(1, len(spans)):
        before, span = claimed[i - 1], claimed[i]
        if before.phone == silence or not (span.phone in STOPS or span.phone == silence):
            continue
        earliest = max((before.start + before.end) / 2, before.end - MAX_CLOSURE_S)
        audible = sound.audible(earliest, before.end)
        blocks = int(np.argmax(audible)) if audible.any() else len(audible)
        claimed[i - 1], claimed[i] = _with_edge(before, span, before.end - blocks * BLOCK_S)
    return claimed


def _with_edge(before: PhoneSpan, span: PhoneSpan, edge: float) -> tuple[PhoneSpan, PhoneSpan]:
    """Two neighbours with their common boundary at another time."""
    return before._replace(end=edge), span._replace(start=edge)


def _block_rms(samples: np.ndarray, size: int) -> np.ndarray:
    """Root mean square of consecutive blocks, shape (len(samples) // size,)."""
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    return np.sqrt((blocks**2).mean(axis=1)) if len(blocks) else np.zeros(0)
