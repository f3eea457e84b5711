"""What outputs call a recording, and the way from them to it."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from support.recordings import needs_posix

from speechattn.transcription.formats.names import (
    RecordingName,
    media_path,
    named,
    utterance_name,
)


def test_a_name_is_text_with_what_outputs_say():
    name = RecordingName("a/b.wav", keep_suffix=True, media="../rec/a/b.wav")
    assert name == "a/b.wav" and (name.utterance, name.media) == ("a/b.wav", "../rec/a/b.wav")
    copy = pickle.loads(pickle.dumps(name))
    assert (copy, copy.utterance, copy.media) == (name, name.utterance, name.media)
    assert (named("a/b.wav").utterance, named("a/b.wav").media) == ("a/b", "b.wav")
    assert utterance_name("a/b.wav") == "a/b"


@needs_posix
@pytest.mark.parametrize("folder", ["out", "out/deep/er", "rec", "."])
def test_the_way_leads_to_the_recording(tmp_path, monkeypatch, folder):
    monkeypatch.chdir(tmp_path)
    for name in ("rec", "out/deep/er", "elsewhere/far"):
        Path(name).mkdir(parents=True)
    Path("rec/a.wav").touch()
    Path("link").symlink_to("elsewhere/far")
    for start in (Path(folder), Path("link")):  # .. leads above what a link leads to
        way = media_path(Path("rec/a.wav"), start)
        assert way is not None and (start.resolve() / way).samefile("rec/a.wav")
