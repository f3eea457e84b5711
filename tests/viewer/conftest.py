"""What the tests of pages share."""

from __future__ import annotations

import pytest

from speechattn.cli.main import main


@pytest.fixture
def run(tmp_path, tiny_model_dir, monkeypatch, capsys):
    """Run the command in an empty folder; returns its status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: object) -> tuple[int, str]:
        words = [str(argument) for argument in arguments]
        status = main(["show", *words, "--model", str(tiny_model_dir), "--device", "cpu"])
        return status, capsys.readouterr().err

    return call
