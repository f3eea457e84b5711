"""Measurements of ``speechattn bench conditions``: test sets, and sounds without speech.

Beside scores it counts by group of speakers, and what a model claims to recognise.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from speechattn.audio.codecs import gsm, mp3, opus
from speechattn.audio.load import read_audio
from speechattn.bench.sounds import (
    Change,
    Noises,
    band_limited,
    in_room,
    music,
    synthetic_languages,
    telephone,
    white_noise,
)
from speechattn.corpora.alignment import reference_runs
from speechattn.corpora.corpus import Utterance, read_entry
from speechattn.corpora.spans import utterance_audio
from speechattn.corpora.tables import read_table
from speechattn.decoder.decoder import decode
from speechattn.errors import AudioError, CorpusError
from speechattn.evaluation.metrics import ratio
from speechattn.evaluation.scores import Counts, Scores
from speechattn.inference.recognizer import Recognizer
from speechattn.progress import Progress
from speechattn.segments import FRAMES_PER_SECOND, SAMPLE_RATE, FrameSegment

CLEAN = "clean"
SEED = 2024
SOUND_SECONDS = 60.0  # of silence, white noise and music each
MOST_BACKWARDS = 50  # utterances of a set that are also recognised backwards

ADULT = 18  # years, and older
SURE = 0.7  # confidence from which on a phone counts as claimed
GENDERS = {"f": "female", "m": "male"}
GROUP_NAMES = ("adults", "children", "female", "male", "women", "men", "girls", "boys")
_BOTH: dict[tuple[str, ...], str] = {
    ("adults", "female"): "women",
    ("adults", "male"): "men",
    ("children", "female"): "girls",
    ("children", "male"): "boys",
}


@dataclass
class Found:
    """All that was measured.

    Attributes:
        sets: names, as given.
        scores: by condition, clean first; their corpora are the sets.
        groups: by set, then group; clean.
        claims: by kind of sound.
        problems: one line for each utterance that cannot be scored.
        failures: one line for each recording that cannot be read.
    """

    sets: list[str]
    scores: dict[str, Scores]
    groups: dict[str, dict[str, Group]] = field(default_factory=dict)
    claims: dict[str, Claims] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def counts(self, name: str, condition: str = CLEAN) -> Counts:
        """Counts of a set under a condition."""
        return self.scores[condition].counts(name)


class ConditionsBench:
    """What is measured, and with which model.

    Args:
        recognizer: the model; a recording goes through it in one piece.
        corpora: folder of the corpora.
        sets: ``corpus/split`` or ``corpus/all`` each.
        conditions: of ``noise``, ``room``, ``8khz``, ``telephone``, ``gsm``, ``opus`` and ``mp3``;
            clean comes by itself.
        noises: recorded noises; None without the condition ``noise``.
        limit: utterances of a set, evenly spread over it; 0 for all.

    Raises:
        CorpusError: if a set is not there or has nothing that can be scored.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        corpora: Path,
        sets: Sequence[str],
        conditions: Sequence[str],
        noises: Noises | None,
        limit: int = 0,
    ) -> None:
        changes: dict[str, Change] = {
            "room": in_room,
            "8khz": band_limited,
            "telephone": telephone,
            "gsm": gsm,
            "opus": opus,
            "mp3": mp3,
        }
        if noises is not None:
            changes["noise"] = noises.add
        self._changes = {name: changes[name] for name in conditions}
        self._recognizer, self._noises, self._limit = recognizer, noises, limit
        self._corpora = {name: read_entry(corpora, name, phones=recognizer.phones) for name in sets}

    def measure(self) -> Found:
        """Measure everything, with progress on standard error.

        Raises:
            CorpusError: if nothing could be scored.
            AudioError: if a recording of noise cannot be read.
        """
        phones = self._recognizer.phones
        found = Found(
            list(self._corpora), {name: Scores(phones) for name in (CLEAN, *self._changes)}
        )
        chosen = {n: evenly(c.utterances, self._limit) for n, c in self._corpora.items()}
        total = sum(map(len, chosen.values()))
        with Progress("", total, unit="utterance") as progress, torch.inference_mode():
            for name, utterances in chosen.items():
                progress.describe(name)
                self._measure_set(name, utterances, found, progress)
            if found.failures and not found.scores[CLEAN].corpora():
                raise CorpusError(f"no recording could be scored; first: {found.failures[0]}")
            progress.describe("no speech")
            self._measure_sounds(found)
        return found

    def _measure_set(
        self, name: str, utterances: Sequence[Utterance], found: Found, progress: Progress
    ) -> None:
        corpus = self._corpora[name]
        found.problems += corpus.problems
        speakers = list(dict.fromkeys(utterance.speaker for utterance in utterances))
        groups = speaker_groups(corpus.folder, speakers, found.problems.append)
        backwards = {utterance.id for utterance in evenly(utterances, MOST_BACKWARDS)}
        for utterance in utterances:
            progress.update()
            try:
                samples = utterance_audio(utterance)
                counts = self._score(name, utterance, samples, CLEAN, found)
            except AudioError as error:
                found.failures.append(str(error))
                continue
            except CorpusError as error:
                found.problems.append(str(error))
                continue
            for group in groups[utterance.speaker]:
                of_set = found.groups.setdefault(name, {})
                of_set.setdefault(group, Group()).add(counts, utterance.speaker)
            for condition, change in self._changes.items():
                changed = change(samples, generator(name, utterance.id, condition))
                self._score(name, utterance, changed, condition, found)
            if utterance.id in backwards:
                self._claim("the same speech backwards", samples[::-1].copy(), found)

    def _score(
        self, name: str, utterance: Utterance, samples: np.ndarray, condition: str, found: Found
    ) -> Counts:
        runs, labels = recognise(self._recognizer, samples)
        phones = self._recognizer.phones
        expected = reference_runs(
            utterance.alignment or (), len(labels), phones, name=f"{name}: {utterance.id}"
        )
        if condition == CLEAN:
            self._count("speech of the sets", runs, found)
        return found.scores[condition].add(
            expected, runs, labels, speaker=utterance.speaker, corpus=name
        )

    def _claim(self, kind: str, samples: np.ndarray, found: Found) -> None:
        self._count(kind, recognise(self._recognizer, samples)[0], found)

    def _count(self, kind: str, runs: Sequence[FrameSegment], found: Found) -> None:
        claims = found.claims.setdefault(kind, Claims())
        claims.add(runs, self._recognizer.phones.silence_index)

    def _measure_sounds(self, found: Found) -> None:
        for kind, samples in self._sounds():
            self._claim(kind, samples, found)

    def _sounds(self) -> Iterator[tuple[str, np.ndarray]]:
        """Sounds without speech, or without English, and their names in the report."""
        yield from synthetic_languages()
        yield "digital silence", np.zeros(round(SOUND_SECONDS * SAMPLE_RATE), np.float32)
        yield "white noise", white_noise(SOUND_SECONDS, generator("white noise"))
        yield "synthetic music", music(SOUND_SECONDS, generator("music"))
        for path in evenly(self._noises.paths, self._limit) if self._noises else ():
            yield "recorded noises", read_audio(path)[0]


