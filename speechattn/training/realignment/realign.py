"""Realignment: the phones of a training corpus, aligned anew by a model.

A model may align a corpus better than the aligner that it was trained with. :func:`realign` takes
the phones of each utterance from one of these:

- the alignment of the corpus;
- ``phones.machine`` (utterance, phones), the output of another recognizer. A phone in it may be
  replaced or left out if the model clearly disagrees;
- a grammar of what may have been said (:class:`SentenceHypotheses`), if there is neither.
  ``intents.json`` lists slots of each recording, such as the words of a command. Of the sentences
  that :class:`speechattn.decoder.lm.jsgf.Grammar` draws with these slots, those with phones closest
  to the recognised ones are aligned. The one that fits best is taken.

Utterances that fit badly are left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.spans import utterance_blocks
from speechattn.corpora.tables import read_table
from speechattn.decoder.decoder import decode
from speechattn.decoder.forced_alignment import LEAST_PHONE_FRAMES, Alignment, force_align
from speechattn.decoder.lm.jsgf import Grammar
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.inference.recognizer import Recognizer
from speechattn.phones import PhoneSet
from speechattn.progress import with_progress
from speechattn.segments import frame_to_seconds, segments_from_frames
from speechattn.text import one_line

MACHINE_PHONES = "phones.machine"
DOUBT = {"substitution": 8.0, "deletion": 8.0}  # nats for a change of a phone of phones.machine
LOWEST_SCORE = -1.8  # nats; utterances whose phones' mean log posterior is lower are left out
INTENTS = "intents.json"
DRAWN = 1000  # sentences drawn for a recording
ALIGNED = 10  # the closest of them are aligned


def realign(
    corpus: Corpus, model: Recognizer, sentences: SentenceHypotheses | None = None
) -> Corpus:
    """Align the utterances of a corpus with a model.

    Args:
        corpus: with alignments, or with ``phones.machine`` in its folder.
        model: with the phones of the corpus.
        sentences: hypotheses of what was said, for a corpus that has neither.

    Returns:
        The corpus with new alignments; utterances that could not be aligned are in its problems.

    Raises:
        CorpusError: if the corpus has no phones and no sentences are given, or none of it can be
            aligned.
    """
    aligned: list[Utterance] = []
    problems: list[str] = []
    notes = list(corpus.notes)
    strings = {} if sentences else _machine_strings(corpus, notes.append)
    for utterance in with_progress(corpus.utterances, f"realign {corpus.name}", unit="file"):
        try:
            log_posteriors = np.concatenate(list(model.log_posteriors(utterance_blocks(utterance))))
            if sentences:
                alignment = sentences.align(utterance.id, log_posteriors)
            else:
                alignment = _align(utterance, strings, log_posteriors, model.phones)
            aligned.append(_realigned(utterance, alignment, len(log_posteriors), model.phones))
        except (SpeechattnError, OSError) as error:
            problems.append(f"{corpus.name}: {utterance.id}: {one_line(str(error))}")
    if not aligned:
        raise CorpusError(
            f"{corpus.folder}: no utterance could be realigned; take it out of realign and train, "
            f"or begin with another model; the first problem: {problems[0]}"
        )
    return dataclasses.replace(
        corpus,
        utterances=tuple(aligned),
        problems=(*corpus.problems, *problems),
        notes=tuple(notes),
    )


def _machine_strings(corpus: Corpus, report: Callable[[str], None]) -> dict[str, str]:
    """Read the phones of ``phones.machine`` by utterance; none if the corpus has alignments."""
    if any(utterance.alignment for utterance in corpus):
        return {}
    path = corpus.folder / MACHINE_PHONES
    if not path.is_file():
        raise CorpusError(
            f"{path}: no such file, and no alignments; realigning needs the phones that were "
            "spoken: write utterance phone phone …"
        )
    return read_table(path, [utterance.id for utterance in corpus], report)


def _align(
    utterance: Utterance, strings: dict[str, str], log_posteriors: np.ndarray, phones: PhoneSet
) -> Alignment:
    """Align the phones of an utterance's alignment, or else those of ``phones.machine``."""
    if utterance.alignment:
        labels, doubt = [segment.label for segment in utterance.alignment], {}
    else:
        labels, doubt = strings.get(utterance.id, "").split(), DOUBT
    if unknown := [label for label in labels if label not in phones.index]:
        raise CorpusError(f"unknown phone {unknown[0]!r}; use those of the model")
    spoken = [phones.index[label] for label in labels if label != phones.silence]
    if not spoken:
        raise CorpusError("no phones to align; list them or leave the utterance out")
    alignment = force_align(log_posteriors, spoken, phones.silence_index, **doubt)
    if alignment is None:
        raise CorpusError(f"too short for its {len(spoken)} phones")
    return alignment


