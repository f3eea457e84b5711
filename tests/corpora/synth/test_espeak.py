from __future__ import annotations

import sys

import espeakng_loader
import numpy as np
import pytest

from speechattn.corpora.synth import espeak as module
from speechattn.corpora.synth.espeak import espeak
from speechattn.errors import UsageError


def test_speech_has_samples_and_ordered_phonemes():
    samples, rate, phonemes = espeak().synthesize("Nine green apples, please.")
    assert samples.dtype == np.int16 and rate == 22050
    assert 1.0 < len(samples) / rate < 4.0
    starts = [start for _, start in phonemes]
    assert starts == sorted(starts) and 0 <= starts[0] and starts[-1] <= len(samples) / rate
    assert np.abs(samples.astype(int)).max() > 3000


def test_rate_and_pitch_do_something():
    slow = espeak().synthesize("One two three four", "en-us", "m3", rate=120)
    fast = espeak().synthesize("One two three four", "en-us", "m3", rate=240)
    assert len(slow.samples) > 1.5 * len(fast.samples)

    def period(pitch: int) -> int:
        speech = espeak().synthesize("Ah", "en-us", "m3", pitch=pitch, pitch_range=0)
        x = speech.samples[1000:4000].astype(float)
        return 60 + int(np.argmax(np.correlate(x, x, "full")[len(x) - 1 :][60:500]))

    assert period(20) > 1.3 * period(80)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"voice": "en-xx"}, "en-xx"),
        ({"variant": "nobody"}, "nobody"),
        ({"variant": "../f2"}, "../f2"),
        ({"rate": 500}, "500"),
        ({"pitch": -1}, "-1"),
        ({"pitch_range": 100}, "100"),
        ({"text": " ... "}, "..."),
        ({"text": "a\0b"}, "nothing to say"),
    ],
)
def test_arguments_that_espeak_does_not_have(arguments, word):
    with pytest.raises(UsageError) as error:
        espeak().synthesize(**{"text": "Hello", **arguments})
    assert word in str(error.value) and "\n" not in str(error.value)


def test_one_synthesizer_a_process():
    assert espeak() is espeak()


def test_missing_wheel(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UsageError, match="pip install espeakng-loader"):
        module._load()


def test_broken_library(monkeypatch, tmp_path):
    broken = tmp_path / "libespeak-ng.so"
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(broken))
    with pytest.raises(UsageError, match="cannot be loaded"):
        module._load()


def test_error_inside_the_callback_is_raised(monkeypatch):
    def fail(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(module.np.ctypeslib, "as_array", fail)
    with pytest.raises(MemoryError, match="no room"):
        espeak().synthesize("Hello there")
    monkeypatch.undo()
    assert len(espeak().synthesize("Hello there").samples)