def recognise(recognizer: Recognizer, samples: np.ndarray) -> tuple[list[FrameSegment], np.ndarray]:
    """Recognise a recording in one piece.

    Args:
        recognizer: the model.
        samples: 16 kHz, float32, shape (samples,).

    Returns:
        The decoded path, and the classifier's label of each frame, shape (frames,).
    """
    frames = np.concatenate(list(recognizer.log_posteriors(iter([samples]))))
    checkpoint = recognizer.checkpoint
    return decode(frames, checkpoint.phone_model, checkpoint.decoding), frames.argmax(1)


def evenly(items: Sequence, count: int) -> list:
    """Return ``count`` of the items, evenly spread; all if it is 0 or there are no more."""
    if count == 0 or len(items) <= count:
        return list(items)
    return [items[(2 * i + 1) * len(items) // (2 * count)] for i in range(count)]


def generator(*what: str) -> np.random.Generator:
    """Return a random generator for this name alone, so that ``--limit`` changes no result."""
    return np.random.default_rng([SEED, zlib.crc32("/".join(what).encode())])


@dataclass
class Group:
    """Counts of a group of speakers.

    Attributes:
        counts: of their utterances.
        speakers: their names.
    """

    counts: Counts = field(default_factory=Counts)
    speakers: set[str] = field(default_factory=set)

    def add(self, counts: Counts, speaker: str) -> None:
        """Count one utterance."""
        self.counts += counts
        self.speakers.add(speaker)


def speaker_groups(
    folder: Path, speakers: Sequence[str], report: Callable[[str], None]
) -> dict[str, list[str]]:
    """Return the groups each speaker belongs to, from ``spk2age`` and ``spk2gender`` of a corpus.

    Where both age and gender are known the groups are, for a girl of ten, children, female and
    girls. A speaker without either is in no group.

    Args:
        folder: of the corpus; lines are ``speaker value``: years, ``f`` or ``m``.
        speakers: those wanted.
        report: takes one line for each value that is not understood.

    Raises:
        CorpusError: if a file is there and cannot be read.
    """
    ages = read_table(folder / "spk2age", speakers, report)
    genders = read_table(folder / "spk2gender", speakers, report)
    groups: dict[str, list[str]] = {}
    for speaker in speakers:
        age, gender = ages.get(speaker), genders.get(speaker)
        names = []
        if age is not None:
            if age.isascii() and age.isdigit():
                names.append("adults" if int(age) >= ADULT else "children")
            else:
                report(f"{folder / 'spk2age'}: {speaker}: {age!r} is no age; write whole years")
        if gender is not None:
            if gender in GENDERS:
                names.append(GENDERS[gender])
            else:
                report(f"{folder / 'spk2gender'}: {speaker}: {gender!r}; write f or m")
        if both := _BOTH.get(tuple(names)):
            names.append(both)
        groups[speaker] = names
    return groups


@dataclass
class Claims:
    """What a recognizer claims to recognise, over several recordings.

    Attributes:
        frames: 100 a second.
        phone_frames: of them, given to phones (not silence).
        phones: recognised.
        sure: of them, with a confidence of at least :data:`SURE`.
        confidence: of the phones, summed.
    """

    frames: int = 0
    phone_frames: int = 0
    phones: int = 0
    sure: int = 0
    confidence: float = 0.0

    def add(self, runs: Sequence[FrameSegment], silence: int) -> None:
        """Count one recording.

        Args:
            runs: recognised, from frame 0 to the end.
            silence: class of silence.
        """
        phones = [run for run in runs if run.phone != silence]
        self.frames += runs[-1].end if runs else 0
        self.phone_frames += sum(run.end - run.start for run in phones)
        self.phones += len(phones)
        self.sure += sum(run.confidence >= SURE for run in phones)
        self.confidence += sum(run.confidence for run in phones)

    def rates(self) -> dict[str, float | None]:
        """Return the share of time given to phones, their mean confidence, and phones a minute."""
        minutes = self.frames / FRAMES_PER_SECOND / 60
        return {
            "minutes": minutes,
            "share_phones": ratio(self.phone_frames, self.frames),
            "mean_confidence": ratio(self.confidence, self.phones),
            "phones_per_minute": self.phones / minutes if minutes else None,
            "sure_phones_per_minute": self.sure / minutes if minutes else None,
        }
