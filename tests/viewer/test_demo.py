"""The demo: what its form does, and that it is for this machine alone."""

from __future__ import annotations

import functools
import html
import os
import re
import sys

import numpy as np
import pytest
import soundfile
from praatio import textgrid
from support.spoken import write_speech

from speechattn.alignment import pronunciations
from speechattn.alignment.loading import make_aligner
from speechattn.cli.main import main
from speechattn.errors import SpeechattnError
from speechattn.viewer import texts
from speechattn.viewer.demo import OWN_WINDOW, SILENCED, Demo, demo_app


def test_without_gradio_the_command_says_how_to_install_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gradio", None)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert main(["demo", "--no-browser"]) == 2
    assert 'pip install "speechattn[demo]"' in capsys.readouterr().err


def test_a_recording_gives_the_page_of_show_and_a_textgrid(tmp_path, tiny_model_dir):
    write_speech(tmp_path / "a <b>.wav")
    demo = Demo("cpu", tmp_path)
    recording = str(tmp_path / "a <b>.wav")
    markup, path = demo.show(recording, str(tiny_model_dir), OWN_WINDOW, True)
    assert re.match(r'<iframe title="[^"]+" sandbox="allow-scripts allow-downloads" ', markup)
    page = html.unescape(re.search(r'srcdoc="([^"]*)"></iframe>$', markup)[1])
    assert page.startswith("<!DOCTYPE html>") and "Content-Security-Policy" in page
    assert path.endswith("a <b>.TextGrid")
    grid = textgrid.openTextgrid(path, includeEmptyIntervals=True)
    assert grid.maxTimestamp == pytest.approx(soundfile.info(recording).duration)
    other = demo.show(recording, str(tiny_model_dir), "", False)[1]  # a form left empty
    assert other != path and os.path.exists(path)


def test_a_name_that_a_browser_encoded_is_shown_as_it_was(tmp_path, tiny_model_dir):
    uploaded = tmp_path / "it's %22quoted%22 ü & 100%.wav"
    write_speech(uploaded)
    markup, path = Demo("cpu", tmp_path).show(str(uploaded), str(tiny_model_dir), "", False)
    page = html.unescape(re.search(r'srcdoc="([^"]*)"></iframe>$', markup)[1])
    assert "it&#x27;s &quot;quoted&quot; ü &amp; 100%.wav · speechattn</title>" in page
    assert os.path.basename(path) == 'it\'s "quoted" ü & 100%.TextGrid'


def test_what_is_said_is_aligned(tmp_path, tiny_model_dir, monkeypatch):
    (tmp_path / "words.dict").write_text("nine N AY1 N\n")
    # The dictionary of English takes two seconds to read, and the model knows nothing.
    monkeypatch.setattr(pronunciations, "ENGLISH", str(tmp_path / "words.dict"))
    forced = functools.partial(make_aligner, every_word=True)
    monkeypatch.setattr(texts, "make_aligner", forced)
    write_speech(tmp_path / "a.wav", "Nine.")
    demo = Demo("cpu", tmp_path)
    path = demo.show(str(tmp_path / "a.wav"), str(tiny_model_dir), "", True, " Nine!\n")[1]
    grid = textgrid.openTextgrid(path, includeEmptyIntervals=False)
    assert [entry.label for entry in grid.getTier("words").entries] == ["Nine"]
    assert [entry.label for entry in grid.getTier("phones").entries] == ["N", "AY", "N"]
    with pytest.raises(SpeechattnError, match="no pronunciation of 漢"):
        demo.show(str(tmp_path / "a.wav"), str(tiny_model_dir), "", True, "漢")


@pytest.mark.parametrize(
    ("recording", "window", "message"),
    [
        (None, OWN_WINDOW, "speak into the microphone or drop a file"),
        ("good.wav", "9x9", "LEFT/RIGHT"),
        ("bad.wav", OWN_WINDOW, "bad.wav"),
        ("long.flac", OWN_WINDOW, "11 minutes; the demo takes 10"),
    ],
)
def test_what_cannot_be_shown_is_refused(tmp_path, tiny_model_dir, recording, window, message):
    soundfile.write(tmp_path / "good.wav", np.zeros(8000), 16_000)
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    if recording == "long.flac":
        soundfile.write(tmp_path / recording, np.zeros(660 * 4000, np.int16), 4000)
    path = None if recording is None else str(tmp_path / recording)
    with pytest.raises(SpeechattnError, match=message):
        Demo("cpu", tmp_path).show(path, str(tiny_model_dir), window, True)


def test_the_server_answers_to_this_machine_alone_and_loads_nothing_from_elsewhere(
    monkeypatch, tiny_model_dir
):
    pytest.importorskip("gradio", reason="no gradio; pip install -e '.[demo]' to run this test")
    from fastapi.testclient import TestClient

    monkeypatch.setattr(os, "environ", dict(os.environ))
    with demo_app([str(tiny_model_dir)], "cpu") as app:
        with TestClient(app, base_url="http://127.0.0.1") as client:
            answer = client.get("/")
            assert answer.status_code == 200
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'self'") and "http" not in policy
            assert client.get("/", headers={"host": "evil.example"}).status_code == 400
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == SILENCED["GRADIO_ANALYTICS_ENABLED"] == "0"
