"""Calibration: errors and tables against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechattn.evaluation.calibration import Calibration
from speechattn.training.decoding import fit_confidence


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40))
def test_calibration_error_by_definition(phones):
    calibration = Calibration()
    for confidence, right in phones:
        calibration.add([confidence], [right])
    confidences, rights = np.array(phones, dtype=float).T
    edges = np.arange(1, 10) / 10
    bins = np.searchsorted(edges, confidences, side="right")
    gaps = [
        (bins == b).mean() * abs(rights[bins == b].mean() - confidences[bins == b].mean())
        for b in np.unique(bins)
    ]
    assert calibration.error() == pytest.approx(sum(gaps), abs=1e-9)
    table = calibration.table()
    assert [row.phones for row in table] == np.bincount(bins, minlength=10).tolist()
    assert table[0].low == 0 and table[-1].high == 1


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=20), st.integers(0, 20))
def test_adding_two_pools_their_phones(phones, cut):
    parts = [Calibration(), Calibration(), Calibration()]
    for calibration, some in zip(parts, (phones, phones[:cut], phones[cut:])):
        calibration.add([c for c, _ in some], [r for _, r in some])
    whole, pooled = parts[0], parts[1] + parts[2]
    assert [(row.phones, row.accuracy) for row in pooled.table()] == [
        (row.phones, row.accuracy) for row in whole.table()
    ]
    assert pooled.error() == pytest.approx(whole.error(), abs=1e-9)


def test_without_phones_there_is_no_error():
    assert Calibration().error() is None
    assert {(row.phones, row.confidence, row.accuracy) for row in Calibration().table()} == {
        (0, None, None)
    }


def test_a_fit_finds_how_confidences_were_bent():
    random = np.random.default_rng(0)
    truth = random.uniform(0.02, 0.98, 40_000)
    right = random.uniform(size=len(truth)) < truth
    bent = 1 / (1 + np.exp(-(np.log(truth / (1 - truth)) - 0.8) / 1.7))  # slope 1.7, offset 0.8
    logits = np.log(bent / (1 - bent))
    noise = random.normal(size=len(bent))
    slope, none, offset = fit_confidence(np.stack([logits, noise], 1), right, np.ones(len(bent)))
    assert abs(none) < 0.05
    assert slope == pytest.approx(1.7, abs=0.06) and offset == pytest.approx(0.8, abs=0.06)


def test_a_fit_finds_what_else_counts():
    random = np.random.default_rng(1)
    facts = random.normal(size=(40_000, 3))
    right = random.uniform(size=len(facts)) < 1 / (1 + np.exp(-(facts @ [0.8, 1.5, -0.7] + 0.4)))
    found = fit_confidence(facts, right, np.ones(len(facts)))
    assert found == pytest.approx((0.8, 1.5, -0.7, 0.4), abs=0.06)


def test_weights_count():
    """Two corpora disagree; the one that weighs all decides."""
    confidences = [0.6] * 200
    right = [True] * 90 + [False] * 10 + [True] * 20 + [False] * 80
    logits = [[np.log(1.5)] for _ in confidences]
    slope, offset = fit_confidence(logits, right, [1.0] * 100 + [0.0] * 100)
    assert 1 / (1 + np.exp(-(slope * np.log(1.5) + offset))) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize(
    ("confidences", "right"),
    [([], []), ([0.2, 0.9], [True, True]), ([0.2, 0.9] * 50, [True, False] * 50)],
    ids=["nothing", "all right", "surer is worse"],
)
def test_where_nothing_can_be_learned_confidences_stay(confidences, right):
    facts = [(np.log(p / (1 - p)), 1.0, 2.0) for p in confidences]
    expected = (1.0, 0.0, 0.0, 0.0) if facts else (1.0, 0.0)
    assert fit_confidence(facts, right, [1.0] * len(right)) == expected
