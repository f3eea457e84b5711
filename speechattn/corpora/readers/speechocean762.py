"""speechocean762, as OpenSLR 101 has it: ``WAVE``, ``train`` and ``test``; no alignments.

The paths of ``wav.scp`` count from the corpus folder, not from the folder of the split.
"""

from __future__ import annotations

from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder
from speechattn.corpora.tables import read_lines, read_table
from speechattn.errors import CorpusError

SPLITS = ("train", "test")


def matches(folder: Path) -> bool:
    """Whether this is speechocean762: ``WAVE``, and ``wav.scp`` in ``train`` or ``test``."""
    return (folder / "WAVE").is_dir() and any((folder / s / "wav.scp").is_file() for s in SPLITS)


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read speechocean762; see :func:`speechattn.corpora.readers.read_published`.

    Args:
        folder: of the corpus.
        phones: not used, since it has no alignments.
    """
    builder = CorpusBuilder(folder)
    for split in SPLITS:
        part = folder / split
        try:
            lines = read_lines(part / "wav.scp")
            names = [line.split(None, 1)[0] for _, line in lines]
            texts = read_table(part / "text", names, builder.note)
            speakers = read_table(part / "utt2spk", names, builder.note)
        except CorpusError as error:
            builder.report(str(error))
            continue
        for number, line in lines:
            name, *path = line.split(None, 1)
            where = f"{part / 'wav.scp'}:{number}: {name}"
            if not path:
                builder.report(f"{where} has no path; write: utterance path")
            elif "|" in (path[0][:1], path[0][-1:]):
                builder.report(f"{where}: a pipe is never executed; give the path of a file")
            elif name not in texts:
                builder.report(f"{part / 'text'}: no line for {name}; write its transcript")
            elif name not in speakers:
                builder.report(f"{part / 'utt2spk'}: no line for {name}; write its speaker")
            else:
                builder.add(
                    name, folder / path[0], speakers[name], text=texts[name], splits=[split]
                )
    return builder.corpus()
