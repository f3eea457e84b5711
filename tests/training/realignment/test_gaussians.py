"""Mixtures against SciPy's densities, cepstra against librosa's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from speechattn.training.realignment.gaussians import CEPSTRA, Mixtures, cepstra


def three_clouds() -> tuple[np.ndarray, np.ndarray]:
    """Frames around -2, 0 and 2; the last two are of one state."""
    random = np.random.default_rng(1)
    frames = np.concatenate([random.normal(m, 0.5, (300, 3)) for m in (-2.0, 0.0, 2.0)])
    return frames.astype(np.float32), np.repeat([0, 1, 1], 300)


def test_no_round_makes_the_frames_less_likely_and_parts_find_the_clouds():
    frames, labels = three_clouds()
    mixtures, means = Mixtures(3), []
    for parts in (1, 2, 2, 2, 2, 2):
        mixtures.learn(frames, labels, [parts] * 3)
        means.append(mixtures.scores(frames)[labels == 1, 1].mean())
    assert (np.diff(means) > -1e-3).all()
    own = mixtures._mixtures[1]
    assert sorted(own.means.mean(1)) == pytest.approx([0, 2], abs=0.15)
    found = mixtures.scores(frames)
    assert (found[:, :2].argmax(1) == labels).mean() > 0.99
    assert 0 < (found.argmax(1) == 2).mean() < 0.1  # a state that was never seen fits anything


def test_scores_are_the_densities_of_scipy():
    frames, labels = three_clouds()
    mixtures = Mixtures(3)
    for parts in ([1, 1, 1], [1, 3, 1]):
        mixtures.learn(frames, labels, parts)
    scores = mixtures.scores(frames)
    assert scores.dtype == np.float32
    for state in (0, 1):
        own = mixtures._mixtures[state]
        assert len(own.weights) == (1, 3)[state]
        parts = zip(own.means, own.variances, own.weights)
        density = sum(w * multivariate_normal(m, np.diag(v)).pdf(frames) for m, v, w in parts)
        np.testing.assert_allclose(scores[:, state], np.log(density), rtol=1e-3, atol=1e-3)
    whole = multivariate_normal(frames.mean(0), np.diag(frames.var(0)))
    np.testing.assert_allclose(scores[:, 2], whole.logpdf(frames), rtol=1e-3, atol=1e-3)


def test_a_mixture_has_no_more_parts_than_its_frames_allow():
    frames, labels = three_clouds()
    labels[:] = 1
    labels[:60] = 0
    labels[60:64] = 2
    mixtures = Mixtures(3)
    mixtures.learn(frames, labels, [8, 8, 8])
    assert [m and len(m.weights) for m in mixtures._mixtures] == [1, 8, None]


def test_cepstra_are_those_of_librosa_with_their_differences():
    librosa = pytest.importorskip("librosa")
    log_mel = np.random.default_rng(2).normal(size=(40, 20)).astype(np.float32)
    found = cepstra(log_mel)
    plain = librosa.feature.mfcc(S=log_mel.T, n_mfcc=CEPSTRA).T
    plain = plain - plain.mean(0)
    np.testing.assert_allclose(found[:, :CEPSTRA], plain, atol=1e-4)
    slopes = librosa.feature.delta(plain, width=5, axis=0, mode="nearest")
    np.testing.assert_allclose(found[:, CEPSTRA : 2 * CEPSTRA], slopes, atol=1e-4)