def _realigned(utterance: Utterance, found: Alignment, frames: int, phones: PhoneSet) -> Utterance:
    if found.score < LOWEST_SCORE:
        raise CorpusError(f"its phones do not fit the audio (score {found.score:.2f})")
    segments = segments_from_frames(found.segments, phones.names, frame_to_seconds(frames))
    return dataclasses.replace(utterance, alignment=tuple(segments))


class SentenceHypotheses:
    """Hypotheses of what was said in the recordings of a corpus.

    Args:
        grammar: grammar of the sentences; slots that it does not know are left out.
        lexicon: all pronunciations of the words.
        folder: folder of the corpus, with ``intents.json``: recording (as ``name`` or
            ``name.wav``) → ``slots`` → the words of each.

    Raises:
        CorpusError: if the intents cannot be read.
    """

    def __init__(self, grammar: Grammar, lexicon: Lexicon, folder: Path) -> None:
        self._grammar = grammar
        self._lexicon = lexicon
        self._phone_model = PhoneModel.uniform(len(lexicon.phones), min_frames=LEAST_PHONE_FRAMES)
        self._slots = _read_slots(folder / INTENTS)

    def align(self, name: str, log_posteriors: np.ndarray) -> Alignment:
        """Align the sentence that fits a recording best.

        Args:
            name: of the recording.
            log_posteriors: of the recording by a model, shape (frames, classes).

        Raises:
            CorpusError: if the recording is not listed, the grammar has no sentence for its slots
                or the lexicon not all words, or it is too short for the sentences.
        """
        import kaldialign

        slots = self._slots.get(name, self._slots.get(f"{name}.wav"))
        if slots is None:
            raise CorpusError(f"{INTENTS} does not list it; add it or leave the recording out")
        random = np.random.default_rng([*name.encode()])
        drawn = self._grammar.sentences(DRAWN, random, slots)
        strings = list(dict.fromkeys(self._pronounce(words, random) for words in drawn))
        silence = self._lexicon.phones.silence_index
        path = decode(log_posteriors, self._phone_model)
        recognised = [run.phone for run in path if run.phone != silence]
        strings.sort(key=lambda phones: kaldialign.edit_distance(recognised, list(phones))["total"])
        alignments = [force_align(log_posteriors, phones, silence) for phones in strings[:ALIGNED]]
        fitting = [alignment for alignment in alignments if alignment is not None]
        if not fitting:
            raise CorpusError("too short for any sentence of the grammar")
        return max(fitting, key=lambda alignment: _fit(alignment, log_posteriors))

    def _pronounce(self, words: list[str], random: np.random.Generator) -> tuple[int, ...]:
        self._lexicon.require(" ".join(words))
        return tuple(phone for word in words for phone in self._lexicon.draw(word, random))


def _fit(alignment: Alignment, log_posteriors: np.ndarray) -> tuple[float, int]:
    """Return the log likelihood, and what prefers fewer phones among equally likely alignments.

    A phone and the same phone twice are equally likely.
    """
    parts = (log_posteriors[run.start : run.end, run.phone].sum() for run in alignment.segments)
    return round(float(sum(parts)), 3), -len(alignment.segments)


def _read_slots(path: Path) -> dict[str, dict[str, str]]:
    """Read ``intents.json``: recording → slot → words."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): _sentence_words(entry["slots"]) for name, entry in entries.items()}
    except OSError as error:
        reason = error.strerror or str(error)
        raise CorpusError(f"{path}: cannot be read ({reason}); a grammar needs it") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise CorpusError(
            f'{path}: not understood; write {{"recording": {{"slots": {{"slot": "words"}}}}}}'
        ) from None


def _sentence_words(slots: dict) -> dict[str, str]:
    if not all(isinstance(words, str) for words in slots.values()):
        raise TypeError
    return {name: words.lower() for name, words in slots.items()}
