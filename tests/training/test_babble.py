import types

import numpy as np

from speechattn.training.babble import FRAMES, TALKERS, babble


class Utterances:
    """A training set of utterances, each with all its energy in a bin of its own."""

    def __init__(self, bins):
        self.entries = [types.SimpleNamespace(number=number) for number in range(bins)]

    def frames(self, entry):
        frames = np.full((40 + entry.number, len(self.entries)), -12.0, np.float32)
        frames[:, entry.number] = 3.0 + entry.number  # some are much louder
        return frames


def test_each_noise_has_the_energy_of_its_talkers_in_equal_shares():
    noises = babble(Utterances(30), 20, seed=3)
    assert len(noises) == 20
    for noise in noises:
        assert noise.shape == (FRAMES, 30) and noise.dtype == np.float16
        energy = np.exp(noise.astype(np.float64)).mean(0)
        assert np.isclose(energy.mean(), TALKERS, rtol=0.01)
        heard = energy[energy > 1] / 30  # of a talker, whose mean over bins is 1
        assert np.allclose(heard, heard.round(), rtol=0.02) and heard.round().sum() == TALKERS


def test_noises_depend_on_the_seed_alone():
    first, again, other = (babble(Utterances(9), 4, seed) for seed in (1, 1, 2))
    assert all(map(np.array_equal, first, again))
    assert not any(map(np.array_equal, first, other))
    assert babble(Utterances(9), 0, 1) == []
