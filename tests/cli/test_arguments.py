"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import re

import pytest

from speechattn.cli.arguments import int_argument, parse_scale
from speechattn.errors import ConfigError, UsageError
from speechattn.options import parse_device, parse_window


def test_a_window_is_two_numbers():
    assert parse_window("32/4") == (32, 4) and parse_window("0/0") == (0, 0)
    for text in ("", "4", "4/", "/4", "-1/4", "4/4/4", "4,4", "a/b", "1.5/2"):
        with pytest.raises(UsageError, match="--window .*: LEFT/RIGHT"):
            parse_window(text)


def test_a_whole_number_has_limits():
    parse = int_argument(1, 9)
    assert parse("1") == 1 and parse("9") == 9
    for text in ("0", "10", "x", "1.0", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is no number from 1 to 9"):
            parse(text)


def test_a_scale_is_a_number_from_0_on():
    assert parse_scale("0") == 0 and parse_scale("1.5") == 1.5 and parse_scale("1e1") == 10
    for text in ("-0.1", "nan", "inf", "x", "", "1,5"):
        with pytest.raises(argparse.ArgumentTypeError, match="is no number from 0 on"):
            parse_scale(text)


def test_names_of_devices_are_those_of_the_api():
    for name in ("auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:12", "mps"):
        assert parse_device(name) == name
    for name in ("", "gpu", "cuda:", "cuda:-1", "cuda:01", "cuda 0", "CUDA", "meta", "auto:0"):
        with pytest.raises(ConfigError, match=re.escape(f"device: {name!r}: no name of a device")):
            parse_device(name)
