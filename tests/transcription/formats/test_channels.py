"""Several channels in one file: what other libraries read is each channel as it is alone."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pympi
import pytest
import webvtt
from praatio import textgrid as praat
from support.transcriptions import EXAMPLE

from speechattn.errors import UsageError
from speechattn.segments import Segment
from speechattn.transcription.formats.registry import WRITERS, check_channels

OTHER = replace(
    EXAMPLE, phones=[Segment("AA", 0.0, 0.2, 0.5), Segment("SIL", 0.2, 1 / 3)], channel=1
)
CHANNELS = [replace(EXAMPLE, channel=0), OTHER]


def rows(channel) -> list[tuple[str, float, float]]:
    return [(each.label, each.start, round(each.end, 6)) for each in channel.phones]


@pytest.mark.parametrize("name", ["textgrid", "textgrid-short"])
def test_tiers_as_praatio_reads_them(tmp_path, name):
    path = tmp_path / "a.TextGrid"
    path.write_text(WRITERS[name].render(CHANNELS, "a.wav"))
    grid = praat.openTextgrid(str(path), includeEmptyIntervals=True)
    assert grid.tierNames == ("channel 0 - phones", "channel 1 - phones")
    for channel in CHANNELS:
        tier = grid.getTier(f"channel {channel.channel} - phones")
        told = [
            ("" if label == "SIL" else label, start, end) for label, start, end in rows(channel)
        ]
        assert [(e.label, e.start, e.end) for e in tier.entries] == told


def test_ctm_and_audacity_lines():
    lines = WRITERS["ctm"].render(CHANNELS, "a.wav").splitlines()
    assert [line.split()[1] for line in lines] == ["1"] * 3 + ["2"] * 2
    for channel, number in zip(CHANNELS, "12"):
        alone = WRITERS["ctm"].render(channel, "a.wav").splitlines()
        assert [line for line in lines if line.split()[1] == number] == alone
    labels = [
        line.split("\t") for line in WRITERS["audacity"].render(CHANNELS, "a.wav").splitlines()
    ]
    assert [label for _, _, label in labels] == ["0: SIL", "1: AA", '0: K"', "1: SIL", "0: AE"]
    assert [float(start) for start, _, _ in labels] == [0, 0, 0.1, 0.2, 0.3]


def test_json_and_csv():
    values = json.loads(WRITERS["json"].render(CHANNELS, "a.wav"))
    assert (
        values["file"] == "a.wav"
        and values["duration"] == round(1 / 3, 6)
        and "phones" not in values
    )
    assert [one["channel"] for one in values["channels"]] == [0, 1]
    for one, channel in zip(values["channels"], CHANNELS, strict=True):
        alone = json.loads(WRITERS["json"].render(channel, "a.wav"))
        assert one["phones"] == alone["phones"]
    table = list(csv.DictReader(io.StringIO(WRITERS["csv"].render(CHANNELS, "a.wav"))))
    assert [(row["channel"], row["label"]) for row in table] == [
        (str(one.channel), phone.label) for one in CHANNELS for phone in one.phones
    ]


def test_elan_and_captions_of_phones(tmp_path):
    (tmp_path / "a.eaf").write_text(WRITERS["eaf"].render(CHANNELS, "a.wav"))
    document = pympi.Elan.Eaf(str(tmp_path / "a.eaf"))
    for channel in CHANNELS:
        found = sorted(document.get_annotation_data_for_tier(f"channel {channel.channel} - phones"))
        assert [each[2] for each in found] == [phone.label for phone in channel.phones]
        assert [each[0] for each in found] == [round(1000 * s.start) for s in channel.phones]
    (tmp_path / "a.vtt").write_text(WRITERS["vtt"].render(CHANNELS, "a.wav"))
    cues = list(webvtt.read(str(tmp_path / "a.vtt")))
    assert [(cue.voice, cue.text) for cue in cues] == [
        ("channel 1", "AA"), ("channel 0", 'K"'), ("channel 0", "AE"),
    ]  # fmt: skip


def test_a_format_of_one_channel_is_refused():
    with pytest.raises(UsageError, match="format lab: holds one channel"):
        check_channels(["textgrid", "lab"])
    with pytest.raises(ValueError, match="2 channels"):
        WRITERS["lab"].render(CHANNELS, "a.wav")


def test_speakers_have_tiers_as_mfa_names_them(tmp_path):
    speakers = (
        replace(EXAMPLE, speaker='Anna & "Bo"', words=[Segment("ow", 0.1, 0.3)]),
        replace(OTHER, speaker="Cem", channel=None, words=[Segment("ah", 0.0, 0.2)]),
    )
    both = replace(speakers[0], speakers=speakers)
    path = tmp_path / "a.TextGrid"
    path.write_text(WRITERS["textgrid"].render(both, "a.wav"))
    grid = praat.openTextgrid(str(path), includeEmptyIntervals=True)
    tiers = [f"{one.speaker} - {tier}" for one in speakers for tier in ("words", "phones")]
    assert [name.replace('""', '"') for name in grid.tierNames] == tiers
    values = json.loads(WRITERS["json"].render(both, "a.wav"))
    assert [one["speaker"] for one in values["speakers"]] == ['Anna & "Bo"', "Cem"]
    assert values["speakers"][1]["words"][0]["label"] == "ah"
    table = list(csv.DictReader(io.StringIO(WRITERS["csv"].render(both, "a.wav"))))
    assert {row["speaker"] for row in table} == {'Anna & "Bo"', "Cem"}
    (tmp_path / "a.eaf").write_text(WRITERS["eaf"].render(both, "a.wav"))
    assert set(tiers) <= set(pympi.Elan.Eaf(str(tmp_path / "a.eaf")).get_tier_names())
    assert WRITERS["txt"].render(both, "a.wav").splitlines() == ["Cem: ah", 'Anna & "Bo": ow']
