"""Digits by attention and by a CNN: what each sees, what is drawn, and the command."""

from __future__ import annotations

import csv

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from speechattn.cli.recipe import main
from speechattn.errors import SpeechattnError
from speechattn.studies import pixels
from speechattn.studies.pixels import (
    Config,
    Images,
    PixelAttention,
    check_images,
    cnn,
    compare,
    draw,
)
from speechattn.studies.trials import weights_of

pytestmark = pytest.mark.studies

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: speechattn[studies]")


@pytest.fixture(scope="module")
def images() -> Images:
    return pixels.read_images()


@pytest.fixture
def tiny(tmp_path) -> list[str]:
    work = f"work_dir={tmp_path / 'work'}"
    return ["pixels", work, "images=[10, 20]", "training.steps=2", "width=8"]


def test_the_command_leaves_a_table_and_a_picture(tiny, tmp_path, capsys):
    assert main([*tiny, "seeds=2"]) == 0
    report = (tmp_path / "work/report.md").read_text()
    assert "| model | weights | 10 images | 20 images |" in report
    assert report.count(" is ahead by ") == 2 and report in capsys.readouterr().out
    assert (tmp_path / "work/images.png").read_bytes().startswith(b"\x89PNG")
    with open(tmp_path / "work/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {row["trial"] for row in rows}
    models = ("CNN", "attention, everything", "attention, 3 x 3")
    assert names == {f"{model}, {count} images" for model in models for count in (10, 20)}
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows) and len(rows) == 12


@pytest.mark.parametrize(
    ("status", "override", "message"),
    [
        (2, "images=[9]", "images: 9; whole numbers, 10 or more"),
        (2, "images=[10, 10]", "images: [10, 10]; list each once"),
        (2, "images=[]", "images: empty"),
        (2, "images=[true]", "images: True; whole numbers"),
        (2, "reaches=[-1]", "reaches: -1; whole numbers, 0 or more"),
        (2, "reaches=[null]", "reaches: None; whole numbers, 0 or more"),
        (2, "heads=3", "heads: 3; they must divide the width, 8"),
        (2, "test=0", "test: 0; from 1 on"),
        (1, "test=1790", "test: 1790: no image of 7 to train on; lower it"),
        (1, "test=9999", "test: 9999: no image of 0 to train on; lower it"),
        (1, "images=[1348]", "images: 1348; there are 1347 beside those for testing"),
    ],
)
def test_what_cannot_be_is_one_clear_line(tiny, tmp_path, capsys, status, override, message):
    assert main([*tiny, override]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("speechattn.recipe: error: ") and message in line
    assert not (tmp_path / "work").exists()


def test_a_check_finds_what_leaves_nothing_to_train_on(tiny, tmp_path, capsys):
    assert main([*tiny, "test=5000", "--check"]) == 1
    assert "test: 5000: no image of 0 to train on; lower it" in capsys.readouterr().out
    assert not (tmp_path / "work").exists()


def test_without_scikit_learn_the_command_says_what_to_install(tiny, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    assert main(tiny) == main([*tiny, "--check"]) == 2
    assert "pip install 'speechattn[studies]'" in capsys.readouterr().err


@pytest.mark.parametrize("width", [8, 16, 24, 32, 48])
def test_the_cnn_has_as_many_weights_within_a_tenth(width):
    weights = weights_of(PixelAttention(Config(width=width), None))
    assert weights_of(cnn(weights)) == pytest.approx(weights, rel=0.1)


@given(st.integers(10, 300), st.integers(0, 10**6))
def test_every_digit_comes_before_one_comes_again(count, seed):
    digits = torch.arange(400) % 10
    chosen = draw(digits, count, seed)
    counts = torch.bincount(digits[chosen], minlength=10)
    assert len(chosen.unique()) == count and counts.max() - counts.min() <= 1


def test_a_draw_of_all_is_all_and_another_seed_another_draw(images):
    assert draw(images.digits, None, 0).sort().values.equal(torch.arange(len(images.digits)))
    assert not draw(images.digits, 50, 0).equal(draw(images.digits, 50, 1))


def test_the_test_images_are_the_last_and_not_trained_on(images):
    train = check_images(Config(test=450), images)
    assert len(train.digits) == len(images.digits) - 450
    assert train.pixels.equal(images.pixels[:-450])
    assert images.pixels.min() == 0 and images.pixels.max() == 1


def test_a_digit_without_an_image_is_named(images):
    without = images.part(images.digits != 4)
    with pytest.raises(SpeechattnError, match="no image of 4 to train on"):
        check_images(Config(), without)


def test_a_window_of_all_pixels_is_attention_to_everything(images):
    torch.manual_seed(0)
    model = PixelAttention(Config(), None)
    other = PixelAttention(Config(), 7)
    other.load_state_dict(model.state_dict())
    torch.testing.assert_close(model(images.pixels[:5]), other(images.pixels[:5]))


def test_a_pixel_sees_as_far_as_the_layers_reach():
    torch.manual_seed(0)
    model = PixelAttention(Config(layers=2), 1)
    seen = {}
    model.norm.register_forward_hook(lambda *call: seen.update(x=call[2]))
    image = torch.rand(1, 8, 8)
    model(image)
    before = seen["x"].clone()
    image[0, 0, 0] += 1
    model(image)
    changed = (seen["x"] != before).any(-1).view(8, 8)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[:3, :3] = True
    assert changed.equal(expected)


def test_who_is_ahead_is_said_from_the_numbers():
    assert compare(50, [0.9, 0.8, 0.9], [0.5, 0.4, 0.5]).startswith(
        "- 50 images: the CNN is ahead by 40.0 ± 0.0 points"
    )
    assert "attention is ahead by 5.0 ± 63.5 points, no more" in compare(50, [0.5, 0.4], [0.5, 0.5])
    assert compare(9, [0.5], [0.4]) == "- 9 images: the CNN is ahead by 10.0 points in the one seed"
