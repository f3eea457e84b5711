"""The Buckeye corpus of conversations: recordings of ten minutes with ``.phones`` and ``.words``.

A label file has a header that ends in a line ``#``; then each line gives the time where a label
ends, a colour and the label. Utterances are cut at pauses and at what the speaker did not say:
the interviewer (IVER), noise, laughter, stretches that are masked or were not transcribed.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from speechattn.corpora.alignment import seconds_from_text
from speechattn.corpora.corpus import Corpus
from speechattn.corpora.readers.builder import CorpusBuilder, cut
from speechattn.corpora.readers.finding import audio_under, files_under, has_file, text_between
from speechattn.corpora.readers.labels import LabelMap
from speechattn.corpora.readers.textgrid import Interval
from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError

NATIVE = ("buckeye",)
SILENCES = ("SIL", "")
# In capitals, in <> or in {} stands what is no phone of the speaker.
_SPEAKER_LETTERS = 3  # s01 of s0101a


def matches(folder: Path) -> bool:
    """Whether this is Buckeye: ``.phones`` files in it."""
    return has_file(folder, ".phones", 3)


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read the Buckeye corpus; see :func:`speechattn.corpora.readers.read_published`."""
    labels = LabelMap(phones, NATIVE, SILENCES)
    builder = CorpusBuilder(folder, labels)
    audio = {path.stem: path for path in audio_under(folder)}
    tracks = {path.stem: path for path in files_under(folder, ".words")}
    labelled = files_under(folder, ".phones")
    for path in labelled:
        recording = audio.get(path.stem)
        if recording is None:
            builder.report(f"{path}: no recording {path.stem}.wav; put it beside it")
            continue
        try:
            spoken = list(_read_track(path, builder))
            words = list(_read_words(tracks[path.stem], builder)) if path.stem in tracks else []
        except CorpusError as error:
            builder.report(str(error))
            continue
        for start, end, inside in cut(spoken, labels.is_silence, _is_outside):
            builder.add(
                f"{path.stem}-{round(1000 * inside[0].start):08d}",
                recording,
                path.stem[:_SPEAKER_LETTERS],
                text=text_between(words, start, end),
                phones=inside,
                words=[word for word in words if word.end > start and word.start < end],
                labels_from=path,
                span=(start, end),
            )
    for name in sorted(audio.keys() - {path.stem for path in labelled}):
        builder.report(f"{audio[name]}: no {name}.phones; put it beside it or leave it out")
    return builder.corpus()


def _is_outside(label: str) -> bool:
    """Whether a label is no phone of the speaker: IVER, NOISE, LAUGH, <EXCLUDE-name>, {B_TRANS}."""
    return label.startswith(("<", "{")) or (label.isupper() and label != "SIL")


def _read_track(path: Path, builder: CorpusBuilder) -> Iterator[Interval]:
    """The labels of a file, each from where the one before it ends.

    Lines that go back in time, or have no length, are a problem each and left out.
    """
    begun, end = False, 0.0
    for number, line in read_lines(path):
        if not begun:
            begun = line == "#"
            continue
        columns = line.split(None, 2)
        stop = seconds_from_text(columns[0])
        if stop is None or len(columns) < 2:
            builder.report(f"{path}:{number}: {line[:60]!r}; write: end-time colour label")
            continue
        label = columns[2].strip() if len(columns) > 2 else ""
        if stop <= end:
            if stop < end:
                builder.report(
                    f"{path}:{number}: {label[:40]!r} ends at {stop:g} s, before the label before "
                    f"it ({end:g} s); left out"
                )
            continue
        yield Interval(label.split(";")[0].strip(), end, stop, number)
        end = stop
    if not begun:
        raise CorpusError(f"{path}: no line '#', which ends the header; give a file of Buckeye")


def _read_words(path: Path, builder: CorpusBuilder) -> Iterator[Interval]:
    """The words of a file: its labels but for those of noises and pauses."""
    for interval in _read_track(path, builder):
        if interval.label and not interval.label.startswith(("<", "{")):
            yield interval
