"""Options of a transcription are checked when they are made."""

from __future__ import annotations

import numpy as np
import pytest

from speechattn.errors import UsageError
from speechattn.inference.transcription import TranscribeOptions, Transcription
from speechattn.segments import Segment


@pytest.mark.parametrize("number", [-1, 2.5, float("nan"), True, "2"])
def test_numbers_of_alternatives_that_make_no_sense(number):
    with pytest.raises(UsageError, match="alternatives: .* is no number of phones; give 0 or more"):
        TranscribeOptions(alternatives=number)


def test_labels_that_do_not_exist():
    with pytest.raises(UsageError, match="labels: 'sampa' is unknown; choose from arpabet, ipa"):
        TranscribeOptions(labels="sampa")


def test_integers_of_any_type():
    assert TranscribeOptions(alternatives=np.int64(3)).alternatives == 3


def test_transcriptions_can_be_compared():
    def made(label, **others):
        posteriors = np.random.default_rng().random((10, 2))
        return Transcription(
            [Segment(label, 0.0, 0.1)], 0.1, 16_000, ("A", "B"), posteriors, **others
        )

    one = made("A", more={"take": 1})
    assert one == made("A", more={"take": 1}) and one in [made("A", more={"take": 1})]
    assert len({one, made("A", more={"take": 1}), made("B")}) == 2
    assert one not in [made("B"), made("A"), made("A", more={"take": 1}, channel=0)]
