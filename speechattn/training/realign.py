"""Realignment: the phones of a training corpus, placed anew by a model.

What aligned a corpus first may have been worse than a model trained on it. The phones are those of
its alignment; a corpus without one has in ``phones.machine`` (utterance, phones) the strings that
some recognizer heard, which are taken with a grain of salt: a phone in them may be another one or
none at all where the model clearly disagrees. A grammar of what may have been said does without
them (:mod:`speechattn.training.realign`). Utterances that fit badly are left out.

What was said in a recording, among all that a grammar allows: without a transcript, phones.

Of the sentences that :class:`speechattn.decoder.lm.jsgf.Grammar` draws with the slots of a recording
(``intents.json``: what it is about, without the words around that), the ones whose phones are the
closest to those that a model hears are aligned with it; the one that fits best counts as said.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import kaldialign
import numpy as np
from tqdm import tqdm

from speechattn.audio.load import AudioFile
from speechattn.corpora.corpus import Corpus, Utterance, read_table
from speechattn.decoder.decoder import decode
from speechattn.decoder.forced_alignment import LEAST_PHONE_FRAMES, Alignment, force_align
from speechattn.decoder.lm.jsgf import Grammar
from speechattn.decoder.lm.lexicon import Lexicon
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.inference.recognizer import Recognizer
from speechattn.phones import PhoneSet
from speechattn.segments import frame_to_seconds, segments_from_runs
from speechattn.text import one_line

MACHINE_PHONES = "phones.machine"
DOUBT = {"substitution": 8.0, "deletion": 8.0}  # nats it costs not to believe a machine's phone
LOWEST_SCORE = -1.8  # nats; utterances whose phones' mean log posterior is lower are left out


INTENTS = "intents.json"
DRAWN = 1000  # sentences for a recording
ALIGNED = 10  # of them, the closest


def realign(
    corpus: Corpus, model: Recognizer, sentences: SentenceHypotheses | None = None
) -> Corpus:
    """Give the utterances of a corpus the alignments that a model finds.

    Args:
        corpus: with alignments, or with ``phones.machine`` in its folder.
        model: with the phones of the corpus.
        sentences: what may have been said, for a corpus that has neither.

    Returns:
        The corpus with new alignments, what could not be aligned among its problems.

    Raises:
        CorpusError: if the corpus has no phones and no sentences are given, or none of it can be
            aligned.
    """
    aligned, problems = [], []
    strings = {} if sentences else _machine_strings(corpus, problems.append)
    for utterance in tqdm(corpus.utterances, desc=f"realign {corpus.name}", unit="file"):
        try:
            log_posteriors = np.concatenate(list(model.log_posteriors(_blocks(utterance))))
            if sentences:
                found = sentences.align(utterance.id, log_posteriors)
            else:
                found = _align(utterance, strings, log_posteriors, model.phones)
            aligned.append(_realigned(utterance, found, len(log_posteriors), model.phones))
        except (SpeechattnError, OSError) as error:
            problems.append(f"{corpus.name}: {utterance.id}: {one_line(str(error))}")
    if not aligned:
        raise CorpusError(
            f"{corpus.folder}: no utterance could be realigned; take it out of realign and train, "
            f"or begin with another model; the first problem: {problems[0]}"
        )
    return dataclasses.replace(
        corpus, utterances=tuple(aligned), problems=(*corpus.problems, *problems)
    )


def _machine_strings(corpus: Corpus, report: Callable[[str], None]) -> dict[str, str]:
    """Utterance → phones of ``phones.machine``; nothing if the corpus has alignments."""
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
    """Place the phones of an utterance's alignment, or else those of its machine string."""
    if utterance.alignment:
        labels, doubt = [segment.label for segment in utterance.alignment], {}
    else:
        labels, doubt = strings.get(utterance.id, "").split(), DOUBT
    if unknown := [label for label in labels if label not in phones.index]:
        raise CorpusError(f"unknown phone {unknown[0]!r}; use those of the model")
    spoken = [phones.index[label] for label in labels if label != phones.silence]
    if not spoken:
        raise CorpusError("no phones to align; list them or leave the utterance out")
    found = force_align(log_posteriors, spoken, phones.silence_index, **doubt)
    if found is None:
        raise CorpusError(f"too short for its {len(spoken)} phones")
    return found


def _realigned(utterance: Utterance, found: Alignment, frames: int, phones: PhoneSet) -> Utterance:
    if found.score < LOWEST_SCORE:
        raise CorpusError(f"its phones do not fit the audio (score {found.score:.2f})")
    segments = segments_from_runs(found.runs, phones.names, frame_to_seconds(frames))
    return dataclasses.replace(utterance, alignment=tuple(segments))


def _blocks(utterance: Utterance) -> Iterator[np.ndarray]:
    with AudioFile(utterance.path) as audio:
        yield from audio.blocks()


class SentenceHypotheses:
    """What may have been said in the recordings of a corpus.

    Args:
        grammar: of its sentences; slots that it does not know are left out.
        lexicon: how its words are said, in any of the ways.
        folder: of the corpus, with ``intents.json``: recording (as ``name`` or ``name.wav``) →
            ``slots`` → the words of each.

    Raises:
        CorpusError: if the intents cannot be read.
    """

    def __init__(self, grammar: Grammar, lexicon: Lexicon, folder: Path):
        self._grammar = grammar
        self._lexicon = lexicon
        self._hearing = PhoneModel.uniform(len(lexicon.phones), min_frames=LEAST_PHONE_FRAMES)
        self._slots = _read_slots(folder / INTENTS)

    def align(self, name: str, log_posteriors: np.ndarray) -> Alignment:
        """Find the sentence that was said, and where its phones lie.

        Args:
            name: of the recording.
            log_posteriors: what a model heard in it, shape (frames, classes).

        Raises:
            CorpusError: if the recording is not listed, the grammar has no sentence for its slots
                or the lexicon not all words, or it is too short for the sentences.
        """
        slots = self._slots.get(name, self._slots.get(f"{name}.wav"))
        if slots is None:
            raise CorpusError(f"{INTENTS} does not list it; add it or leave the recording out")
        random = np.random.default_rng([*name.encode()])
        drawn = self._grammar.sentences(DRAWN, random, slots)
        said = list(dict.fromkeys(self._pronounce(words, random) for words in drawn))
        silence = self._lexicon.phones.silence_index
        heard = decode(log_posteriors, self._hearing)
        heard = [run.phone for run in heard if run.phone != silence]
        said.sort(key=lambda phones: kaldialign.edit_distance(heard, list(phones))["total"])
        found = [force_align(log_posteriors, phones, silence) for phones in said[:ALIGNED]]
        fitting = [alignment for alignment in found if alignment is not None]
        if not fitting:
            raise CorpusError("too short for any sentence of the grammar")
        return max(fitting, key=lambda alignment: _fit(alignment, log_posteriors))

    def _pronounce(self, words: list[str], random: np.random.Generator) -> tuple[int, ...]:
        self._lexicon.require(" ".join(words))
        return tuple(phone for word in words for phone in self._lexicon.draw(word, random))


def _fit(alignment: Alignment, log_posteriors: np.ndarray) -> tuple[float, int]:
    """Log likelihood; of what is as likely, such as a phone and the same one twice, the shorter."""
    parts = (log_posteriors[run.start : run.end, run.phone].sum() for run in alignment.runs)
    return round(float(sum(parts)), 3), -len(alignment.runs)


def _read_slots(path: Path) -> dict[str, dict[str, str]]:
    """Recording → slots → words."""
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
