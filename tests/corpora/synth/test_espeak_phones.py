from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.corpora.synth import espeak_phones as module
from speechattn.corpora.synth.espeak import ACCENTS, Speech, espeak
from speechattn.corpora.synth.espeak_phones import STOPS, PhonemeTable, phone_spans
from speechattn.errors import ConfigError

RATE = 1000  # Hz, of the made-up signals


@pytest.fixture(scope="module")
def table() -> PhonemeTable:
    return PhonemeTable()


def spoken(text: str, accent: str, table: PhonemeTable, variant: str = "m3"):
    return phone_spans(espeak().synthesize(text, accent, variant), accent, table)


def phones(text: str, accent: str, table: PhonemeTable) -> list[str]:
    return [s.phone for s in spoken(text, accent, table) if s.phone != "SIL"]


def made_up(*pieces: tuple[str, float, np.ndarray]) -> Speech:
    """Speech at 1 kHz from (phoneme, event in seconds, samples) pieces."""
    samples = np.concatenate([p[2] for p in pieces]).astype(np.int16)
    return Speech(samples, RATE, [(name, at) for name, at, _ in pieces])


def hum(amplitude: float, samples: int) -> np.ndarray:
    return amplitude * np.where(np.arange(samples) % 2, 1.0, -1.0)


def test_table_lines_for_one_accent_come_first(table):
    assert table.shares("'A@", "en-us") == (("AA", 0.6), ("R", 0.4))
    assert table.shares("A@", "en-gb") == (("AA", 1.0),)
    assert table.shares("0", "en-us") == (("AA", 1.0),)
    reachable = {
        p for row in table._shares.values() for p, _ in row
    }  # every phone of the set is somewhere
    assert reachable - {"<"} == set(table.phones.names)


def test_unknown_phoneme_is_an_error(table):
    with pytest.raises(ConfigError, match="'y' .accent en-gb"):
        table.shares("'y", "en-gb")
    with pytest.raises(ConfigError, match="'y'"):
        phone_spans(made_up(("y", 0.0, hum(99, 50))), "en-us", table)


@pytest.mark.parametrize(
    "line",
    ["a AE", "a\tmars\tAE", "a\t*\tXX", "a\t*\t", "a\t*\tAA:0.6 R:0.3", "a\t*\tAA:x R:0.4"]
    + ["a\t*\tAA:nan R:0.4", "a\t*\tAA:1.4 R:-0.4", "a\t*\tAE\na\t*\tAA"],
)
def test_bad_table(tmp_path, line):
    path = tmp_path / "table.tsv"
    path.write_text("# comment\n" + line + "\n")
    with pytest.raises(ConfigError, match=r"table.tsv:[23]: "):
        PhonemeTable(path)


@pytest.mark.parametrize(
    ("text", "accent", "expected"),
    [
        ("car", "en-us", "K AA R"),
        ("car", "en-gb", "K AA"),
        ("car", "en-gb-scotland", "K AA R"),
        ("near", "en-us", "N IH R"),
        ("near", "en-gb", "N IH AH"),
        ("jury", "en-us", "JH UH R IY"),
        ("better", "en-us", "B EH T ER"),
        ("better", "en-gb", "B EH T AH"),
        ("button", "en-us", "B AH T N"),
        ("bottle", "en-us", "B AA T AH L"),
        ("bath", "en-gb-x-rp", "B AA TH"),
        ("thing", "en-029", "T IH NG"),
        ("measure", "en-us", "M EH ZH ER"),
        ("boy", "en-gb", "B OY"),
        ("church judge", "en-us", "CH ER CH JH AH JH"),
        ("the early", "en-us", "DH IH ER L IY"),
    ],
)
def test_words(text, accent, expected, table):
    assert phones(text, accent, table) == expected.split()


@pytest.mark.parametrize("accent", ACCENTS)
@pytest.mark.parametrize("variant", ["m3", "f4", "klatt4"])
def test_spans_tile_the_speech(accent, variant, table):
    speech = espeak().synthesize("And the milk fell, near a cold wall.", accent, variant)
    spans = phone_spans(speech, accent, table)
    assert spans[0].start == 0 and spans[-1].end == len(speech.samples) / speech.sample_rate
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert all(s.end >= s.start for s in spans)
    ends = [s.end - s.start for s in spans if s.phone == "L"]
    assert len(ends) == 4 and min(ends) > 0.02  # espeak's own events give "fell" no L at all


