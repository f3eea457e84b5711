"""Pictures of utterances: what is drawn where, and what is refused."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.image import imread

from speechattn.evaluation import pictures
from speechattn.evaluation.pictures import DPI, WIDTH_LIMITS, spectrogram, utterance_picture
from speechattn.segments import Segment

RATE = 16000
TONE = np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE).astype(np.float32)
REFERENCE = [Segment("SIL", 0, 0.3), Segment("AA", 0.3, 0.6), Segment("B", 0.6, 1.0)]
RECOGNISED = [Segment("SIL", 0, 0.3, 0.9), Segment("AO", 0.3, 0.6, 0.4), Segment("B", 0.6, 1, 0.8)]


@pytest.fixture
def drawn(monkeypatch):
    """Figures in the order in which they were saved."""
    figures = []
    save = pictures.save_figure
    monkeypatch.setattr(pictures, "save_figure", lambda p, f: (figures.append(f), save(p, f)))
    return figures


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_spectrogram_has_its_peak_where_the_tone_is():
    power = spectrogram(TONE, columns=200)
    assert power.shape[0] == 257 and power.shape[1] <= 200
    assert power.max() == 0
    peaks = power[:, 10:-10].argmax(axis=0) * RATE / 512
    assert np.all(np.abs(peaks - 2000) <= RATE / 512)


def test_spectrogram_shows_when_a_sound_begins():
    samples = np.concatenate([np.zeros(RATE // 2, np.float32), TONE[: RATE // 2]])
    loud = spectrogram(samples, columns=8000).max(axis=0) > -30
    assert np.flatnonzero(loud)[0] == pytest.approx(500, abs=6)  # columns of 1 ms


def test_silent_audio_is_an_empty_spectrogram():
    assert np.all(spectrogram(np.zeros(RATE), 100) == -np.inf)


def test_utterance_picture_draws_strips_and_tints_mistakes(tmp_path, drawn):
    path = tmp_path / "u.png"
    posteriors = np.full((100, 3), 1 / 3)
    utterance_picture(path, TONE, REFERENCE, RECOGNISED, posteriors, ("SIL", "AA", "B"), title="u")
    (figure,) = drawn
    spectrum, reference, recognised, panel = figure.axes
    assert texts(reference) == ["AA", "B"] and texts(recognised) == ["AO", "B"]
    colours = recognised.collections[0].get_facecolors()
    assert colours[1][0] > colours[1][2] and colours[2][0] < colours[2][2]  # orange, blue
    assert colours[1][3] < colours[2][3]  # paler: less sure
    borders = [line[0, 0] for line in recognised.collections[1].get_segments()]
    assert borders == [0, 0.3, 0.6]
    assert spectrum.get_xlim() == (0, 1) and panel.get_xlabel() == "time (s)"
    assert [t.get_text() for t in panel.get_yticklabels()] == ["SIL", "AA", "B"]
    image = imread(path)
    assert image.shape[1] == WIDTH_LIMITS[0] * DPI and image.std() > 0.05
    assert [p.name for p in tmp_path.iterdir()] == ["u.png"]
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_labels_never_overlap(tmp_path, drawn):
    rng = np.random.default_rng(0)
    edges = np.concatenate([[0], np.cumsum(rng.integers(1, 20, 60)) / 100])
    names = rng.choice(["AA", "SH", "W", "T", "HH"], 60)
    segments = [Segment(str(n), a, b) for n, a, b in zip(names, edges, edges[1:])]
    utterance_picture(tmp_path / "u.png", np.resize(TONE, int(edges[-1] * RATE)), None, segments)
    (figure,) = drawn
    boxes = sorted(
        (text.get_window_extent().x0, text.get_window_extent().x1) for text in figure.axes[1].texts
    )
    assert len(boxes) > 40
    assert all(right <= left for (_, right), (left, _) in pairwise(boxes))


def test_long_recordings_stay_within_the_widest_picture(tmp_path, drawn):
    samples = np.resize(TONE, 90 * RATE)
    segments = [Segment("AA", i / 10, (i + 1) / 10) for i in range(900)]
    utterance_picture(tmp_path / "u.png", samples, None, segments[:300], title="word " * 300)
    assert drawn[0].get_size_inches()[0] == WIDTH_LIMITS[1]
    title = drawn[0].texts[0]
    assert title.get_text().endswith("…") and title.get_window_extent().x1 <= DPI * WIDTH_LIMITS[1]


def test_a_span_is_drawn_alone(tmp_path, drawn):
    utterance_picture(tmp_path / "u.png", TONE, REFERENCE, RECOGNISED, span=(0.0, 0.25))
    assert drawn[0].axes[0].get_xlim() == (0, 0.25)
    assert texts(drawn[0].axes[2]) == []


def test_labels_left_out_are_counted(tmp_path, drawn):
    short = [Segment("SH", 0, 0.96), Segment("SH", 0.96, 0.961), Segment("SH", 0.961, 1.0)]
    utterance_picture(tmp_path / "u.png", TONE, None, short)
    assert "labels too narrow to show: 1 " in drawn[0].texts[1].get_text()


def test_an_utterance_without_any_phones_is_a_spectrogram(tmp_path, drawn):
    utterance_picture(tmp_path / "u.png", TONE, None, [])
    assert len(drawn[0].axes) == 1 and drawn[0].axes[0].get_xlabel() == "time (s)"


def test_mistakes_are_counted_against_the_majority_of_a_long_reference():
    rng = np.random.default_rng(1)
    edges = np.cumsum(rng.integers(1, 9, 80)) / 10
    labels = rng.choice(["AA", "B", "SH"], 80)
    reference = [Segment(str(n), a, b) for n, a, b in zip(labels, edges, edges[1:])]
    for start in np.arange(0, edges[-1] + 1, 0.37):
        span = Segment("AA", start, start + 0.83)
        time = np.arange(start, span.end, 0.001) + 0.0005
        painted = [s.label for t in time for s in reference if s.start <= t < s.end]
        found = pictures._majority(reference, span)
        if found is None:
            assert not painted
        else:
            most = max(painted.count(label) for label in set(painted))
            assert painted.count(found) >= most - 2  # milliseconds of rounding


def test_a_phone_that_shares_half_its_time_with_another_is_right():
    reference = [Segment("DH", 1.49, 1.6), Segment("AE", 1.6, 1.63), Segment("T", 1.63, 1.7)]
    assert pictures._majority(reference, Segment("AE", 1.58, 1.62)) == "AE"
    assert pictures._majority(reference, Segment("AE", 1.57, 1.62)) == "DH"
    assert pictures._majority(reference, Segment("DH", 1.58, 1.62)) == "DH"
    assert pictures._majority(reference, Segment("S", 2.0, 2.1)) is None


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: utterance_picture(path, np.zeros((2, 9)), None, RECOGNISED),
        lambda path: utterance_picture(path, np.zeros(0), None, RECOGNISED),
        lambda path: utterance_picture(path, TONE, None, RECOGNISED, np.ones((100, 3)), ("A", "B")),
        lambda path: utterance_picture(path, TONE, None, RECOGNISED, span=(0.5, 2.0)),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, draw):
    with pytest.raises(ValueError):
        draw(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []
