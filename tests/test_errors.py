"""Messages of errors."""

from __future__ import annotations

import pickle

import pytest

from speechattn import errors


@pytest.mark.parametrize("kind", [errors.AudioError, errors.ModelError, errors.SpeechattnError])
def test_a_message_is_one_line_whatever_it_quotes(kind):
    error = kind("a\nb\x1b[2J\udcff é: wrong; leave it out")
    assert str(error) == r"a\nb\x1b[2J\udcff é: wrong; leave it out"
    assert str(kind(str(error))) == str(error)  # of an error that quotes another
    again = pickle.loads(pickle.dumps(error))  # from another process
    assert type(again) is kind and str(again) == str(error)