def test_stops_begin_in_quiet(table):
    """Where a stop follows a vowel, its first 10 ms are closure (voiceless stops of m3)."""
    speech = espeak().synthesize("A cup, a pit, a top, a cake, a pope.", "en-us", "m3")
    spans = phone_spans(speech, "en-us", table)
    found = 0
    for before, span in pairwise(spans):
        if span.phone in {"P", "T", "K"} and before.phone != "SIL":
            a = round(span.start * speech.sample_rate)
            first = speech.samples[a + 50 : a + 220].astype(float)
            last = speech.samples[a - 220 : a].astype(float)
            assert np.abs(first).max() < 0.1 * np.abs(last).max()
            found += 1
    assert found >= 9


@pytest.mark.parametrize("variant", ["m3", "f4", "adam"])
def test_frication_is_where_s_is(variant, table):
    """The times agree with an independent measure: energy above 4 kHz, within 10 ms."""
    speech = espeak().synthesize(
        "She sees a soft sofa, his sister passes some ice.", "en-us", variant
    )
    spans = phone_spans(speech, "en-us", table)
    hop = speech.sample_rate // 500  # 2 ms
    frames = np.lib.stride_tricks.sliding_window_view(speech.samples.astype(float), 4 * hop)[::hop]
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(4 * hop))) ** 2
    share = spectrum[:, int(4000 * 4 / 500) :].sum(1) / (spectrum.sum(1) + 1e4)
    times = (np.arange(len(share)) * hop + 2 * hop) / speech.sample_rate
    mask = np.zeros(len(share))
    for s in spans:
        if s.phone in {"S", "SH", "Z"}:
            mask[(times >= s.start) & (times < s.end)] = 1
    scores = {lag: np.corrcoef(np.roll(mask, lag), share)[0, 1] for lag in range(-30, 31)}
    assert abs(max(scores, key=scores.get)) * 2 < 10
    assert max(scores.values()) > 0.6


def test_closure_goes_to_the_stop(table):
    speech = made_up(
        ("a", 0.0, hum(9000, 100)), ("p", 0.16, np.zeros(60)), ("I", 0.2, hum(9000, 100))
    )
    spans = phone_spans(speech, "en-us", table)
    assert [s.phone for s in spans] == ["AE", "P", "IH"]
    assert spans[1].start == pytest.approx(0.1, abs=0.003) and spans[1].end == 0.2


def test_gap_before_a_nasal_stays(table):
    speech = made_up(
        ("a", 0.0, hum(9000, 100)), ("m", 0.16, np.zeros(60)), ("I", 0.2, hum(9000, 100))
    )
    assert phone_spans(speech, "en-us", table)[1].start == 0.16


def test_vowel_after_nasal_begins_at_the_rise(table):
    speech = made_up(("m", 0.0, hum(500, 80)), ("'E", 0.11, hum(9000, 200)))
    spans = phone_spans(speech, "en-us", table)
    assert spans[1].start == pytest.approx(0.08, abs=0.008)


def test_lateral_after_its_vowel_gets_a_part_of_it(table):
    speech = made_up(("'i:", 0.0, hum(9000, 200)), ("l", 0.2, np.zeros(0)), ("_:", 0.2, hum(0, 99)))
    spans = phone_spans(speech, "en-us", table)
    assert [s.phone for s in spans] == ["IY", "L", "SIL"]
    assert spans[1].start == pytest.approx(0.12) and spans[1].end == pytest.approx(0.2)


@settings(max_examples=60)
@given(
    events=st.lists(
        st.tuples(
            st.sampled_from(["'a", "m", "l", "t", "p", "_:", "A@", "r", "i@3", ";", "s", "d"]),
            st.integers(0, 120),
            st.sampled_from([0, 20, 900, 9000]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_spans_of_any_events(events):
    """They tile the utterance, and corrections never change which phones there are."""
    table = PhonemeTable()
    if events[0][0] == ";":
        events[0] = ("n", *events[0][1:])
    pieces, at = [], 0
    for name, length, amplitude in [*events, ("_", 30, 0)]:
        pieces.append((name, at / RATE, hum(amplitude, length)))
        at += length
    speech = made_up(*pieces)
    spans = phone_spans(speech, "en-us", table)
    assert [s.phone for s in spans] == [s.phone for s in module._label(speech, "en-us", table)]
    assert spans[0].start == 0 and spans[-1].end == pytest.approx(at / RATE)
    assert all(a.end == b.start for a, b in pairwise(spans))
    assert all(s.end >= s.start - 1e-12 for s in spans)
    assert not any(a.phone == b.phone == "SIL" for a, b in pairwise(spans))


def test_stops_are_phones(table):
    sets = (STOPS, module.CODAS, module.SONORANTS, module.VOWELS)
    assert all(group <= set(table.phones.names) for group in sets)
