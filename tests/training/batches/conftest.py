"""The sets of the tests of batches."""

from __future__ import annotations

import pytest
from support.batched import LENGTHS, telling
from support.commands import make_prepared


@pytest.fixture(scope="module")
def utterances():
    return telling(LENGTHS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, utterances):
    return make_prepared(tmp_path_factory.mktemp("telling") / "set", utterances)
