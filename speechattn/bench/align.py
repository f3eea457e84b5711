"""``speechattn bench align``: alignments against those of a corpus, wrong words, long recordings.

The alignments of a corpus are perhaps automatic themselves: then this measures how far two
programs agree, and not which of them is right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechattn.alignment.aligner import AlignedRecording, Aligner
from speechattn.alignment.loading import make_aligner
from speechattn.audio.features import FrontEnd
from speechattn.bench.align_long import align_as_one
from speechattn.bench.boundaries import NEAR, Agreement, read_spans
from speechattn.bench.output import prepare_folder, write_files
from speechattn.bench.process import check_psutil
from speechattn.corpora.corpus import Utterance, read_corpus
from speechattn.errors import SpeechattnError
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.inference.transcription import Prepared, TranscribeOptions
from speechattn.segments import SAMPLE_RATE, frame_to_seconds
from speechattn.text import table

OPTIONS = TranscribeOptions(posteriors=False)


@dataclass(frozen=True)
class Heard:
    """An utterance.

    Attributes:
        utterance: with its text.
        frames: of the front end, shape (frames, dimension).
        log_posteriors: shape (frames, phones).
    """

    utterance: Utterance
    frames: np.ndarray
    log_posteriors: np.ndarray


@dataclass(frozen=True)
class WrongWords:
    """Words of texts in which some were replaced, and how many of them were reported.

    Attributes:
        wrong: words that were replaced.
        found: of those, the ones that were reported.
        right: words that were left as they are.
        alarms: of those, the ones that were reported.
    """

    wrong: int
    found: int
    right: int
    alarms: int


def bench_align(
    corpus: Path,
    *,
    split: str | None,
    model: str,
    lexicons: Sequence[str],
    wrong: float,
    seed: int,
    output_dir: Path | None,
    publish: Callable[[str], None],
    report: Callable[[str], None],
) -> None:
    """Measure and publish.

    Args:
        corpus: folder with ``text``, ``words.ctm`` and ``phones.ctm``.
        split: of it; None for all.
        model: name or folder.
        lexicons: as for ``speechattn align``.
        wrong: share of words that are replaced by others of the corpus.
        seed: for drawing them.
        output_dir: folder for ``align.md``; None for none.
        publish: called with the report in Markdown.
        report: called with messages.

    Raises:
        CorpusError: if the corpus cannot be read.
        UsageError: if psutil is not installed, which measures memory.
    """
    check_psutil()
    if output_dir is not None:
        prepare_folder(output_dir)
    recognizer = load_model(model, device="cpu")
    phones = recognizer.phones
    aligner = make_aligner(recognizer, lexicons)
    read = read_corpus(corpus, phones=phones, split=split, alignments=False)
    words, spoken = (read_spans(corpus, kind, phones.silence) for kind in ("words", "phones"))
    heard = [*_hear(recognizer, [each for each in read if each.text and each.id in words])]
    seconds = frame_to_seconds(sum(len(each.log_posteriors) for each in heard))
    agreement = Agreement(), Agreement()
    refused: list[str] = []
    began = time.process_time()
    found: dict[str, AlignedRecording] = {}
    for each in heard:
        try:
            found[each.utterance.id] = align(aligner, each, str(each.utterance.text))
        except SpeechattnError as error:
            refused.append(f"{each.utterance.id}: {error}")
    took = time.process_time() - began
    for name, aligned in found.items():
        agreement[0].add(aligned.transcription.words or [], words[name])
        ours = [p for p in aligned.transcription.phones if p.label != phones.silence]
        agreement[1].add(ours, spoken[name])
    lines = ["# Alignment\n", f"{corpus.name} {split or ''}: {len(heard)} recordings, "]
    lines[-1] += f"{seconds / 60:.1f} minutes, model {model}; {len(refused)} refused. "
    lines[-1] += f"Alignment without the encoder: {seconds / took:.0f} x real time on one core.\n"
    lines += [f"refused: {each}\n" for each in refused]
    lines.append(_boundary_table(*agreement))
    lines.append("\n" + _pause_table(agreement[0]))
    report("boundaries measured; now wrong words")
    result = wrong_words(aligner, heard, wrong, seed)
    lines.append(
        f"\nOf {result.wrong} words replaced by others of the corpus (one in {1 / wrong:.0f}), "
        f"{100 * result.found / max(1, result.wrong):.1f} % are reported; of {result.right} left "
        f"as they are, {100 * result.alarms / max(1, result.right):.2f} %.\n"
    )
    report("wrong words measured; now one long recording")
    kept = [each.utterance for each in heard if each.utterance.id in found]
    long = align_as_one(
        [(u.path, str(u.text), found[u.id].transcription.words or []) for u in kept],
        model,
        lexicons,
    )
    memory = "unknown" if long.bytes is None else f"{long.bytes / 1e9:.2f} GB"
    lines.append(
        f"\n`speechattn align` of all as one recording of {long.minutes:.1f} minutes with one "
        f"text of {long.words} words: {long.seconds:.1f} s on one core, start and encoder "
        f"included ({long.minutes * 60 / long.seconds:.0f} x real time), memory at most {memory}; "
        f"{100 * long.moved:.2f} % of the word boundaries more than 20 ms from where they were "
        "found alone.\n"
    )
    text = "\n".join(lines)
    publish(text)
    if output_dir is not None:
        write_files(output_dir, {"align.md": text})


def _hear(recognizer: Recognizer, utterances: Sequence[Utterance]) -> Iterator[Heard]:
    front_end = FrontEnd(recognizer.checkpoint.front_end)
    for utterance in utterances:
        prepared = recognizer.prepare(utterance.path, OPTIONS)
        try:
            frames, posteriors = prepared.frames, recognizer.encode_short(prepared)
            if frames is None or posteriors is None:
                blocks = list(prepared.blocks)
                frames = front_end(np.concatenate(blocks))
                posteriors = np.concatenate([*recognizer.log_posteriors(iter(blocks))])
        finally:
            prepared.close()
        yield Heard(utterance, frames, posteriors)


def align(aligner: Aligner, heard: Heard, text: str) -> AlignedRecording:
    """Align an utterance with a text.

    Raises:
        AlignmentError: as :meth:`Aligner.finish`.
    """
    names = aligner.recognizer.phones.names
    duration = frame_to_seconds(len(heard.log_posteriors))
    prepared = Prepared(OPTIONS, names, duration, SAMPLE_RATE, heard.frames, iter(()))
    return aligner.finish(aligner.read(text), prepared, heard.log_posteriors)


def _boundary_table(words: Agreement, phones: Agreement) -> str:
    rows = []
    for name, one in (("words", words), ("phones", phones)):
        parts = one.beside_pauses()
        differences = one.differences
        rows.append(
            [
                name,
                str(len(differences)),
                f"{100 * one.within():.1f} %",
                *(f"{100 * part:.1f} %" for part in parts),
                f"{1000 * float(np.abs(differences).mean()):.1f}",
                f"{1000 * float(np.median(differences)):+.1f}",
                str(one.unmatched),
            ]
        )
    head = [
        "boundaries of",
        "compared",
        "within 20 ms",
        "starts after a pause",
        "ends before a pause",
        "others",
        "ms apart, mean",
        "ms later, median",
        "without a counterpart",
    ]
    return table(head, rows)


def _pause_table(words: Agreement) -> str:
    """Word boundaries by who has a pause there."""
    rows = []
    for name, differences in words.by_pauses().items():
        near = np.abs(differences) <= NEAR + 1e-6
        rows.append([name, str(len(differences)), str(int((~near).sum()))])
    return table(["word boundaries with", "compared", "more than 20 ms apart"], rows)


def wrong_words(aligner: Aligner, heard: Sequence[Heard], share: float, seed: int) -> WrongWords:
    """Replace words by others, drawn at random from those of the corpus, and align the texts."""
    random = np.random.default_rng(seed)
    vocabulary = sorted({word for each in heard for word in str(each.utterance.text).split()})
    wrong = found = right = alarms = 0
    for each in heard:
        words, replaced = [], []
        for word in str(each.utterance.text).split():
            other = word
            if random.random() < share:
                while other == word and len(vocabulary) > 1:
                    other = vocabulary[random.integers(len(vocabulary))]
            words.append(other)
            replaced.append(other != word)
        read = aligner.read(" ".join(words))
        if len(read.words) != len(words):
            continue  # a word was taken for several
        try:
            faults = align(aligner, each, " ".join(words)).faults
            reported = {number for fault in faults for number in fault.numbers}
        except SpeechattnError:
            reported = set(range(len(words)))  # all of it is refused
        for number, is_wrong in enumerate(replaced):
            wrong, right = wrong + is_wrong, right + (not is_wrong)
            found += is_wrong and number in reported
            alarms += not is_wrong and number in reported
    return WrongWords(wrong, found, right, alarms)
