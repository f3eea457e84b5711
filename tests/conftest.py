"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Examples take as long as the machine lets them, which other work may share.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory):
    """Neither the user's cache nor what it holds has a part in the tests."""
    os.environ["SPEECHATTN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real corpora; tests that need it are skipped, loudly, where it is missing."""
    folder = Path(os.environ.get("SPEECHATTN_CORPORA", CORPORA))
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder}; set SPEECHATTN_CORPORA to run this test")
    return folder


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory) -> Path:
    """A saved model with random weights, small enough to run in milliseconds."""
    from support.models import save_tiny_model

    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_tiny_model(folder)
    return folder
