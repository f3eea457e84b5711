"""LibriSpeech, as OpenSLR 12 has it: subsets, speakers, chapters, a transcript file a chapter.

TextGrids of the Montreal Forced Aligner, named as the utterances, are used wherever they lie under
the folder, or in one of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder
from speechattn.corpora.readers.finding import (
    audio_under,
    files_under,
    has_file,
    read_words_and_phones,
)
from speechattn.corpora.readers.labels import LabelMap
from speechattn.corpora.readers.textgrid import Interval
from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError

NATIVE = ("arpabet_stress", "mfa_english")
SILENCES = ("", "sil", "sp")
TRANSCRIPTS = ".trans.txt"


def matches(folder: Path) -> bool:
    """Whether this is LibriSpeech: ``SPEAKER-CHAPTER.trans.txt`` in it."""
    return has_file(folder, TRANSCRIPTS, 4)


def read(folder: Path, *, phones: str | Path = "arpabet", alignments: Path | None = None) -> Corpus:
    """Read LibriSpeech; see :func:`speechattn.corpora.readers.read_published`."""
    builder = CorpusBuilder(folder, LabelMap(phones, NATIVE, SILENCES))
    grids = {path.stem: path for path in files_under(alignments or folder, ".textgrid")}
    audio = {path.stem: path for path in audio_under(folder)}
    unaligned: list[str] = []
    listed: set[str] = set()
    for transcripts in files_under(folder, TRANSCRIPTS):
        try:
            lines = read_lines(transcripts)
        except CorpusError as error:
            builder.report(str(error))
            continue
        for number, line in lines:
            name, *text = line.split(None, 1)
            where = f"{transcripts}:{number}: {name}"
            if name in listed:
                builder.note(f"{where} is listed more than once; the first line counts")
                continue
            listed.add(name)
            if not text:
                builder.report(f"{where} has no text; write it or leave the line out")
            elif name not in audio:
                builder.report(f"{where}: no recording {name}.flac; put it there or leave it out")
            else:
                if name not in grids:
                    unaligned.append(name)
                _add(builder, name, audio[name], text[0], grids.get(name), transcripts)
    for name in sorted(audio.keys() - listed):
        builder.report(f"{audio[name]}: no line of a *{TRANSCRIPTS} has its text")
    if grids and unaligned:
        builder.note(
            f"{alignments or folder}: no TextGrid for {len(unaligned)} utterances (first: "
            f"{unaligned[0]}.TextGrid); they have no phones"
        )
    return builder.corpus()


def _add(
    builder: CorpusBuilder, name: str, audio: Path, text: str, grid: Path | None, source: Path
) -> None:
    words: Sequence[Interval] = ()
    phones: Sequence[Interval] | None = None
    if grid is not None:
        try:
            found, tiers = read_words_and_phones(grid)
        except CorpusError as error:
            builder.report(str(error))
            return
        for gap in found.gaps:
            builder.note(gap)
        words, phones = next(iter(tiers.values()))
    subset = source.parents[2].name if len(source.parents) > 2 else ""
    builder.add(
        name,
        audio,
        name.split("-")[0],
        text=text,
        phones=phones,
        words=[word for word in words if word.label not in SILENCES],
        labels_from=grid,
        splits=[subset] if subset.startswith(("train-", "dev-", "test-")) else (),
    )
