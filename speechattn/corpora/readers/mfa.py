"""Output of the Montreal Forced Aligner: TextGrids beside the recordings or apart.

Tiers are ``words`` and ``phones``, or ``SPEAKER - words`` and ``SPEAKER - phones``. A recording of
one speaker is one utterance; one of several, or of more than a minute, is cut at pauses.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder, cut
from speechattn.corpora.readers.finding import (
    audio_under,
    files_under,
    has_file,
    read_words_and_phones,
    text_between,
)
from speechattn.corpora.readers.labels import LabelMap
from speechattn.corpora.readers.textgrid import Interval, read_textgrid
from speechattn.errors import CorpusError

NATIVE = ("mfa_english", "arpabet_stress", "ipa_english")
SILENCES = ("", "sil", "sp", "<eps>")
LONGEST_UTTERANCE = 60.0  # seconds of a recording that is not cut


def matches(folder: Path) -> bool:
    """Whether the first TextGrid found under the folder has a tier of phones."""
    if not has_file(folder, ".textgrid", 3):
        return False
    try:
        grid = read_textgrid(files_under(folder, ".textgrid")[0])
    except CorpusError:
        return False
    return any(tier.name.lower().endswith("phones") for tier in grid.tiers)


def read(folder: Path, *, phones: str | Path = "arpabet", alignments: Path | None = None) -> Corpus:
    """Read what MFA aligned; see :func:`speechattn.corpora.readers.read_published`."""
    labels = LabelMap(phones, NATIVE, SILENCES)
    builder = CorpusBuilder(folder, labels)
    root = alignments or folder
    recordings = audio_under(folder)
    by_path = {path.relative_to(folder).with_suffix("").as_posix(): path for path in recordings}
    by_stem: dict[str, list[Path]] = {}
    for path in recordings:
        by_stem.setdefault(path.stem, []).append(path)
    used: set[Path] = set()
    for grid in files_under(root, ".textgrid"):
        same = by_stem.get(grid.stem, [])
        where = grid.relative_to(root).with_suffix("").as_posix()
        audio = by_path.get(where) or (same[0] if len(same) == 1 else None)
        if audio is None:
            why = "several recordings have its name" if same else "no recording has its name"
            builder.report(f"{grid}: {why}; put the recording beside it")
            continue
        used.add(audio)
        try:
            found, tiers = read_words_and_phones(grid)
        except CorpusError as error:
            builder.report(str(error))
            continue
        for gap in found.gaps:
            builder.note(gap)
        whole = len(tiers) == 1 and found.end <= LONGEST_UTTERANCE
        for speaker, (words, spoken) in tiers.items():
            speaker = speaker or grid.parent.resolve().name
            words = [word for word in words if word.label not in SILENCES]
            name = grid.stem if grid.stem.startswith(speaker) else f"{speaker}-{grid.stem}"
            if whole:
                text = " ".join(word.label for word in words)
                builder.add(
                    name, audio, speaker,
                    text=text, phones=spoken, words=words, labels_from=grid,
                )  # fmt: skip
            else:
                _add_parts(builder, labels, name, audio, speaker, words, spoken, grid)
    for audio in sorted(set(recordings) - used):
        builder.report(f"{audio}: no TextGrid of its name; align it or leave it out")
    return builder.corpus()


def _add_parts(
    builder: CorpusBuilder,
    labels: LabelMap,
    name: str,
    audio: Path,
    speaker: str,
    words: Sequence[Interval],
    phones: Sequence[Interval],
    grid: Path,
) -> None:
    """The utterances of one speaker in a recording."""
    for start, end, spoken in cut(phones, labels.is_silence, lambda label: False):
        builder.add(
            f"{name}-{round(1000 * spoken[0].start):08d}",
            audio,
            speaker,
            text=text_between(words, start, end),
            phones=spoken,
            words=[word for word in words if word.end > start and word.start < end],
            labels_from=grid,
            span=(start, end),
        )
