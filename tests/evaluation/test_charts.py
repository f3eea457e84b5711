"""Charts: what is drawn, that files are whole, and what is refused."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from speechattn.errors import UsageError
from speechattn.evaluation import charts, pictures
from speechattn.evaluation.calibration import Calibration
from speechattn.evaluation.charts import (
    confusion_picture,
    label_points,
    reliability_picture,
    training_picture,
)


@pytest.fixture
def drawn(monkeypatch):
    """Figures in the order in which they were saved."""
    figures = []
    save = pictures.save_figure
    monkeypatch.setattr(charts, "save_figure", lambda p, f: (figures.append(f), save(p, f)))
    return figures


def texts(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


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
    path = tmp_path / "t.png"
    path.write_bytes(b"old")
    with pytest.raises(UsageError, match="cannot be written"):
        training_picture(path / "no" / "t.png", [1], [1.0], [0.5])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UsageError, match=r"t\.png: .*No space left"):
        training_picture(path, [1], [1.0], [0.5])
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["t.png"]


def test_missing_folders_are_made(tmp_path):
    path = tmp_path / "new" / "t.png"
    training_picture(path, [1], [1.0], [0.5])
    assert path.read_bytes().startswith(b"\x89PNG")


def test_labels_cover_neither_each_other_nor_points():
    axis = Figure(figsize=(6, 4), dpi=100).subplots()
    points = [(1 + 0.01 * i, 0.5 + 0.001 * (i % 3)) for i in range(9)] + [(2, 0.6)]
    axis.scatter(*zip(*points))
    axis.margins(x=0.12)
    labels = label_points(axis, points, [f"window {i}" for i in range(10)])
    assert sorted(label.get_text() for label in labels) == sorted(f"window {i}" for i in range(10))
    boxes = [Text.get_window_extent(label) for label in labels]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    places = axis.transData.transform(points)
    assert not [box for box in boxes if box.count_contains(places)]
    assert all(axis.get_window_extent().count_contains(box.corners()) == 4 for box in boxes)
