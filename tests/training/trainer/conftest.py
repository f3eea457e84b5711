"""The sets of the tests of the trainer."""

from __future__ import annotations

import pytest
from support.commands import make_prepared
from support.trainings import separable


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    first = make_prepared(folder / "train", separable(40, 1))
    return first, make_prepared(folder / "dev", separable(12, 2))
