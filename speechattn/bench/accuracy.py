"""``speechattn bench accuracy``: models and other recognizers on labelled recordings.

Every recording is read once and goes through all systems in turn. An utterance that one of them
fails on counts for none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from speechattn.bench.accuracy_systems import ModelSystem, System, load_systems
from speechattn.bench.conditions_measure import evenly, speaker_groups
from speechattn.bench.output import prepare_folder, write_files
from speechattn.bench.peers import PEERS, is_installed
from speechattn.bench.process import machine_facts, torch_threads
from speechattn.corpora.alignment import reference_runs
from speechattn.corpora.corpus import Corpus, Utterance, read_entry
from speechattn.corpora.spans import utterance_audio
from speechattn.errors import AudioError, CorpusError, UsageError
from speechattn.evaluation.metrics import phone_errors
from speechattn.evaluation.phone_features import PhoneFeatures
from speechattn.evaluation.phone_features import is_installed as panphon_is_installed
from speechattn.evaluation.scores import Counts, count_utterance
from speechattn.phones import PhoneSet
from speechattn.progress import Progress
from speechattn.segments import num_frames

NAME = "accuracy"  # of the files


@dataclass(frozen=True)
class Row:
    """One utterance as one system recognised it.

    Attributes:
        system: its name.
        set: that the utterance is of.
        speaker: whose it is.
        utterance: its id.
        groups: of speakers that it belongs to.
        counts: agreement with the reference.
        feature_errors: cost of :meth:`~speechattn.evaluation.phone_features.PhoneFeatures.errors`.
        feature_segments: of the reference; 0 where panphon is not installed.
        word_errors: substitutions, insertions and deletions of words.
        words: of the text; 0 where that or the words of the system are not known.
    """

    system: str
    set: str
    speaker: str
    utterance: str
    groups: tuple[str, ...]
    counts: Counts
    feature_errors: float = 0.0
    feature_segments: int = 0
    word_errors: int = 0
    words: int = 0


@dataclass
class Results:
    """All that was scored.

    Attributes:
        systems: names, in the order of the report.
        sets: names, as given.
        rows: one for each utterance and system.
        problems: one line for each utterance that cannot be scored.
        failures: one line for each recording that cannot be read.
    """

    systems: list[str]
    sets: list[str]
    rows: list[Row] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def bench_accuracy(
    *,
    models: Sequence[str],
    readings: Sequence[str],
    lm_scales: Sequence[float],
    peers: Sequence[str] | None,
    corpora: str | Path,
    sets: Sequence[str],
    limit: int,
    window: tuple[int, int] | None,
    precision: str,
    threads: int,
    output_dir: str | Path | None,
    publish: Callable[[str], None],
    report: Callable[[str], None],
) -> Results:
    """Score models and peers on labelled corpora.

    Args:
        models: names or folders.
        readings: of :data:`~speechattn.bench.accuracy_systems.READINGS`; every model is scored with
            each of them.
        lm_scales: every model is scored with each of these weights of words and n-grams as well.
        peers: of :data:`~speechattn.bench.peers.PEERS`; None for those that are installed.
        corpora: folder of the corpora.
        sets: ``corpus/split`` or ``corpus/all`` each.
        limit: utterances of a set, evenly spread over it; 0 for all.
        window: 10 ms frames that every block of the encoder sees of the past and of the future, of
            models trained for any; None for their own.
        precision: of the encoder's matrix products.
        threads: of PyTorch.
        output_dir: folder for ``accuracy.md``, ``.csv`` and ``.png``; None to write no files.
        publish: receives the report, in Markdown, before files are written.
        report: receives a line for the user for every utterance that is not scored.

    Raises:
        SpeechattnError: if something that is needed is missing or cannot be read.
        UsageError: if the folder cannot be written.
    """
    from speechattn.bench.accuracy_report import csv_report, markdown_report, picture

    folder = None if output_dir is None else Path(output_dir)
    if folder is not None:
        prepare_folder(folder)  # before minutes are spent
    peers = [name for name in PEERS if is_installed(name)] if peers is None else peers
    for name in peers:
        if not is_installed(name):
            raise UsageError(
                f"{name} is not installed; run `pip install 'speechattn[bench]'` or choose others "
                "with --peer"
            )
    systems, phones = load_systems(models, readings, peers, window, precision, lm_scales)
    with torch_threads(threads):
        results = measure(systems, phones, Path(corpora), sets, limit)
    facts = {
        "systems": ", ".join(results.systems),
        "utterances": f"{limit} of each set, evenly spread" if limit else "all",
        "precision": precision,
        "left out": str(len(results.problems) + len(results.failures)),
        **machine_facts(["torch", *peers, "panphon"]),
    }
    text = markdown_report(results, facts)
    publish(text)
    if folder is not None:
        write_files(folder, {f"{NAME}.md": text, f"{NAME}.csv": csv_report(results)})
        picture(folder / f"{NAME}.png", results)
    for problem in results.problems:
        report(f"left out: {problem}")
    for failure in results.failures:
        report(f"failed: {failure}")
    return results


def measure(
    systems: Sequence[System], phones: PhoneSet, corpora: Path, sets: Sequence[str], limit: int = 0
) -> Results:
    """Score all systems, with progress on standard error.

    Args:
        systems: at least one.
        phones: classes of the labels, of references and of systems.
        corpora: folder of the corpora.
        sets: ``corpus/split`` or ``corpus/all`` each.
        limit: utterances of a set; 0 for all.

    Raises:
        CorpusError: if a set is missing, or nothing can be scored.
    """
    results = Results([system.name for system in systems], list(sets))
    features = PhoneFeatures(phones) if panphon_is_installed() else None
    read = {name: read_entry(corpora, name, phones=phones) for name in sets}
    chosen = {name: evenly(corpus.utterances, limit) for name, corpus in read.items()}
    total = sum(map(len, chosen.values()))
    with Progress("", total, unit="utterance") as progress, torch.inference_mode():
        for name, utterances in chosen.items():
            progress.describe(name)
            results.problems += read[name].problems
            groups = _groups(read[name], utterances, results)
            for utterance in utterances:
                progress.update()
                try:
                    rows = _score(systems, phones, features, name, utterance)
                except AudioError as error:
                    results.failures.append(str(error))
                except CorpusError as error:
                    results.problems.append(str(error))
                else:
                    of_speaker = tuple(groups[utterance.speaker])
                    results.rows += [replace(row, groups=of_speaker) for row in rows]
    if not results.rows:
        first = [*results.failures, *results.problems][0]
        raise CorpusError(f"no recording could be scored; first: {first}")
    return results


def _groups(
    corpus: Corpus, utterances: Sequence[Utterance], results: Results
) -> dict[str, list[str]]:
    speakers = list(dict.fromkeys(utterance.speaker for utterance in utterances))
    return speaker_groups(corpus.folder, speakers, results.problems.append)


def _score(
    systems: Sequence[System],
    phones: PhoneSet,
    features: PhoneFeatures | None,
    name: str,
    utterance: Utterance,
) -> list[Row]:
    """One row a system."""
    samples = utterance_audio(utterance)
    frames = num_frames(len(samples))
    where = f"{name}: {utterance.id}"
    reference = reference_runs(utterance.alignment or (), frames, phones, name=where)
    expected = [segment.phone for segment in reference]
    rows = []
    for system in systems:
        recognised, labels = system.recognise(samples)
        counts = count_utterance(reference, recognised, labels, phones)
        row = Row(system.name, name, utterance.speaker, utterance.id, (), counts)
        if features is not None:
            cost, segments = features.errors(expected, [one.phone for one in recognised])
            row = replace(row, feature_errors=cost, feature_segments=segments)
        said = system.words(recognised) if isinstance(system, ModelSystem) else None
        if said is not None and utterance.text:
            text = words_of(utterance.text)
            errors = sum(phone_errors(*numbered(text, words_of(" ".join(said)))))
            row = replace(row, word_errors=errors, words=len(text))
        rows.append(row)
    return rows


def words_of(text: str) -> list[str]:
    """Return the words of a text as they are compared: letters, digits, apostrophes within."""
    kept = "".join(c if c.isalnum() or c in "'<>" else " " for c in text.lower().replace("’", "'"))
    return [word for word in (part.strip("'") for part in kept.split()) if word]


def numbered(*strings: Sequence[str]) -> list[list[int]]:
    """Return strings of words as strings of numbers, the same for the same word."""
    numbers: dict[str, int] = {}
    return [[numbers.setdefault(word, len(numbers)) for word in string] for string in strings]
