"""Formats with one record for each phone and its confidence: CTM, JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from speechattn.segments import exact, plain

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription
    from speechattn.segments import Segment

PROBABILITY_DECIMALS = 4


def phone_records(transcription: Transcription) -> list[dict[str, Any]]:
    """Return the phones as JSON values: label, start and end (s), confidence.

    A phone with alternatives also has a list of their labels and probabilities.
    """
    return [_record(segment) for segment in transcription.phones]


def _record(segment: Segment) -> dict[str, Any]:
    record: dict[str, Any] = {
        "label": segment.label,
        "start": float(segment.start),
        "end": float(segment.end),
        "confidence": round(float(segment.confidence), PROBABILITY_DECIMALS),
    }
    if segment.alternatives:
        record["alternatives"] = [
            {"label": label, "probability": round(float(probability), PROBABILITY_DECIMALS)}
            for label, probability in segment.alternatives
        ]
    return record


def ctm_field(text: str) -> str:
    """Encode a name as one field of a line; ``urllib.parse.unquote_to_bytes`` decodes it.

    Percent-encoded are white space, which separates fields; control characters; ``%`` itself;
    a ``;`` at the beginning, which would make the line a comment; and bytes of a file name that
    are not UTF-8.
    """

    def escaped(character: str) -> str:
        raw_byte = "\udc80" <= character <= "\udcff"
        data = character.encode("utf-8", "surrogateescape" if raw_byte else "surrogatepass")
        return "".join(f"%{byte:02X}" for byte in data)

    def special(position: int, character: str) -> bool:
        undecodable = "\ud800" <= character <= "\udfff"
        control = character < " " or character == "\x7f"
        comment = character == ";" and position == 0
        return character.isspace() or undecodable or control or character == "%" or comment

    return "".join(escaped(c) if special(i, c) else c for i, c in enumerate(text))


def utterance_name(file: str) -> str:
    """Return the recording's relative path without its suffix: ``a/b.wav`` → ``a/b``."""
    path = PurePosixPath(file)
    return os.fspath(path.parent / path.stem)


def ctm(transcription: Transcription, file: str, silence: str) -> str:
    """Write NIST CTM, lines of ``utterance channel start duration symbol confidence``.

    Channels count from 1, as in Kaldi and sclite; the mean of all is channel 1. The utterance is
    the relative path without suffix, encoded by :func:`ctm_field`. Start and duration add up to
    the next start exactly, as decimals.
    """
    return _ctm_lines(transcription, transcription.phones, file)


def words_ctm(transcription: Transcription, file: str, silence: str) -> str:
    """Write the words as :func:`ctm` writes the phones."""
    return _ctm_lines(transcription, transcription.words or (), file)


def _ctm_lines(transcription: Transcription, segments: Iterable[Segment], file: str) -> str:
    utterance = ctm_field(utterance_name(file))
    channel = 1 + (transcription.channel or 0)
    return "".join(
        f"{utterance} {channel} {plain(exact(segment.start))}"
        f" {plain(exact(segment.end) - exact(segment.start))}"
        f" {ctm_field(segment.label)} {segment.confidence:.{PROBABILITY_DECIMALS}f}\n"
        for segment in segments
    )


def json_text(transcription: Transcription, file: str, silence: str) -> str:
    r"""Write a JSON object: file, duration (s), sample_rate (Hz) and the list of phones.

    Where the words are known, the confidence of the recording and the list of words come before it.

    ASCII only: bytes of a file name that are not UTF-8 appear as ``\udc80`` to ``\udcff``
    (Python's ``surrogateescape``; ``os.fsencode`` gives the name back).
    """
    values: dict[str, Any] = {
        "file": file,
        "duration": float(transcription.duration),
        "sample_rate": int(transcription.sample_rate),
    }
    if transcription.words is not None:
        confidence = float(transcription.confidence or 0.0)
        values["confidence"] = round(confidence, PROBABILITY_DECIMALS)
        values["words"] = [_record(word) for word in transcription.words]
    head = json.dumps(values, indent=1, allow_nan=False).removesuffix("\n}")
    # Phone by phone: with an indent, json makes a string of every token, and hours have many.
    phones = (json.dumps(_record(p), indent=1, allow_nan=False) for p in transcription.phones)
    indented = (text.replace("\n", "\n  ") for text in phones)
    return f'{head},\n "phones": [\n  ' + ",\n  ".join(indented) + "\n ]\n}\n"


def csv_text(transcription: Transcription, file: str, silence: str) -> str:
    """Write comma-separated values: ``start,end,label,confidence``, times in seconds.

    Where the words are known, the column ``tier`` comes first: ``words`` or ``phones``.
    """
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    with_words = transcription.words is not None
    rows.writerow([*(["tier"] if with_words else []), "start", "end", "label", "confidence"])
    for tier, segments in (("words", transcription.words), ("phones", transcription.phones)):
        for segment in segments or ():
            times = plain(exact(segment.start)), plain(exact(segment.end))
            confidence = f"{segment.confidence:.{PROBABILITY_DECIMALS}f}"
            rows.writerow([*([tier] if with_words else []), *times, segment.label, confidence])
    return buffer.getvalue()
