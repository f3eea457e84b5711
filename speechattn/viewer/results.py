"""Phones and words from files: results of an earlier run, and references to compare with."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from speechattn.corpora.readers.textgrid import read_textgrid
from speechattn.errors import CorpusError, UsageError
from speechattn.files import exists, is_file
from speechattn.segments import Segment
from speechattn.transcription.earlier_runs import BEFORE, INPUTS
from speechattn.transcription.lists import items_of, list_file
from speechattn.transcription.run_record import RunFiles

PHONES, WORDS = "phones", "words"
SUFFIXES = (".json", ".ctm", ".TextGrid")  # of results, those that tell most first
REFERENCE_SUFFIXES = (".TextGrid", ".textgrid", ".ctm", ".ctm.gz", ".json")
_WITH_LENGTH = (".textgrid", ".json")  # files that say how long their recording is
SILENCES = frozenset(("", "sil", "sp", "spn", "pau", "h#", "<eps>", "#"))  # in any case
MOST_NAMED = 5  # tiers or utterances that a message names
TOLERANCE = 0.1  # seconds by which a reference may end before or after its recording
EARLY = 1.0  # seconds without labels that a CTM may end before its recording; half of a short one
CLOSE = 1e-4  # seconds: segments so near each other have a boundary in common
_CONFIDENCE = re.compile(r"[01]\.\d+")
Labelled = dict[str, list[Segment]]  # tier → its segments, sorted, without silence between them


def read_labels(path: Path, utterance: str, duration: float, what: str) -> Labelled:
    """Read the phones and words of a recording from a TextGrid, a CTM or a JSON of our own.

    Args:
        path: of the file.
        utterance: path of the recording below its folder, with its suffix.
        duration: of the recording, seconds.
        what: what the file is to its reader, such as ``"reference"``, for messages.

    Returns:
        The tiers ``phones`` and ``words``, those that there are.

    Raises:
        UsageError: if the file cannot be read, has no such tier, lacks the utterance, or belongs
            to a recording of another length.
    """
    named: list[str] = []
    try:
        if path.suffix.lower() == ".textgrid":
            tiers, end, named = _from_textgrid(path)
        elif path.suffix.lower() == ".json":
            tiers, end = _from_json(path)
        else:
            tiers, end = _from_ctm(path, utterance), None
    except CorpusError as error:
        raise UsageError(f"{what}: {error}") from None
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise UsageError(f"{what}: {path}: cannot be read ({error}); check the file") from None
    last = max((tier[-1].end for tier in tiers.values() if tier), default=0.0)
    if last > duration + TOLERANCE or (end is not None and abs(end - duration) > TOLERANCE):
        raise UsageError(
            f"{what}: {path} is of {end or last:.2f} s, and the recording {utterance} of "
            f"{duration:.2f} s; it belongs to another recording, or one of them was cut"
        )
    if not any(tiers.values()):
        raise UsageError(
            f"{what}: {path}: no tier {PHONES!r} or {WORDS!r} with labels; name one so"
            + (f" (its tiers: {', '.join(map(repr, named))})" if named else "")
        )
    return {name: _checked(path, what, tier, duration) for name, tier in tiers.items()}


def early_end(path: Path, tiers: Labelled, duration: float) -> str | None:
    """Return what to say of a CTM that ends long before its recording; None if it does not.

    A CTM does not say how long its recording is: it may be of a shorter one. TextGrids and JSON
    say it, and :func:`read_labels` compares.

    Args:
        path: of the file.
        tiers: from :func:`read_labels`.
        duration: of the recording, seconds.
    """
    if path.suffix.lower() in _WITH_LENGTH:
        return None
    end = max((tier[-1].end for tier in tiers.values() if tier), default=0.0)
    if duration - end <= min(EARLY, duration / 2):
        return None
    return f"ends at {end:.2f} s of {duration:.2f} s; see that it is of this recording"


def _checked(path: Path, what: str, tier: list[Segment], duration: float) -> list[Segment]:
    """Return segments sorted and within the recording; refuse those that overlap."""
    tier = sorted(tier, key=lambda segment: segment.start)
    end, kept = 0.0, []
    for segment in tier:
        start, stop = max(segment.start, end), min(segment.end, duration)
        if segment.start < end - 1e-3:
            raise UsageError(
                f"{what}: {path}: {segment.label!r} begins at {segment.start:g} s, before what "
                f"comes before it ends ({end:g} s); correct the file"
            )
        if start - end < CLOSE:  # no silence, but how a decimal was rounded
            start = end
        if stop > start:
            kept.append(Segment(segment.label, start, stop, segment.confidence))
            end = stop
    return kept


def _from_textgrid(path: Path) -> tuple[Labelled, float, list[str]]:
    grid = read_textgrid(path)
    found: Labelled = {}
    for tier in grid.tiers:
        name = tier.name.casefold().rsplit(" - ", 1)[-1]  # MFA: "speaker - phones"
        kind = {"phones": PHONES, "phone": PHONES, "words": WORDS, "word": WORDS}.get(name)
        if kind and not tier.points and kind not in found:
            found[kind] = [Segment(i.label, i.start, i.end) for i in tier.intervals]
    return found, grid.end, [tier.name for tier in grid.tiers[:MOST_NAMED]]


def _from_json(path: Path) -> tuple[Labelled, float]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        tiers = {
            name: [
                Segment(str(r["label"]), float(r["start"]), float(r["end"]), r.get("confidence", 1))
                for r in values[name]
            ]
            for name in (WORDS, PHONES)
            if values.get(name) is not None
        }
        return tiers, float(values["duration"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"{path}: not what `speechattn transcribe --format json` writes ({error!r})"
        ) from None


def _from_ctm(path: Path, utterance: str) -> Labelled:
    name = str(PurePosixPath(utterance).with_suffix(""))
    lines: dict[str, list[Segment]] = {}
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            columns = line.split()
            if not columns or line.startswith(";;"):
                continue
            try:
                start, length = float(columns[2]), float(columns[3])
                label = unquote(columns[4])
                confidence = float(columns[5]) if len(columns) > 5 else 1.0
                if len(columns) == 5 and _CONFIDENCE.fullmatch(label):
                    raise ValueError("a confidence without a label")
            except (IndexError, ValueError):
                raise CorpusError(
                    f"{path}:{number}: {line.strip()[:60]!r}; write: utterance channel start "
                    "duration label, and perhaps a confidence; <eps> for no label"
                ) from None
            segment = Segment(label, start, round(start + length, 9), confidence)
            lines.setdefault(unquote(columns[0]), []).append(segment)
    for key in (name, PurePosixPath(name).name):
        if key in lines:
            return {PHONES: lines[key]}
    if len(lines) == 1:
        return {PHONES: next(iter(lines.values()))}
    raise CorpusError(
        f"{path}: none of its {len(lines)} utterances is {name!r} (the first: "
        f"{', '.join(map(repr, list(lines)[:MOST_NAMED]))}); name the recording as its "
        "utterance, or give a file of this recording alone"
    )


def find_labels(where: Path, utterance: str, suffixes: Sequence[str], what: str) -> Path:
    """Return the file of labels of a recording.

    Args:
        where: such a file, or a folder that mirrors that of the recordings.
        utterance: path of the recording below its folder, with its suffix.
        suffixes: that are looked for, the best first.
        what: for messages.

    Raises:
        UsageError: if there is none.
    """
    if is_file(where):
        return where
    if not exists(where):
        raise UsageError(f"{what}: {where}: no such file or folder; check its name")
    base = PurePosixPath(utterance).with_suffix("")
    for stem in dict.fromkeys((base, PurePosixPath(base.name))):
        for suffix in suffixes:
            path = where / f"{stem}{suffix}"
            if path.is_file():
                return path
    raise UsageError(
        f"{what}: nothing for {utterance} in {where}; looked for {base.name} with "
        f"{', '.join(suffixes)}"
    )


def is_results_folder(folder: Path) -> bool:
    """Return whether a folder is one that ``speechattn transcribe`` wrote."""
    return any(run.run.is_file() for run in runs_of(folder))


def runs_of(folder: Path) -> list[RunFiles]:
    """Return the runs with results: that of all recordings, or its shards where there is none."""
    whole = RunFiles(folder)
    runs = [whole] if whole.transcripts.is_file() else whole.shards()
    return [run for run in runs if run.transcripts.is_file()]


def recordings_of_results(folder: Path, recordings: Path | None) -> list[tuple[Path, str]]:
    """Return the recordings of a folder of results, with their paths below their folder.

    Args:
        folder: that ``speechattn transcribe`` wrote.
        recordings: folder of the recordings; None for where they were when they were transcribed.

    Raises:
        UsageError: if the run's files cannot be understood, no recording succeeded, or one is no
            longer there.
    """
    try:
        runs = runs_of(folder)
        run = json.loads(runs[0].run.read_text(encoding="utf-8"))
        texts = [one.transcripts.read_text(encoding="utf-8") for one in runs]
        lines = [json.loads(line) for text in texts for line in text.splitlines()]
        files = [str(line["file"]) for line in lines if line["status"] == "ok"]
        inputs = recorded_inputs(run, folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{folder}: its run.json and transcripts.jsonl cannot be understood ({error}); give "
            "the recordings, and this folder with --results"
        ) from None
    if not files:
        raise UsageError(f"{folder}: no recording of this run succeeded; there is nothing to show")
    places = [recordings] if recordings else inputs
    return [(_find_recording(file, places, folder), file) for file in dict.fromkeys(files)]


def recorded_inputs(run: Mapping[str, Any], folder: Path) -> list[Path]:
    """Return the files and folders that a run was given, and those before it in its folder.

    Lists stand for what is in them. Paths are as they were given, and as seen from beside the
    folder.

    Args:
        run: what its ``run.json`` says.
        folder: that it wrote.
    """
    paths: list[Path] = []
    for item in (str(each) for key in (INPUTS, BEFORE) for each in run.get(key) or ()):
        listing = list_file(item)
        if listing is None or Path(item).exists() or (folder.parent / item).exists():
            paths.append(Path(item))
            continue
        for place in (listing, folder.parent / listing):
            if place.is_file():
                paths += map(Path, items_of(place.read_bytes()))
                break
        else:
            paths.append(listing)  # it is gone; messages name it
    return list(dict.fromkeys((*paths, *(folder.parent / path for path in paths))))


def _find_recording(file: str, places: Iterable[Path], results: Path) -> Path:
    tried = []
    for place in places:
        path = place if place.is_file() and place.name == file else place / file
        if path.is_file():
            return path
        tried.append(str(place))
    where = ", ".join(dict.fromkeys(tried)) or "a place that run.json names"
    raise UsageError(
        f"{results}: the recording {file} is not in {where} (any more); say where it is with "
        "--recordings DIR"
    )
