"""Pictures: what is drawn where, that files are whole, and what is refused."""

from __future__ import annotations

import sys
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.image import imread

from speechattn import pictures
from speechattn.errors import UsageError
from speechattn.evaluate import Calibration
from speechattn.pictures import (
    DPI,
    WIDTH_LIMITS,
    confusion_picture,
    reliability_picture,
    spectrogram,
    training_picture,
    utterance_picture,
)
from speechattn.segments import Segment

RATE = 16000
TONE = np.sin(2 * np.pi * 2000 * np.arange(RATE) / RATE).astype(np.float32)
REFERENCE = [Segment("SIL", 0, 0.3), Segment("AA", 0.3, 0.6), Segment("B", 0.6, 1.0)]
RECOGNISED = [Segment("SIL", 0, 0.3, 0.9), Segment("AO", 0.3, 0.6, 0.4), Segment("B", 0.6, 1, 0.8)]


@pytest.fixture
def drawn(monkeypatch):
    """Figures in the order in which they were saved."""
    figures = []
    save = pictures._save
    monkeypatch.setattr(pictures, "_save", lambda p, f: (figures.append(f), save(p, f)))
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


def test_confusions_are_shares_of_rows(tmp_path, drawn):
    matrix = np.array([[30, 10, 0], [0, 0, 0], [1, 0, 99]])
    confusion_picture(tmp_path / "c.png", matrix, ("SIL", "AA", "B"), title="test")
    axis = drawn[0].axes[0]
    shown = axis.images[0].get_array()
    assert shown[0].tolist() == [0.75, 0.25, 0]
    assert np.ma.getmaskarray(shown)[1].all()
    assert texts(axis) == ["75", "25", "99"]
    assert "grey rows" in drawn[0].get_suptitle()


def test_training_curve_shows_measured_accuracies_only(tmp_path, drawn):
    training_picture(tmp_path / "t.png", [1, 2, 3, 4], [3, 2, 1, 1], [None, 0.4, float("nan"), 0.6])
    loss, accuracy = drawn[0].axes
    assert loss.lines[0].get_ydata().tolist() == [3, 2, 1, 1]
    assert accuracy.lines[0].get_xydata().tolist() == [[2, 0.4], [4, 0.6]]
    training_picture(tmp_path / "t.png", range(500), np.ones(500), [0.5], dev_steps=[499])
    mean = drawn[1].axes[0].lines[1]
    assert mean.get_xdata()[0] == 9 and np.allclose(mean.get_ydata(), 1)


def test_reliability_states_the_calibration_error(tmp_path, drawn):
    calibration = Calibration()
    calibration.add([0.95] * 4 + [0.15] * 4, [True, True, True, False] + [False] * 4)
    reliability_picture(tmp_path / "r.png", calibration.table(), title="dev")
    assert calibration.error() == pytest.approx(0.175)
    assert "17.5 %" in drawn[0].get_suptitle()
    assert [bar.get_height() for bar in drawn[0].axes[0].patches] == [0, 0.75]


@pytest.mark.parametrize(
    "draw",
    [
        lambda path: utterance_picture(path, np.zeros((2, 9)), None, RECOGNISED),
        lambda path: utterance_picture(path, np.zeros(0), None, RECOGNISED),
        lambda path: utterance_picture(path, TONE, None, RECOGNISED, np.ones((100, 3)), ("A", "B")),
        lambda path: utterance_picture(path, TONE, None, RECOGNISED, span=(0.5, 2.0)),
        lambda path: confusion_picture(path, np.ones((2, 3)), ("A", "B")),
        lambda path: training_picture(path, [], [], []),
        lambda path: training_picture(path, [1, 2], [1, 2], [0.5]),
        lambda path: reliability_picture(path, Calibration().table()),
    ],
)
def test_what_cannot_be_drawn_is_refused(tmp_path, draw):
    with pytest.raises(ValueError):
        draw(tmp_path / "x.png")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_picture(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="cannot be written"):
        training_picture(tmp_path / "no" / "t.png", [1], [1.0], [0.5])
    path = tmp_path / "t.png"
    path.write_bytes(b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pictures.os, "replace", full)
    with pytest.raises(UsageError, match=r"t\.png: .*No space left"):
        training_picture(path, [1], [1.0], [0.5])
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["t.png"]
