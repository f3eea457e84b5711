"""A corpus without alignments, aligned by its texts with a model."""

from __future__ import annotations

import dataclasses

from speechattn.alignment.aligner import AlignedRecording, Aligner
from speechattn.alignment.pronunciations import PronouncingDictionary
from speechattn.alignment.reductions import Reductions
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.spans import utterance_audio
from speechattn.errors import CorpusError, SpeechattnError
from speechattn.inference.recognizer import Recognizer
from speechattn.machine import num_usable_cores
from speechattn.progress import with_progress
from speechattn.segments import SAMPLE_RATE
from speechattn.text import one_line
from speechattn.training.realignment.realign import LOWEST_SCORE
from speechattn.training.replicas import single_core_threads


def align_corpus(
    corpus: Corpus,
    model: Recognizer,
    dictionary: PronouncingDictionary,
    reductions: Reductions | None = None,
) -> Corpus:
    """Find the phones and words of every utterance by its text.

    Args:
        corpus: with texts.
        model: that hears.
        dictionary: how words are said, in the phones of the model.
        reductions: what may be said instead; None for the dictionary's forms alone.

    Returns:
        The corpus with alignments; utterances that cannot be aligned, or whose text does not fit,
        are in its problems.

    Raises:
        CorpusError: if nothing of it can be aligned.
    """
    aligner = Aligner(model, dictionary, reductions)

    def work(utterance: Utterance) -> AlignedRecording | Exception:
        try:
            text = utterance.text or ""
            if utterance.is_whole:
                return aligner.align(utterance.path, text)
            return aligner.align(utterance_audio(utterance), text, sample_rate=SAMPLE_RATE)
        except (SpeechattnError, OSError) as error:
            return error

    aligned: list[Utterance] = []
    problems: list[str] = []
    with single_core_threads(num_usable_cores()) as threads:
        results = threads.map(work, corpus.utterances)
        shown = with_progress(results, f"align {corpus.name}", len(corpus), unit="file")
        for found, utterance in zip(shown, corpus.utterances):
            reason = found if isinstance(found, Exception) else None
            if isinstance(found, AlignedRecording) and found.score < LOWEST_SCORE:
                reason = CorpusError(f"its words do not fit the audio (score {found.score:.2f})")
            if reason is not None:
                problems.append(f"{corpus.name}: {utterance.id}: {one_line(str(reason))}")
                continue
            assert isinstance(found, AlignedRecording)
            transcription = found.transcription
            aligned.append(
                dataclasses.replace(
                    utterance,
                    alignment=tuple(transcription.phones),
                    words=tuple(transcription.words or ()),
                    duration=utterance.duration or transcription.duration,
                )
            )
    return corpus_of(corpus, aligned, problems)


def corpus_of(corpus: Corpus, utterances: list[Utterance], problems: list[str]) -> Corpus:
    """Return a corpus with the utterances that were aligned, and why it lacks the others.

    Raises:
        CorpusError: if none was.
    """
    if not utterances:
        raise CorpusError(
            f"{corpus.folder}: no utterance could be aligned; the first problem: {problems[0]}"
        )
    return dataclasses.replace(
        corpus, utterances=tuple(utterances), problems=(*corpus.problems, *problems)
    )
