"""Options of a transcription are checked when they are made."""

from __future__ import annotations

import numpy as np
import pytest

from speechattn.errors import UsageError
from speechattn.inference.transcription import TranscribeOptions


@pytest.mark.parametrize("number", [-1, 2.5, float("nan"), True, "2"])
def test_numbers_of_alternatives_that_make_no_sense(number):
    with pytest.raises(UsageError, match="alternatives: .* is no number of phones; give 0 or more"):
        TranscribeOptions(alternatives=number)


def test_labels_that_do_not_exist():
    with pytest.raises(UsageError, match="labels: 'sampa' is unknown; choose from arpabet, ipa"):
        TranscribeOptions(labels="sampa")


def test_integers_of_any_type():
    assert TranscribeOptions(alternatives=np.int64(3)).alternatives == 3
