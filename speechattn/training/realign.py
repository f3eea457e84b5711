"""Realignment: the phones of a training corpus, placed anew by a model.

What aligned a corpus first may have been worse than a model trained on it. The phones are those of
its alignment; a corpus without one has in ``phones.machine`` (utterance, phones) the strings that
some recognizer heard, which are taken with a grain of salt: a phone in them may be another one or
none at all where the model clearly disagrees. A grammar of what may have been said does without
them (:mod:`speechattn.training.said`). Utterances that fit badly are left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from tqdm import tqdm

from speechattn.audio.load import AudioFile
from speechattn.corpora.corpus import Corpus, Utterance, read_table
from speechattn.decoder.forced_alignment import Alignment, force_align
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.inference.recognizer import Recognizer
from speechattn.phones import PhoneSet
from speechattn.segments import segments_from_runs
from speechattn.text import one_line
from speechattn.timing import frame_to_seconds
from speechattn.training.said import Sentences

MACHINE_PHONES = "phones.machine"
DOUBT = {"substitution": 8.0, "deletion": 8.0}  # nats it costs not to believe a machine's phone
LOWEST_SCORE = -1.8  # nats; utterances whose phones' mean log posterior is lower are left out


def realign(corpus: Corpus, model: Recognizer, sentences: Sentences | None = None) -> Corpus:
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
