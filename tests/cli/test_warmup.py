"""The command ``speechattn warmup``."""

from __future__ import annotations

import pytest

from speechattn.cli.main import main
from speechattn.inference.recognizer import Recognizer


def test_models_are_prepared_and_the_cache_is_named(tiny_model_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SPEECHATTN_CACHE", str(tmp_path))
    assert main(["warmup", str(tiny_model_dir), "--precision", "fp32"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{tiny_model_dir}: ready in fp32 (")
    assert second == f"cache: {tmp_path}"


@pytest.mark.parametrize("known", [True, False])
def test_words_are_prepared_where_the_model_knows_any(known, tiny_model_dir, monkeypatch):
    asked = []
    monkeypatch.setattr(Recognizer, "transcribe", lambda *_, **options: asked.append(options))
    if known:
        monkeypatch.setattr(Recognizer, "check", lambda *_: None)
    assert main(["warmup", str(tiny_model_dir)]) == 0
    assert [options.get("words", False) for options in asked] == [known]


def test_without_a_cache_the_command_says_so(tiny_model_dir, monkeypatch, capsys):
    monkeypatch.setenv("SPEECHATTN_CACHE", "")
    assert main(["warmup", str(tiny_model_dir)]) == 0
    assert "no cache" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_an_error(capsys):
    assert main(["warmup", "no-such-model"]) == 2
    assert "no-such-model" in capsys.readouterr().err
