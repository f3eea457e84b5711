"""Letters of labels in pictures."""

from __future__ import annotations

import warnings

import pytest
from matplotlib.figure import Figure

from speechattn.evaluation.letters import advance, drawable, shortened
from speechattn.evaluation.pictures import draw_strip, save_figure
from speechattn.segments import Segment


def test_what_has_no_picture_gets_one():
    assert drawable("AH1 ɹ שלום") == "AH1 ɹ שלום"
    assert drawable("two\nlines\x00\u202e") == "two⏎lines␣␣"
    assert drawable("\U0010fffd") == "□"


def test_a_label_is_shortened_to_its_room():
    assert shortened("nightfall", 100) == "nightfall…"
    short = shortened("nightfall", 3)
    assert short.startswith("n") and short.endswith("…") and sum(map(advance, short)) <= 3
    assert shortened("nightfall", 0.2) == ""


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_foreign_labels_are_drawn_in_their_row_without_complaints(tmp_path, kind):
    figure = Figure(figsize=(4, 0.6))
    axis = figure.subplots()
    labels = ["<script>window.hacked=1</script>", "two\nlines", "\U0010fffd\x00", "AH"]
    segments = [Segment(label, i, i + 1.0) for i, label in enumerate(labels)]
    draw_strip(axis, "phones", segments, [False] * 4, (0, 4), 60.0, "SIL")
    drawn = [text.get_text() for text in axis.texts]
    assert drawn[0].startswith("<scr") and drawn[0].endswith("…") and drawn[2:] == ["□␣", "AH"]
    assert [text.get_rotation() for text in axis.texts] == [0] * 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save_figure(tmp_path / f"f.{kind}", figure)
