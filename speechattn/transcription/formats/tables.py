"""Formats with one record for each phone and its confidence: CTM, JSON and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from speechattn.inference.transcription import phones_within
from speechattn.segments import plain, rounded, written
from speechattn.text import json_line
from speechattn.transcription.formats.names import utterance_name

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription
    from speechattn.segments import Segment

PROBABILITY_DECIMALS = 4
NO_LABEL = "<eps>"  # of an empty string of phones in a CTM, as Kaldi calls it


def phone_records(transcription: Transcription) -> list[dict[str, Any]]:
    """Return the phones as JSON values: label, start and end (s), confidence.

    A phone with alternatives also has a list of their labels and probabilities.
    """
    return [_record(segment) for segment in transcription.phones]


def word_records(transcription: Transcription) -> list[dict[str, Any]]:
    """Return the words as JSON values: those of phones, and the list of its phones' labels."""
    return [
        {
            **_record(word),
            "phones": [phone.label for phone in phones_within(transcription.phones, word)],
        }
        for word in transcription.words or ()
    ]


def confidence_of(transcription: Transcription) -> float:
    """Return the confidence of a recording with words, 0 if there are none, rounded for JSON."""
    return round(float(transcription.confidence or 0.0), PROBABILITY_DECIMALS)


def _record(segment: Segment) -> dict[str, Any]:
    record: dict[str, Any] = {
        "label": segment.label,
        "start": rounded(segment.start),
        "end": rounded(segment.end),
        "confidence": round(float(segment.confidence), PROBABILITY_DECIMALS),
    }
    if segment.spoken:
        record["spoken"] = segment.spoken
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


def ctm(transcription: Transcription, file: str, silence: str) -> str:
    """Write NIST CTM, lines of ``utterance channel start duration symbol confidence``.

    Channels count from 1, as in Kaldi and sclite; the mean of all is channel 1. The utterance is
    the relative path without suffix, or with it where that is asked for, encoded by
    :func:`ctm_field`. Start and duration add up to the next start exactly, as decimals. An empty
    label, which would be no field, is ``<eps>``.
    """
    return _ctm_lines(transcription, transcription.phones, file)


def words_ctm(transcription: Transcription, file: str, silence: str) -> str:
    """Write the words as :func:`ctm` writes the phones."""
    return _ctm_lines(transcription, transcription.words or (), file)


def _ctm_lines(transcription: Transcription, segments: Iterable[Segment], file: str) -> str:
    utterance = ctm_field(utterance_name(file))
    channel = 1 + (transcription.channel or 0)
    return "".join(
        f"{utterance} {channel} {plain(written(segment.start))}"
        f" {plain(written(segment.end) - written(segment.start))}"
        f" {ctm_field(segment.label) or NO_LABEL} {segment.confidence:.{PROBABILITY_DECIMALS}f}\n"
        for segment in segments
    )


def json_text(transcription: Transcription, file: str, silence: str) -> str:
    r"""Write a JSON object: file, duration (s), sample_rate (Hz) and the list of phones.

    Where the words are known, the confidence of the recording and the list of words come before it,
    and words of the text that no dictionary has, as ``assumed``.

    Bytes of a file name that are not UTF-8 appear as ``\udc80`` to ``\udcff``
    (:func:`~speechattn.text.json_line`).
    """
    values: dict[str, Any] = {
        "file": file,
        "duration": rounded(transcription.duration),
        "sample_rate": int(transcription.sample_rate),
    }
    if transcription.words is not None:
        values["confidence"] = confidence_of(transcription)
    return _with_phones(values, transcription)


def _with_phones(values: dict[str, Any], transcription: Transcription) -> str:
    """Return a JSON object of values, the list of words where they are known, and the phones."""
    if transcription.assumed:
        values = {**values, "assumed": dict(transcription.assumed)}
    values = {**values, **transcription.more}
    if transcription.words is not None:
        values = {**values, "words": word_records(transcription)}
    head = json_line(values, indent=1).removesuffix("\n}")
    # Phone by phone: with an indent, json makes a string of every token, and hours have many.
    phones = (json_line(_record(p), indent=1) for p in transcription.phones)
    indented = (text.replace("\n", "\n  ") for text in phones)
    return f'{head},\n "phones": [\n  ' + ",\n  ".join(indented) + "\n ]\n}\n"


def json_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write a JSON object as :func:`json_text`, with a list of channels that have the phones.

    Where a text has several speakers, the list is ``speakers``.
    """
    first = channels[0]
    values = {
        "file": file,
        "duration": rounded(first.duration),
        "sample_rate": int(first.sample_rate),
    }
    head = json_line(values, indent=1).removesuffix("\n}")
    key = "speaker" if first.speaker else "channel"
    names = (one.speaker if first.speaker else _plain_channel(one) for one in channels)
    parts = (_with_phones({key: name}, one).rstrip("\n") for name, one in zip(names, channels))
    indented = (text.replace("\n", "\n  ") for text in parts)
    return f'{head},\n "{key}s": [\n  ' + ",\n  ".join(indented) + "\n ]\n}\n"


def _plain_channel(one: Transcription) -> int | None:
    """Return the channel as JSON takes it: callers may count with NumPy's numbers."""
    return None if one.channel is None else int(one.channel)


def csv_text(transcription: Transcription, file: str, silence: str) -> str:
    """Write comma-separated values: ``start,end,label,confidence``, times in seconds.

    Where the words are known, the column ``tier`` comes first: ``words`` or ``phones``.
    """
    return _csv([([], transcription)], [])


def csv_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write the values of :func:`csv_text` of each channel, with the column ``channel`` first.

    Where a text has several speakers, the column is ``speaker``.
    """
    key = "speaker" if channels[0].speaker else "channel"
    return _csv([([str(getattr(one, key))], one) for one in channels], [key])


def _csv(parts: Sequence[tuple[list[str], Transcription]], columns: list[str]) -> str:
    """Write rows of transcriptions, each with values for further columns at the beginning."""
    buffer = io.StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    with_words = any(one.words is not None for _, one in parts)
    columns = [*columns, *(["tier"] if with_words else [])]
    rows.writerow([*columns, "start", "end", "label", "confidence"])
    for begin, one in parts:
        for tier, segments in (("words", one.words), ("phones", one.phones)):
            row = [*begin, *([tier] if with_words else [])]
            for segment in segments or ():
                times = plain(written(segment.start)), plain(written(segment.end))
                confidence = f"{segment.confidence:.{PROBABILITY_DECIMALS}f}"
                rows.writerow([*row, *times, segment.label, confidence])
    return buffer.getvalue()
