"""Common Voice: ``clips``, and tables of tab-separated columns: ``train``, ``dev`` and ``test``.

Where none of these three is there, ``validated.tsv`` is read. There are no alignments.
"""

from __future__ import annotations

from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder
from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError

SPLITS = ("train", "dev", "test")
COLUMNS = ("client_id", "path", "sentence")


def matches(folder: Path) -> bool:
    """Whether this is Common Voice: ``clips`` and a table."""
    return (folder / "clips").is_dir() and bool(_tables(folder))


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read one language of Common Voice; see :func:`speechattn.corpora.readers.read_published`.

    Args:
        folder: of the language.
        phones: not used, since it has no alignments.
    """
    builder = CorpusBuilder(folder)
    tables = _tables(folder)
    if not tables:
        names = ", ".join(f"{name}.tsv" for name in (*SPLITS, "validated"))
        raise CorpusError(f"{folder}: none of {names}; give the folder of one language")
    for table in tables:
        try:
            _read_table(folder, table, builder)
        except CorpusError as error:
            builder.report(str(error))
    return builder.corpus()


def _tables(folder: Path) -> list[Path]:
    found = [path for name in SPLITS if (path := folder / f"{name}.tsv").is_file()]
    other = folder / "validated.tsv"
    return found or ([other] if other.is_file() else [])


def _read_table(folder: Path, table: Path, builder: CorpusBuilder) -> None:
    """Add the clips of one table."""
    lines = read_lines(table, strip=False)
    header = lines[0][1].split("\t") if lines else []
    if missing := [name for name in COLUMNS if name not in header]:
        raise CorpusError(f"{table}:1: no column {', '.join(missing)}; give a table as published")
    wanted = [header.index(name) for name in COLUMNS]
    splits = [table.stem] if table.stem in SPLITS else []
    for number, line in lines[1:]:
        columns = line.split("\t")
        if len(columns) <= max(wanted):
            builder.report(f"{table}:{number}: {len(columns)} columns of {len(header)}; correct it")
            continue
        speaker, clip, sentence = (columns[i].strip() for i in wanted)
        if not (speaker and clip and sentence):
            builder.report(f"{table}:{number}: no {' or '.join(COLUMNS)}; fill it or leave it out")
            continue
        audio = folder / "clips" / (clip if "." in clip else f"{clip}.mp3")
        builder.add(audio.stem, audio, speaker, text=sentence, labels_from=table, splits=splits)
