"""Lhotse cuts in JSON lines, in and out, without the package ``lhotse``.

A line is a ``MonoCut``: a part of a recording and the supervisions in it. Supervisions count time
from the start of the cut, alignments from that of the recording. A cut of one supervision is an
utterance; of a cut of several each supervision is one. Alignments are taken from ``phone`` (or
``phones``) and ``word``.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from speechattn.audio.load import audio_info
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.readers.builder import CorpusBuilder
from speechattn.corpora.readers.finding import files_under
from speechattn.corpora.readers.labels import LabelMap
from speechattn.corpora.readers.textgrid import Interval
from speechattn.corpora.tables import read_lines
from speechattn.errors import CorpusError
from speechattn.files import atomic_write_bytes, exists
from speechattn.segments import Segment
from speechattn.text import json_line

SUFFIXES = (".jsonl", ".jsonl.gz")
TOLERANCE = 0.01  # seconds by which an alignment may begin before its supervision
NATIVE = ("arpabet_stress", "mfa_english", "timit61", "ipa_english")
SILENCES = ("", "sil", "sp", "<eps>")
Json = Mapping[str, Any]  # an object of a line of JSON
# Errors raised by JSON of another shape: keys that lack, texts for numbers, numbers without end.
_NO_CUT = (LookupError, TypeError, AttributeError, ValueError, OverflowError)


def matches(folder: Path) -> bool:
    """Whether this is a file of cuts, or a folder with one: ``*cuts*.jsonl``, packed or not."""
    return bool(_files(folder))


def read(folder: Path, *, phones: str | Path = "arpabet") -> Corpus:
    """Read cuts; see :func:`speechattn.corpora.readers.read_published`.

    Args:
        folder: that holds files of cuts, or one such file. What follows ``cuts_`` in their names
            is a split.
        phones: the phone set that labels become.
    """
    files = _files(folder)
    if not files:
        raise CorpusError(f"{folder}: no *cuts*.jsonl or *cuts*.jsonl.gz; write the cuts as that")
    builder = CorpusBuilder(folder, LabelMap(phones, NATIVE, SILENCES))
    for path in files:
        try:
            lines = read_lines(path)
        except CorpusError as error:
            builder.report(str(error))
            continue
        for number, line in lines:
            try:
                cut = json.loads(line)
            except (ValueError, RecursionError) as error:
                builder.report(f"{path}:{number}: no JSON ({error}); write one cut a line")
                continue
            try:
                _add_cut(builder, path, number, cut)
            except CorpusError as error:
                builder.report(f"{path}:{number}: {error}")
            except _NO_CUT as error:
                builder.report(f"{path}:{number}: no MonoCut ({error}); write cuts as Lhotse does")
    return builder.corpus()


def write_cuts(corpus: Corpus, path: str | Path, split: str | None = None) -> None:
    """Write the utterances of a corpus as cuts, one a line.

    Args:
        corpus: read by any reader.
        path: ``.jsonl``, or ``.jsonl.gz`` to pack it.
        split: of the corpus; None for every utterance.

    Raises:
        AudioError: if a recording cannot be opened.
        OSError: if the file cannot be written.
    """
    chosen = None if split is None else set(corpus.splits[split])
    lines = [
        json_line(_cut_of(utterance))
        for utterance in corpus
        if chosen is None or utterance.id in chosen
    ]
    data = "".join(f"{line}\n" for line in lines).encode("utf-8")
    path = Path(path)
    atomic_write_bytes(path, gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder] if folder.name.lower().endswith(SUFFIXES) else []
    if not folder.is_dir():
        return []
    return [p for p in files_under(folder, *SUFFIXES) if "cuts" in p.name and p.parent == folder]


def _add_cut(builder: CorpusBuilder, path: Path, number: int, cut: Json) -> None:
    """Add the utterances of one cut."""
    name, kind = cut["id"], cut.get("type", "MonoCut")
    if kind != "MonoCut":
        raise CorpusError(f"{name}: a {kind} is not read; write it as MonoCuts of its own audio")
    recording = cut.get("recording")
    if recording is None:
        raise CorpusError(f"{name}: has no recording; write the cuts with their recordings")
    audio = _audio(path, name, recording)
    start = float(cut["start"])
    end = start + float(cut["duration"])
    supervisions = cut.get("supervisions") or []
    name_split = path.name.split(".")[0].partition("cuts_")[2]
    splits = [name_split] if name_split else []
    whole = _span(start, end, recording)
    if not supervisions:
        builder.add(name, audio, name, labels_from=path, span=whole, splits=splits)
    for supervision in supervisions:
        alone = len(supervisions) == 1
        begin = start + float(supervision["start"])
        alignment = supervision.get("alignment") or {}
        offset = _offset(alignment, begin, start)
        builder.add(
            name if alone else supervision["id"],
            audio,
            supervision.get("speaker") or name,
            text=supervision.get("text"),
            phones=_items(alignment, ("phone", "phones"), offset, number),
            words=_items(alignment, ("word", "words"), offset, number) or (),
            labels_from=path,
            span=whole if alone else (begin, begin + float(supervision["duration"])),
            splits=splits,
        )


def _audio(path: Path, name: str, recording: Json) -> Path:
    """The one file of a recording, of one channel."""
    sources = recording["sources"]
    kinds = {source["type"] for source in sources}
    if kinds != {"file"} or len(sources) != 1:
        raise CorpusError(
            f"{name}: audio of type {' and '.join(sorted(kinds))} from {len(sources)} sources; one "
            "file is read, and no command is ever executed: write the audio to a file"
        )
    if len(sources[0].get("channels", [0])) > 1:
        raise CorpusError(
            f"{name}: a recording of several channels; write each to a file of its own"
        )
    if recording.get("transforms"):
        raise CorpusError(
            f"{name}: a recording that is to be transformed; write the sound it gives"
        )
    here = path.parent / sources[0]["source"]  # Lhotse counts paths from where it is started
    return here if exists(here) else Path(sources[0]["source"])


def _span(start: float, end: float, recording: Json) -> tuple[float, float] | None:
    """Where a cut lies in its recording; None if it is all of it."""
    whole = start == 0 and abs(end - float(recording["duration"])) < 1e-3
    return None if whole else (start, end)


def _offset(alignment: Json, begin: float, start: float) -> float:
    """What is added to the times of an alignment to make them those of the recording.

    Lhotse leaves alignments in the time of the recording when it cuts one. Other tools write them
    in the time of the cut, as supervisions are. An alignment that would begin before its
    supervision is of the second kind.
    """
    times = [float(item[1]) for items in alignment.values() for item in items]
    return start if times and min(times) < begin - TOLERANCE else 0.0


def _items(
    alignment: Json, names: Sequence[str], offset: float, number: int
) -> list[Interval] | None:
    """An alignment as intervals in the time of the recording; None without one."""
    found = next((alignment[name] for name in names if name in alignment), None)
    if found is None:
        return None
    spans = ((str(x), offset + float(begin), float(length)) for x, begin, length, *_ in found)
    return [Interval(label, begin, begin + length, number) for label, begin, length in spans]


def _cut_of(utterance: Utterance) -> dict[str, Any]:
    """An utterance as a line of cuts."""
    info = audio_info(utterance.path)
    end = info.duration if utterance.end is None else utterance.end
    duration = round(end - utterance.start, 6)
    alignment = {
        name: [_item(segment, utterance.start) for segment in segments]
        for name, segments in (("phone", utterance.alignment), ("word", utterance.words))
        if segments
    }
    supervision: dict[str, Any] = {
        "id": utterance.id,
        "recording_id": utterance.path.stem,
        "start": 0.0,
        "duration": duration,
        "channel": 0,
        "speaker": utterance.speaker,
    }
    if utterance.text is not None:
        supervision["text"] = utterance.text
    if alignment:
        supervision["alignment"] = alignment
    return {
        "id": utterance.id,
        "start": utterance.start,
        "duration": duration,
        "channel": 0,
        "supervisions": [supervision],
        "recording": {
            "id": utterance.path.stem,
            "sources": [{"type": "file", "channels": [0], "source": str(utterance.path.resolve())}],
            "sampling_rate": info.sample_rate,
            "num_samples": info.frames,
            "duration": info.duration,
            "channel_ids": [0],
        },
        "type": "MonoCut",
    }


def _item(segment: Segment, offset: float) -> list[Any]:
    """A segment as Lhotse's alignment item: symbol, start in the recording, duration, score."""
    duration = round(segment.end - segment.start, 6)
    return [segment.label, round(segment.start + offset, 6), duration, None]
