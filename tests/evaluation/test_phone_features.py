"""Phone feature errors, against panphon's own distance."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.errors import UsageError
from speechattn.evaluation.phone_features import PhoneFeatures
from speechattn.phones import PhoneSet, arpabet

panphon_distance = pytest.importorskip("panphon.distance", reason="extra [bench]")
PHONES = arpabet()
# As panphon writes them; a diphthong is two segments.
IPA = {"CH": "t͡ʃ", "JH": "d͡ʒ", "ER": "ɜ˞", "SIL": ""}


@pytest.fixture(scope="module")
def features() -> PhoneFeatures:
    return PhoneFeatures(PHONES)


@pytest.fixture(scope="module")
def distance() -> panphon_distance.Distance:
    return panphon_distance.Distance()


def classes(*names: str) -> list[int]:
    return [PHONES.index[name] for name in names]


def test_what_errors_cost(features):
    assert features.errors(classes("B", "AE", "T"), classes("SIL", "B", "AE", "T")) == (0, 3)
    assert features.errors(classes("AY"), []) == (2, 2)  # a diphthong is two segments
    assert features.errors([], classes("T", "SIL", "T")) == (2, 0)
    cost, count = features.errors(classes("P", "AE"), classes("B", "AE"))
    assert (cost, count) == (pytest.approx(1 / 24), 2)  # voice, one of 24 features
    far, _ = features.errors(classes("P"), classes("AA"))
    assert cost < far < 1


sequences = st.lists(st.integers(0, len(PHONES) - 1), max_size=8)


@given(sequences, sequences)
@settings(max_examples=60, deadline=None)
def test_panphon_gives_the_same(features, distance, reference, recognised):
    texts = [
        "".join(IPA.get(PHONES.names[p], PHONES.ipa.get(PHONES.names[p], "")) for p in phones)
        for phones in (reference, recognised)
    ]
    expected = distance.hamming_feature_edit_distance(*texts)
    cost, count = features.errors(reference, recognised)
    assert cost == pytest.approx(expected, abs=1e-9)
    assert count == len(distance.fm.word_fts(texts[0]))


def test_a_phone_without_features_is_named():
    with pytest.raises(UsageError, match="no features of X .7."):
        PhoneFeatures(PhoneSet(("SIL", "X"), ipa={"X": "7"}))
