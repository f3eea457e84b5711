"""Transcriptions written from Python: the same files as the command's, or a clear refusal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import speechattn
from speechattn.errors import SpeechattnError, UsageError
from speechattn.inference.transcription import Transcription
from speechattn.segments import Segment
from speechattn.transcription.formats.registry import WRITERS
from speechattn.transcription.writing import write_transcription

PHONES = [Segment("SIL", 0.0, 0.5, 0.9), Segment("S", 0.5, 0.7, 0.8), Segment("IY", 0.7, 1.0, 0.75)]
ALONE = Transcription(PHONES, 1.0, 16_000, ("SIL", "S", "IY"))
WITH_WORDS = replace(ALONE, words=[Segment("see", 0.5, 1.0, 0.7)], confidence=0.7)


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_is_what_the_command_writes(tmp_path, kind):
    path = tmp_path / f"a{WRITERS[kind].suffix}"
    written = write_transcription(WITH_WORDS, path, format=kind)
    assert written[0] == path and set(tmp_path.iterdir()) == set(written)
    assert path.read_text("utf-8") == WRITERS[kind].render(WITH_WORDS, path.name)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.TextGrid", "textgrid"), ("b.JSON", "json"), ("c.d.ctm", "ctm"), ("e.txt", "txt")],
)
def test_the_suffix_tells_the_format(tmp_path, name, kind):
    write_transcription(WITH_WORDS, str(tmp_path / name))
    assert (tmp_path / name).read_text("utf-8") == WRITERS[kind].render(WITH_WORDS, name)


def test_words_go_to_a_file_of_their_own_where_the_format_has_no_tiers(tmp_path):
    assert write_transcription(WITH_WORDS, tmp_path / "a.ctm") == [
        tmp_path / "a.ctm",
        tmp_path / "a.words.ctm",
    ]
    assert (tmp_path / "a.words.ctm").read_text().split() == [
        "a",
        "1",
        "0.5",
        "0.5",
        "see",
        "0.7000",
    ]
    assert write_transcription(ALONE, tmp_path / "b.ctm") == [tmp_path / "b.ctm"]


def test_channels_are_written_together_where_the_format_holds_them(tmp_path):
    both = [replace(ALONE, channel=number) for number in (0, 1)]
    write_transcription(both, tmp_path / "a.TextGrid")
    assert "channel 1 - phones" in (tmp_path / "a.TextGrid").read_text()
    with pytest.raises(UsageError, match="format lab: holds one channel"):
        write_transcription(both, tmp_path / "a.lab")


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("a.doc", None, r"a\.doc: no format has the suffix '\.doc'; give one of textgrid, ctm"),
        ("a", None, r"a: no format has the suffix ''"),
        ("a.npz", "npz", "unknown format 'npz'; choose from textgrid"),
        ("a.ctm", "ctm-words", "unknown format 'ctm-words'"),
        ("a.srt", None, r"a\.srt: format srt holds words, and there are none"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, name, kind, message):
    with pytest.raises(UsageError, match=message):
        write_transcription(ALONE, tmp_path / name, format=kind)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("given", [True, False])
def test_outputs_name_the_recording(tmp_path, given):
    recording = tmp_path / "talks" / "a.wav"
    found = replace(WITH_WORDS, path=tmp_path / "other.wav" if given else recording)
    options = {"audio": str(recording)} if given else {}
    for name in ("out/b.eaf", "out/b.json", "out/b.ctm"):
        write_transcription(found, tmp_path / name, **options)
    eaf = (tmp_path / "out" / "b.eaf").read_text()
    assert 'MEDIA_URL="../talks/a.wav" MIME_TYPE="audio/x-wav"' in eaf
    assert json.loads((tmp_path / "out" / "b.json").read_text())["file"] == "a.wav"
    assert (tmp_path / "out" / "b.words.ctm").read_text().startswith("a 1 0.5")


def test_an_empty_string_of_phones_is_a_field_of_a_ctm(tmp_path):
    empty = replace(ALONE, phones=[Segment("", 0.0, 1.0, 0.0)])
    write_transcription(empty, tmp_path / "a.ctm")
    assert (tmp_path / "a.ctm").read_text() == "a 1 0 1 <eps> 0.0000\n"


def test_a_channel_may_be_a_number_of_numpy(tmp_path):
    write_transcription([replace(ALONE, channel=np.int64(1))], tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())["channels"][0]["channel"] == 1


def test_no_channels_at_all_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"a\.json: an empty list"):
        write_transcription([], tmp_path / "a.json")


def test_folders_are_made_and_what_cannot_be_is_named(tmp_path):
    speechattn.write_transcription(ALONE, tmp_path / "new" / "folder" / "a.json")
    assert (tmp_path / "new" / "folder" / "a.json").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(SpeechattnError, match=r"file.a\.json"):
        write_transcription(ALONE, tmp_path / "file" / "a.json")


def test_what_was_there_before_is_replaced(tmp_path):
    path = Path(tmp_path / "a.json")
    path.write_text("old")
    write_transcription(ALONE, path)
    assert path.read_text() == WRITERS["json"].render(ALONE, "a.json")
