"""TIMIT, as LDC93S1 has it: ``TRAIN`` and ``TEST``, dialects, speakers, sentences.

Names may be in either case. ``.PHN`` and ``.WRD`` count samples of 16 kHz. The two sentences that
every speaker reads (SA) are left out, as is usual. Splits: ``train``, ``dev`` (50 speakers),
``test`` (the core test set of 24) and ``test_complete`` (all 168).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder
from speechattn.corpora.readers.finding import child, files_under
from speechattn.corpora.readers.labels import LabelMap
from speechattn.corpora.readers.textgrid import Interval
from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError
from speechattn.files import resource

RATE = 16_000  # Hz, of the samples that labels count
MOST_DIGITS = 15  # of such a number; more are years of sound
NATIVE = ("timit61", "timit48", "timit39")


def matches(folder: Path) -> bool:
    """Whether this is TIMIT: folders ``TRAIN`` or ``TEST`` of dialects ``DR1`` to ``DR8``."""
    root = _root(folder)
    return root is not None and any(
        child(part, f"dr{i}") for part in _parts(root).values() for i in range(1, 9)
    )


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read TIMIT; see :func:`speechattn.corpora.readers.read_published`."""
    root = _root(folder)
    if root is None:
        raise CorpusError(f"{folder}: no folder TRAIN or TEST in it; give the one that has them")
    builder = CorpusBuilder(folder, LabelMap(phones, NATIVE))
    for part, path in _parts(root).items():
        _read_part(path, part, builder)
    return builder.corpus()


@functools.cache
def standard_speakers() -> dict[str, frozenset[str]]:
    """The speakers of ``dev`` and ``test`` in lower case, from ``data/timit_speakers.tsv``."""
    rows = [
        line.split("\t")
        for line in resource("data", "timit_speakers.tsv").read_text("utf-8").splitlines()
        if not line.startswith("#")
    ]
    return {name: frozenset(s for kind, s in rows if kind == name) for name in ("dev", "test")}


def _root(folder: Path) -> Path | None:
    """The folder that holds ``TRAIN`` and ``TEST``: this one, or ``TIMIT`` in it."""
    inner = child(folder, "timit")
    for path in (folder, inner, inner and child(inner, "timit")):
        if path and _parts(path):
            return path
    return None


def _parts(root: Path) -> dict[str, Path]:
    found = {name: child(root, name) for name in ("train", "test")}
    return {name: path for name, path in found.items() if path is not None and path.is_dir()}


def _read_part(path: Path, part: str, builder: CorpusBuilder) -> None:
    """The sentences of ``TRAIN`` or ``TEST``."""
    sentences: dict[tuple[Path, str], dict[str, Path]] = {}
    for file in files_under(path, ".wav", ".phn", ".wrd", ".txt"):
        stem, _, suffix = file.name.lower().partition(".")
        # Some copies hold sa1.wav (SPHERE) and, converted, sa1.wav.wav.
        sentences.setdefault((file.parent, stem), {}).setdefault(suffix[:3], file)
    for (speaker_folder, stem), files in sorted(sentences.items()):
        speaker = speaker_folder.name.upper()
        if stem.startswith("sa") or stem[:2] not in ("si", "sx"):
            continue
        if missing := {"phn", "wav"} - files.keys():
            at = speaker_folder / stem
            builder.report(f"{at}: no .{' or .'.join(sorted(missing)).upper()} of this sentence")
            continue
        try:
            intervals = _read_labels(files["phn"])
            words = _read_labels(files["wrd"], overlaps=True) if "wrd" in files else ()
        except CorpusError as error:
            builder.report(str(error))
            continue
        builder.add(
            f"{speaker}_{stem.upper()}",
            files["wav"],
            speaker,
            text=" ".join(word.label for word in words) or None,
            phones=intervals,
            words=words,
            labels_from=files["phn"],
            splits=_splits(part, speaker),
        )


def _splits(part: str, speaker: str) -> list[str]:
    if part == "train":
        return ["train"]
    own = [name for name, known in standard_speakers().items() if speaker.lower() in known]
    return [*own, "test_complete"]


def _read_labels(path: Path, overlaps: bool = False) -> Sequence[Interval]:
    """The lines of a ``.PHN`` or ``.WRD``: first sample, sample after the last, label."""
    found: list[Interval] = []
    end = 0
    for number, line in read_lines(path):
        columns = line.split(None, 2)
        if len(columns) != 3 or not all(map(_is_sample, columns[:2])):
            raise CorpusError(f"{path}:{number}: {line[:60]!r}; write: first-sample end label")
        start, stop = int(columns[0]), int(columns[1])
        if stop <= start or (start < end and not overlaps):
            raise CorpusError(
                f"{path}:{number}: {columns[2]!r} from sample {start} to {stop} has no length or "
                f"begins before the label before it ends ({end}); correct it"
            )
        found.append(Interval(columns[2], start / RATE, stop / RATE, number))
        end = stop
    if not found:
        raise CorpusError(f"{path}: is empty; every sentence has labels")
    return found


def _is_sample(text: str) -> bool:
    """Whether a text is the number of a sample."""
    return text.isdecimal() and len(text) <= MOST_DIGITS
