"""Recordings with their words beside them: ``anna/one.wav``, ``anna/one.txt`` or ``anna/one.lab``.

There are no alignments. Fine-tuning reads such folders as they are, with the same names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder
from speechattn.corpora.readers.finding import audio_under, files_under
from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError

SUFFIXES = (".txt", ".lab")
GRID = ".textgrid"
LABELS = (".phn", ".wrd", ".phones")  # beside a recording, they say that it is of another format
_TIMED = re.compile(r"[\d.]+\s+[\d.]+\s+\S")  # a line of labels: start, end, label


def matches(folder: Path) -> bool:
    """Whether a recording has its words beside it, and there are no labels of another format."""
    texts = _texts(folder)
    found = any(path.with_suffix("") in texts for path in audio_under(folder))
    return found and not files_under(folder, *LABELS)


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read recordings and their texts; see :func:`speechattn.corpora.readers.read_published`.

    Args:
        folder: searched with all its folders.
        phones: not used, since it has no alignments.
    """
    builder = CorpusBuilder(folder)
    texts = _texts(folder)
    grids = {path.with_suffix("") for path in files_under(folder, GRID)}
    used = set()
    for audio in audio_under(folder):
        stem = audio.with_suffix("")
        used.add(stem)
        name, speaker = name_and_speaker(folder, audio)
        try:
            sources = texts.get(stem, [])
            if not sources:
                raise CorpusError(_missing(audio, has_grid=stem in grids))
            if len(sources) > 1:
                both = " and ".join(map(str, sources))
                raise CorpusError(f"{audio}: two transcripts, {both}; remove one")
            text = _read_text(sources[0])
        except CorpusError as error:
            builder.report(str(error))
        else:
            builder.add(name, audio, speaker, text=text)
    for stem in sorted(texts.keys() - used):
        for path in texts[stem]:
            builder.note(f"{path}: a transcript of no recording; left out")
    return builder.corpus()


def name_and_speaker(folder: Path, audio: Path) -> tuple[str, str]:
    """What a recording and its speaker are called.

    The speaker of ``anna/one.wav`` is ``anna``, and its utterance ``anna-one``; recordings at the
    top are of one speaker, who has the name of the folder.

    Args:
        folder: of the corpus.
        audio: recording below it.
    """
    parts = ["_".join(part.split()) for part in audio.relative_to(folder).with_suffix("").parts]
    speaker = parts[0] if len(parts) > 1 else "_".join(folder.resolve().name.split())
    return "-".join(parts), speaker


def _texts(folder: Path) -> dict[Path, list[Path]]:
    """Path without suffix → the transcripts of that name."""
    found: dict[Path, list[Path]] = {}
    for path in files_under(folder, *SUFFIXES):
        found.setdefault(path.with_suffix(""), []).append(path)
    return found


def _missing(audio: Path, *, has_grid: bool) -> str:
    names = " or ".join(audio.with_suffix(suffix).name for suffix in SUFFIXES)
    more = "; --format mfa reads a TextGrid with phones" if has_grid else ""
    return f"{audio}: no transcript; write its words into {names} beside it{more}"


def _read_text(path: Path) -> str:
    """Read the words of a recording.

    Raises:
        CorpusError: if there are none, or they cannot be read.
    """
    lines = [line for _, line in read_lines(path)]
    text = " ".join(lines)
    if not text:
        raise CorpusError(f"{path}: is empty; write what is said in the recording")
    if "\0" in text:
        raise CorpusError(
            f"{path}: is perhaps in UTF-16 without a byte order mark; save it as UTF-8"
        )
    refuse_labels(path, lines)
    return text


def refuse_labels(path: Path, lines: Sequence[str]) -> None:
    """Refuse labels with times, of HTK or Audacity, in place of words.

    Args:
        path: of the file, for the message.
        lines: what stands in it.

    Raises:
        CorpusError: if every line is such a label.
    """
    if len(lines) > 1 and all(map(_TIMED.match, lines)):
        raise CorpusError(f"{path}: has labels with times; write the words alone")
