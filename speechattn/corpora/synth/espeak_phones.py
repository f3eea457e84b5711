"""espeak-ng's phonemes as phones with their times.

espeak gives its phonemes mnemonics, and the times at which it planned them. A table maps the
mnemonics to phones; the samples correct the times.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from speechattn.corpora.synth.espeak import ACCENTS, Speech
from speechattn.errors import ConfigError
from speechattn.files import resource
from speechattn.phones import PhoneSet, arpabet

BLOCK_S = 0.002  # seconds; the step in which boundaries are moved
LOUD_BLOCK_S = 0.005  # seconds
QUIET = 0.015  # share of the loudest 5 ms of the utterance; below it a block is silent
MAX_CLOSURE_S = 0.2  # seconds; a longer gap is a pause
MIN_CODA_S = 0.016  # seconds; an L or R audible for less sounded before its event
CODA_SHARE, MAX_CODA_S = 0.4, 0.09  # share of the vowel's span, and seconds, that it then gets
VOWEL_ONSET_S = 0.03  # seconds after its event at which a vowel has its full amplitude
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


class PhoneSpan(NamedTuple):
    """A phone, its start and its end in seconds."""

    phone: str
    start: float
    end: float


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
        """Parse ``"AA:0.6 R:0.4"``: phones and their shares of the span, which sum to 1."""
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
        """Return the phones of a phoneme and their shares of its span.

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
    """Return the phones of an utterance, from 0 s to its end, without gaps; pauses are silence.

    espeak's events are exact, with three exceptions that are corrected with the samples: the
    closure of a stop comes before its event, an L or R may sound completely before its event, and
    a vowel after a nasal or approximant begins before its event. A phone that espeak leaves out
    stays, with no length (the D of "and the").

    Args:
        speech: speech of espeak.
        accent: one of ``ACCENTS``.
        table: phones of espeak's phonemes.

    Raises:
        ConfigError: if the table lacks a phoneme.
    """
    spans = _label(speech, accent, table)
    sound = _Sound(speech)
    silence = table.phones.silence
    return _claim_closures(_advance_vowels(_restore_codas(spans, sound), sound), sound, silence)


def _label(speech: Speech, accent: str, table: PhonemeTable) -> list[PhoneSpan]:
    """Return phones at the times of espeak's events.

    An r-coloured vowel ends in an R; an R after it is the same R.
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
        begin = start
        for phone, share in shares:
            spans.append(PhoneSpan(phone, begin, begin + share * (stop - start)))
            begin = spans[-1].end
        spans[-1] = spans[-1]._replace(end=stop)
        coloured = len(shares) > 1 and spans[-1].phone == "R"
    return spans


class _Sound:
    """The samples of an utterance, addressed in seconds, and the limit of silence in it."""

    def __init__(self, speech: Speech) -> None:
        self.rate = speech.sample_rate
        self.samples = speech.samples.astype(np.float64)
        self.bright = np.diff(self.samples, prepend=0.0)  # pre-emphasised
        self.limit = QUIET * _block_rms(self.samples, round(LOUD_BLOCK_S * self.rate)).max()

    def audible(self, start: float, end: float) -> np.ndarray:
        """Whether consecutive blocks of ``BLOCK_S``, counted back from ``end``, are audible."""
        piece = self.samples[round(start * self.rate) : round(end * self.rate)]
        return _block_rms(piece[::-1], round(BLOCK_S * self.rate)) >= self.limit

    def brightness(self, times: np.ndarray) -> np.ndarray:
        """Return root mean squares of the pre-emphasised 10 ms around some times in seconds."""
        half = round(0.005 * self.rate)
        centres = [round(time * self.rate) for time in times]
        pieces = [self.bright[max(0, c - half) : c + half] for c in centres]
        return np.array([np.sqrt((p**2).mean()) if len(p) else 0.0 for p in pieces])


def _restore_codas(spans: list[PhoneSpan], sound: _Sound) -> list[PhoneSpan]:
    """Give part of a vowel's span to an L or R that espeak sounds at the end of the vowel."""
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
    """Move the start of a vowel after a nasal or approximant to the middle of its rise.

    The rise is that of the logarithm of the pre-emphasised amplitude. If it is small, the time of
    the event stays.
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

    The phone before keeps at least half of its span. After a pause nothing moves, because the
    start of the closure is inaudible there.
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
    """Move the common boundary of two neighbours."""
    return before._replace(end=edge), span._replace(start=edge)


def _block_rms(samples: np.ndarray, size: int) -> np.ndarray:
    """Return root mean squares of consecutive blocks, shape (len(samples) // size,)."""
    blocks = samples[: len(samples) // size * size].reshape(-1, size)
    return np.sqrt((blocks**2).mean(axis=1)) if len(blocks) else np.zeros(0)
