"""The shape of an encoder: what is impossible is named, what follows from it is right."""

from __future__ import annotations

import json
import math

import pytest

from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.schema import build

LEARNED, DISTANCE = {"positions": "learned"}, {"positions": "distance"}


@pytest.mark.parametrize(
    "values, parts",
    [
        ({"width": 0}, ["encoder.width", "0"]),
        ({"blocks": 2.0}, ["encoder.blocks", "2.0"]),
        ({"feedforward": True}, ["encoder.feedforward", "True"]),
        ({"stack": -1}, ["encoder.stack", "-1"]),
        ({"width": 30, "heads": 4}, ["encoder.heads", "4", "encoder.width 30"]),
        ({"width": 12, "heads": 4}, ["encoder.heads", "4", "12"]),
        ({"subsampling": "pool"}, ["encoder.subsampling", "'pool'", "linear, convolution"]),
        ({"conv_kernel": 4}, ["encoder.conv_kernel", "4", "odd"]),
        ({"conv_kernel": -3}, ["encoder.conv_kernel", "-3"]),
        ({"conv_kernel": 3.0}, ["encoder.conv_kernel", "3.0"]),
        ({"conv_right": 0}, ["encoder.conv_right", "0", "encoder.conv_kernel"]),
        ({"conv_kernel": 5, "conv_right": 5}, ["encoder.conv_right", "5", "0 to 4"]),
        ({"conv_kernel": 5, "conv_right": -1}, ["encoder.conv_right", "-1"]),
        ({"conv_kernel": 5, "conv_right": 1.0}, ["encoder.conv_right", "1.0"]),
        ({"window": 8}, ["encoder.window", "8", "[left, right]"]),
        ({"any_window": 8}, ["encoder.any_window", "8", "[least, most]"]),
        ({"any_window": (8, None)}, ["encoder.any_window", "[8, None]", "[least, most]"]),
        ({"any_window": "8"}, ["encoder.any_window", "'8'", "[least, most]"]),
        ({"scores": "cosine"}, ["encoder.scores", "'cosine'", "dot, additive"]),
        ({"weights": "max"}, ["encoder.weights", "'max'", "softmax, relu"]),
        ({"positions": "gps"}, ["encoder.positions", "'gps'", "rotary"]),
        ({"scores": "additive"}, ["encoder.positions", "'rotary'", "'additive'"]),
        ({"width": 30, "heads": 4, "positions": "none"}, ["encoder.heads", "4", "30"]),
        ({"positions": "learned"}, ["encoder.trained_length", "null", "10 ms"]),
        ({**LEARNED, "trained_length": 0}, ["encoder.trained_length", "0"]),
        ({**LEARNED, "trained_length": 99.0}, ["encoder.trained_length", "99.0"]),
        ({**LEARNED, "trained_length": 99, "stack": 2}, ["encoder.trained_length", "stack (2)"]),
        ({"trained_length": 99}, ["encoder.trained_length", "99", "'rotary'", "'learned'"]),
        ({"reach": 9}, ["encoder.reach", "9", "'rotary'", "'distance'"]),
        ({**DISTANCE, "reach": -1}, ["encoder.reach", "-1"]),
        ({**DISTANCE, "reach": 3, "stack": 2}, ["encoder.reach", "3", "stack (2)"]),
        ({**DISTANCE, "window": (None, 4)}, ["encoder.reach", "null", "window"]),
        ({"dropout": 1.0}, ["encoder.dropout", "1.0"]),
        ({"dropout": -0.1}, ["encoder.dropout", "-0.1"]),
        ({"dropout": math.nan}, ["encoder.dropout", "nan"]),
        ({"window": (-1, 4)}, ["encoder.window", "-1"]),
        ({"window": (1.5, 4)}, ["encoder.window", "1.5"]),
        ({"window": (True, 4)}, ["encoder.window", "True"]),
        ({"window": (3, 4), "stack": 2}, ["encoder.window", "3", "stack (2)"]),
        ({"window": (3,)}, ["encoder.window", "(3,)", "5 blocks"]),
        ({"window": ()}, ["encoder.window", "()"]),
        ({"window": ((1, 2), (3, 4)), "blocks": 3}, ["encoder.window", "3 blocks"]),
        ({"window": ((1, 2), (3, 4, 5)), "blocks": 2}, ["encoder.window", "(3, 4, 5)"]),
        ({"window": ((1, 2), 3), "blocks": 2}, ["encoder.window", "2 blocks"]),
        ({"window": (1, "all")}, ["encoder.window", "'all'", "null"]),
    ],
)
def test_impossible_values_are_named(values, parts):
    with pytest.raises(ConfigError) as error:
        EncoderConfig(**values)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"blocks": 2, "window": ((6, 0), (None, 5)), "positions": "none"},
        {"conv_kernel": 5, "conv_right": 0, "scores": "additive", "weights": "relu", **DISTANCE},
        {"stack": 2, "trained_length": 400, **LEARNED},
    ],
)
def test_config_round_trip_by_way_of_json(shape):
    config = EncoderConfig(**shape)
    assert EncoderConfig(**json.loads(json.dumps(config.to_dict()))) == config
    assert len(config.windows) == config.blocks


def test_a_file_from_before_these_options_has_the_defaults():
    old = {
        "width": 64, "heads": 2, "feedforward": 96, "blocks": 2, "window": [[4, 4], [8, None]],
        "conv_kernel": 5, "positions": "none", "stack": 1, "dropout": 0.1,
    }  # fmt: skip
    config = build(EncoderConfig, old, "encoder.")
    assert (config.scores, config.weights, config.conv_sides) == ("dot", "softmax", (2, 2))
    assert (config.trained_length, config.reach, config.look_ahead) == (None, None, None)
    assert config.subsampling == "linear" and "subsampling" not in config.to_dict()


@pytest.mark.parametrize(
    ("shape", "reaches"),
    [
        ({"window": (8, 3)}, [8] * 5),
        ({"window": ((8, 3), (0, 0)), "blocks": 2}, [8, 0]),
        ({"window": ((8, 3), (0, 0)), "blocks": 2, "reach": 4}, [4, 0]),
        ({"window": ((8, None), (0, 4)), "blocks": 2, "reach": 6}, [6, 4]),
        ({"window": (8, 8), "reach": 0}, [0] * 5),
    ],
)
def test_a_bias_reaches_as_far_as_the_window_at_most(shape, reaches):
    assert EncoderConfig(**DISTANCE, **shape).reaches == reaches


@pytest.mark.parametrize(
    "shape, left, right",
    [
        ({"blocks": 5, "window": (32, 32)}, 160, 160),
        ({"blocks": 2, "window": ((8, 2), (0, 4)), "stack": 2, "conv_kernel": 3}, 13, 11),
        ({"blocks": 3, "window": (8, 0), "conv_kernel": 5, "conv_right": 0}, 36, 0),
        ({"blocks": 2, "window": (4, 2), "conv_kernel": 5, "conv_right": 3, "stack": 2}, 13, 17),
        ({"blocks": 2, "window": (4, 2), "stack": 2, "subsampling": "convolution"}, 11, 7),
        ({"blocks": 1, "window": (None, 3)}, None, 3),
        ({"blocks": 2, "window": ((4, 4), (4, None))}, 8, None),
    ],
)
def test_reach_by_hand(shape, left, right):
    config = EncoderConfig(**shape)
    assert (config.context(0), config.context(1), config.look_ahead) == (left, right, right)
    if None in (left, right):
        assert config.receptive_field_ms is None
    else:
        assert config.receptive_field_ms == (left + right + 1) * 10
