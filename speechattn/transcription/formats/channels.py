"""Formats with several channels or speakers of a recording in one file.

Speakers are named as in the text that was aligned. Channels count from 0, as on the command line,
but in CTM from 1, as in Kaldi and sclite. A TextGrid and an ELAN document have tiers of each. HTK's
label files hold one sequence of labels, so they cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from speechattn.segments import Segment
from speechattn.text import one_line
from speechattn.transcription.formats.captions import caption_cues
from speechattn.transcription.formats.labels import (
    Tier,
    label_line,
    long_textgrid,
    plain_tiers,
    short_textgrid,
    tiers,
)
from speechattn.transcription.formats.markup import eaf_tiers, vtt_cues, vtt_text
from speechattn.transcription.formats.names import track, voice
from speechattn.transcription.formats.tables import ctm, words_ctm

if TYPE_CHECKING:
    from speechattn.inference.transcription import Transcription


def tier_name(one: Transcription, tier: str) -> str:
    """Return the name of a tier of one channel or speaker, as MFA names the latter."""
    return f"{voice(one)} - {tier}"


def _tiers(channels: Sequence[Transcription], silence: str) -> list[Tier]:
    return [
        (tier_name(one, name), intervals)
        for one in channels
        for name, intervals in tiers(one, silence)
    ]


def textgrid_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write a long TextGrid with tiers such as ``channel 0 - phones``."""
    return long_textgrid(_tiers(channels, silence), channels[0].duration)


def textgrid_short_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write the same in the short form."""
    return short_textgrid(_tiers(channels, silence), channels[0].duration)


def ctm_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write the lines of each channel; the second field tells them apart."""
    return "".join(ctm(one, file, silence) for one in channels)


def words_ctm_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write the lines of the words of each channel."""
    return "".join(words_ctm(one, file, silence) for one in channels)


def audacity_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write one label track, sorted by time; a label begins with its channel, as in ``0: AA``."""
    return _label_track(channels, [one.phones for one in channels])


def words_audacity_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write the same of the words."""
    return _label_track(channels, [one.words or [] for one in channels])


def _label_track(channels: Sequence[Transcription], tracks: Sequence[list[Segment]]) -> str:
    lines = [
        (segment.start, number, segment)
        for number, segments in enumerate(tracks)
        for segment in segments
    ]
    lines.sort(key=lambda line: line[:2])
    return "".join(
        label_line(segment, f"{one_line(track(channels[number]))}: ")
        for _, number, segment in lines
    )


def eaf_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write an ELAN document with a tier of each channel."""
    return eaf_tiers(
        [
            (tier_name(one, name), segments)
            for one in channels
            for name, segments in plain_tiers(one)
        ],
        file,
    )


def vtt_channels(channels: Sequence[Transcription], file: str, silence: str) -> str:
    """Write WebVTT, sorted by time; the voice of each cue is its channel."""
    cues = [
        (start, number, cue)
        for number, one in enumerate(channels)
        for start, cue in _cues(one, silence, f"<v {vtt_text(voice(one))}>")
    ]
    cues.sort(key=lambda each: each[:2])
    return "\n".join(["WEBVTT\n", *(cue for _, _, cue in cues)])


def _cues(one: Transcription, silence: str, voice: str) -> Iterator[tuple[int, str]]:
    if one.words is not None:
        return caption_cues(one, voice)
    return vtt_cues(one, silence, voice)
