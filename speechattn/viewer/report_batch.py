"""The report of a batch: an output folder of ``speechattn transcribe`` or ``align``.

``transcripts.jsonl``, or that of each shard, is read twice, line by line: for the labels, and for
what they say. With references the recordings are scored as a recipe scores its test sets.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from speechattn.errors import SpeechattnError, UsageError
from speechattn.evaluation.details import Details
from speechattn.evaluation.scores import Scores
from speechattn.phones import PhoneSet
from speechattn.segments import SAMPLE_RATE, FrameSegment, num_frames, seconds_to_frame
from speechattn.text import counted, length_of_time, one_line
from speechattn.transcription.run_record import RunFiles
from speechattn.viewer.phone_order import fitting_set, usable_label
from speechattn.viewer.report_data import ReportData, read_json
from speechattn.viewer.report_recipe import window_pictures
from speechattn.viewer.report_sources import Recordings, Reference, find_references
from speechattn.viewer.results import SILENCES, runs_of

MOST_NAMED = 5  # recordings without a reference that are named


def is_batch_folder(folder: Path) -> bool:
    """Return whether a folder is an output folder of ``transcribe``, perhaps an unfinished one."""
    whole = RunFiles(folder)
    paths = whole.transcripts, whole.run, whole.journal
    return any(path.is_file() for path in paths) or bool(whole.shards())


def batch_data(
    folder: Path, reference: Path | None = None, recordings: Path | None = None
) -> ReportData:
    """Read the results of a batch and, with a reference, score them.

    Args:
        folder: output folder.
        reference: folder of TextGrids, CTMs or JSONs that mirrors that of the recordings, one file
            of them, or a corpus folder; None for none.
        recordings: folder of the recordings; None for where they were.

    Raises:
        UsageError: if there are no results, they cannot be understood, or no recording has a
            reference.
    """
    runs = runs_of(folder)
    if not runs:
        raise UsageError(
            f"{folder}: this run has no results yet (no transcripts.jsonl); let it come to its "
            "end: run it again with --resume"
        )
    run = read_json(runs[0].run) or {}
    try:
        labels = {phone["label"] for record in _records(runs) for phone in _phones(record)}
        phones = fitting_set(sorted(map(str, labels)))
        find = Recordings(run, folder, recordings)
        data = ReportData(folder.resolve().name)
        data.facts += _run_facts(run)
        data.notes += _shard_notes(runs)
        references = None if reference is None else find_references(reference, phones)
        _read(data, runs, phones, find, references)
        data.pictures = window_pictures(folder)
    except (KeyError, TypeError, AttributeError, ValueError, OSError) as error:
        raise UsageError(
            f"{folder}: its {runs[0].transcripts.name} cannot be understood "
            f"({one_line(repr(error))}); transcribe the recordings again"
        ) from None
    return data


def _records(runs: Sequence[RunFiles]) -> Iterator[dict[str, Any]]:
    """Yield what is said of each recording, those of several shards once."""
    seen: set[str] = set()
    for run in runs:
        with run.transcripts.open(encoding="utf-8") as lines:
            for line in lines:
                record = json.loads(line) if line.strip() else None
                if record is not None and record["file"] not in seen:
                    seen.add(record["file"])
                    yield record


def _shard_notes(runs: Sequence[RunFiles]) -> list[str]:
    """Say which shards there are, if the run is one of shards."""
    shards = [run.shard for run in runs if run.shard]
    if not shards:
        return []
    count = shards[-1].count
    have = {shard.index for shard in shards if shard.count == count}
    text = f"The results are those of {counted(len(shards), 'shard')}"
    missing = [f"{i}/{count}" for i in range(1, count + 1) if i not in have]
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        text += f"; there are none yet of {', '.join(missing[:MOST_NAMED])}{more}"
    return [f"{text}. `speechattn transcribe` with --resume puts them together."]


def _phones(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the phones of a recording, those of all channels and speakers."""
    for part in _parts(record):
        yield from part.get("phones") or ()


