"""Filters of the front end: none is empty, and how many there may be is said."""

from __future__ import annotations

import numpy as np
import pytest

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.audio.filters import check_filters, mel_filters
from speechattn.errors import ConfigError
from speechattn.studies import spoken_digits
from speechattn.training import read_config


@pytest.mark.parametrize(
    ("edges", "most"),
    [
        ({}, 126),
        ({"low_freq": 0.0}, 114),
        ({"low_freq": 100.0, "high_freq": 7000.0}, 129),
        ({"low_freq": 20.0, "high_freq": 300.0}, 15),
    ],
)
def test_no_filter_is_empty(edges, most):
    for bins in range(3, most + 1):
        filters = mel_filters(FrontEndConfig(num_mel_bins=bins, **edges))
        assert (filters.max(1) > 0).all()
    for bins in (most + 1, 200, 10**12):
        with pytest.raises(ConfigError, match=f"num_mel_bins: {bins}; .* empty: at most {most}$"):
            check_filters(FrontEndConfig(num_mel_bins=bins, **edges))


def test_edges_may_be_too_near_for_any_filters():
    with pytest.raises(ConfigError, match="from 3000 to 3010 Hz .*give edges farther apart"):
        check_filters(FrontEndConfig(low_freq=3000.0, high_freq=3010.0))


def test_a_front_end_warns_and_a_recipe_is_refused():
    with pytest.warns(UserWarning, match="num_mel_bins: 128; .* at most 126"):
        frames = FrontEnd(FrontEndConfig(num_mel_bins=128))(np.zeros(16000, np.float32))
    assert frames.shape == (100, 128)
    with pytest.raises(ConfigError, match="num_mel_bins: 128"):
        read_config("kathleen", ["front_end.num_mel_bins=128"])
    with pytest.raises(ConfigError, match="num_mel_bins: 128"):
        spoken_digits.Config(front_end=FrontEndConfig(num_mel_bins=128))
