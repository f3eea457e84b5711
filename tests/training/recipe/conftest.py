"""Fixtures of the tests of recipes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.recipes import make_corpora

import speechattn
import speechattn.training.decoding
import speechattn.training.report
import speechattn.training.train_stage


@pytest.fixture
def place(tmp_path) -> Path:
    make_corpora(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _same_threads():
    """A recipe may set torch's threads: give them back to the other tests."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def sketches(monkeypatch) -> None:
    """Empty pictures: drawing takes most of the time of a small run, and others test it."""

    def sketch(path: Path, *_, **__) -> None:
        path.write_bytes(b"")

    for name in ("confusion", "reliability", "training", "utterance"):
        monkeypatch.setattr(speechattn.training.report, f"{name}_picture", sketch)