def _parts(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    inner = [*(record.get("channels") or ()), *(record.get("speakers") or ())]
    if not inner:
        yield record
    for part in inner:
        yield from _parts(part)


def _read(
    data: ReportData,
    runs: Sequence[RunFiles],
    phones: PhoneSet,
    find: Recordings,
    reference: Reference | None,
) -> None:
    """Fill ``data`` with what the lines say."""
    scores, details = Scores(phones), Details(phones)
    names = _names(phones)
    seconds, count = 0.0, 0
    without: list[str] = []
    kinds: Counter[str] = Counter()
    for record in _records(runs):
        file = str(record["file"])
        if record["status"] != "ok":
            data.failures.append((file, str(record["error"])))
            continue
        count, seconds = count + 1, seconds + record["duration"]
        kinds.update({str(warning).partition(":")[0] for warning in record.get("warnings") or ()})
        frames = max(1, num_frames(round(record["duration"] * SAMPLE_RATE)))
        where = find(file)
        row: dict[str, Any] = {"corpus": find.name, "utterance": file, "start": 0.0, "end": None}
        row |= {"path": None if where is None else str(where), "speaker": _folder_of(file)}
        parts = list(_parts(record))
        for number, part in enumerate(parts, 1):
            found = frame_runs(_segments(part.get("phones") or (), names), frames, phones)
            one = {**row, "utterance": f"{file} ({number})"} if len(parts) > 1 else dict(row)
            if reference is None or len(parts) > 1:
                details.add(None, found, None, **one)
                continue
            try:
                speaker, segments = reference(file, record["duration"], where)
                unknown = next((s.label for s in segments if names(s.label) is None), None)
                if unknown is not None:
                    raise UsageError(
                        f"{file}: {unknown!r} of its reference is none of the {len(phones)} phones "
                        "that were recognised; write the reference in these"
                    )
            except SpeechattnError as error:
                without.append(str(error))
                details.add(None, found, None, **one)
                continue
            expected = frame_runs(
                [(names(s.label) or 0, s.start, s.end, 1.0) for s in segments], frames, phones
            )
            one["speaker"] = speaker or one["speaker"]
            counts = scores.add(expected, found, speaker=one["speaker"], corpus=find.name)
            details.add(expected, found, counts, **one)
    if not count and not data.failures:
        path = runs[0].transcripts
        raise UsageError(f"{path}: no recording is listed; there is nothing to report")
    data.facts.insert(0, ("recordings", f"{count:,} transcribed, {length_of_time(seconds)}"))
    if data.failures:
        data.facts.insert(1, ("failed", f"{len(data.failures):,}"))
    data.warnings = dict(kinds.most_common())
    data.details = details.to_dict()
    if reference is None:
        data.notes.append(
            "There is no reference, so nothing here says what is right: utterances are sorted by "
            "the confidence of their phones. Give references with --reference."
        )
        return
    if not scores.corpora():
        first = f": {without[0]}" if without else ""
        raise UsageError(f"--reference: no recording has a reference that fits{first}")
    data.scores, data.confusions = scores.to_dict(), scores.confusions().tolist()
    if without:
        named = "; ".join(without[:MOST_NAMED])
        more = f"; and {len(without) - MOST_NAMED} more" if len(without) > MOST_NAMED else ""
        data.notes.append(
            f"{counted(len(without), 'recording')} without a reference that fits, left out of the "
            f"scores: {named}{more}."
        )


def frame_runs(
    segments: Sequence[tuple[int, float, float, float]], frames: int, phones: PhoneSet
) -> list[FrameSegment]:
    """Put segments on the 10 ms grid: runs without gaps that cover all frames.

    Gaps are silence, and what is shorter than half a frame goes.

    Args:
        segments: phone, start and end in seconds, confidence; sorted.
        frames: of the recording.
        phones: for the silence.
    """
    silence, runs, end = phones.silence_index, [], 0
    for phone, start, stop, confidence in segments:
        first, last = max(seconds_to_frame(start), end), min(seconds_to_frame(stop), frames)
        if last <= first:
            continue
        if first > end:
            runs.append(FrameSegment(silence, end, first))
        runs.append(FrameSegment(phone, first, last, confidence))
        end = last
    if end < frames:
        runs.append(FrameSegment(silence, end, frames))
    return runs


def _segments(
    phones: Sequence[dict[str, Any]], names: Callable[[str], int | None]
) -> list[tuple[int, float, float, float]]:
    found = []
    for phone in phones:
        confidence = phone.get("confidence")
        value = 1.0 if confidence is None else float(confidence)
        value = min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
        found.append(
            (names(str(phone["label"])) or 0, float(phone["start"]), float(phone["end"]), value)
        )
    return sorted(found, key=lambda segment: segment[1])


def _names(phones: PhoneSet) -> Callable[[str], int | None]:
    """Return the function from a label, or its IPA, to its class; None for a label of no class.

    Stress, case, and which sign stands for silence do not count.
    """
    known: dict[str, int | None] = {**phones.index}
    known |= {ipa: phones.index[name] for name, ipa in phones.ipa.items() if ipa not in known}
    upper = {name.upper(): i for name, i in phones.index.items()}

    def number(label: str) -> int | None:
        if label not in known:
            bare = label.upper()
            found = upper.get(bare, upper.get(bare.rstrip("012")))
            if found is None:
                found = phones.index.get(usable_label(label))
            if label.casefold() in SILENCES:
                found = phones.silence_index
            known[label] = found
        return known[label]

    return number


def _folder_of(file: str) -> str:
    """Return the folder of a recording, which stands for its speaker where nothing else does."""
    parent = str(PurePosixPath(file).parent)
    return "all" if parent == "." else parent


def _run_facts(run: dict[str, Any]) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    model = run.get("model")
    if isinstance(model, dict):
        facts.append(("model", str(model.get("name"))))
    for key in ("task", "labels"):
        value = (run.get("settings") or {}).get(key)
        if value:
            facts.append((key, str(value)))
    summary = run.get("summary") or {}
    if "seconds" in summary:
        speed = summary.get("real_time_factor")
        text = length_of_time(float(summary["seconds"]))
        facts.append(("time taken", f"{text}, {speed} times as fast as speech" if speed else text))
    facts += [(k, str(run[k])) for k in ("device", "precision", "speechattn") if run.get(k)]
    if summary.get("complete") is False:
        facts.append(("complete", "no, this run was interrupted"))
    return facts
