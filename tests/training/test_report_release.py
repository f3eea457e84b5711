"""Releasing: a trained model as it is handed on, with its card."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from support.commands import make_prepared

from speechattn.encoder.whole_numbers import OFFSET
from speechattn.errors import ConfigError, CorpusError, ModelError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.model_files import CARD, CONFIG, WEIGHTS
from speechattn.inference.model_tensors import unpacked_tensors
from speechattn.training.report import HISTORY, release


@pytest.fixture
def work(tiny_model_dir, tmp_path) -> Path:
    """A work folder in which a recipe has been run."""
    work = tmp_path / "work"
    shutil.copytree(tiny_model_dir, work / "model")
    for name, text in (
        ("evaluate/scores.md", "| a | 1.0 |\n"),
        ("evaluate/groups.md", "| women | 2.0 |\n"),
        ("train/history.json", "{}\n"),
    ):
        (work / name).parent.mkdir(exist_ok=True)
        (work / name).write_text(text)
    random = np.random.default_rng(0)
    speech = [(random.normal(8, 4, (count, 40)), [0] * count) for count in (90, 1, 150)]
    make_prepared(work / "prepared/train", speech)
    return work


def test_the_released_model_is_the_trained_one_in_fewer_bits(work, tmp_path):
    folder = tmp_path / "out" / "english"
    release(work, folder, None)
    assert sorted(p.name for p in folder.iterdir()) == sorted([CONFIG, WEIGHTS, HISTORY])
    trained, released = Checkpoint.load(work / "model"), Checkpoint.load(folder)
    assert (folder / CONFIG).read_text() == (work / "model" / CONFIG).read_text()
    stored, _ = unpacked_tensors(folder / WEIGHTS)
    before = trained.classifier.state_dict()
    for name, value in released.classifier.state_dict().items():
        assert value.dtype == torch.float32
        if name in ("mean", "std"):
            assert stored[name].dtype == torch.float32 and torch.equal(value, before[name])
        elif (steps := stored.pop(f"steps.{name.removesuffix('.weight')}", None)) is not None:
            assert name.startswith("layers.") and stored[name].dtype == torch.uint8
            assert torch.equal(value, (stored[name].float() - OFFSET) * steps[:, None])
            assert 0 < (value - before[name]).norm() < 0.1 * before[name].norm()
        else:
            assert before[name].ndim != 2 or not name.startswith("layers.")
            assert stored[name].dtype == torch.bfloat16
            torch.testing.assert_close(value, before[name], rtol=2**-8, atol=0)
    assert stored.keys() == before.keys()


def test_a_release_is_the_same_to_the_byte_when_it_is_made_again(work, tmp_path):
    for name in ("one", "two"):
        torch.manual_seed(len(name))
        release(work, tmp_path / name, None)
    one, two = ((tmp_path / name / WEIGHTS).read_bytes() for name in ("one", "two"))
    assert one == two


def test_a_release_without_the_training_set_is_refused(work, tmp_path):
    shutil.rmtree(work / "prepared")
    with pytest.raises(CorpusError, match="train"):
        release(work, tmp_path / "out", None)
    assert not (tmp_path / "out").exists()


def test_tables_stand_where_the_card_names_them(work, tmp_path):
    card = tmp_path / "card.md"
    card.write_text("# Card\n\n{{scores}}\n\ntext {{scores}} stays\n\n{{groups}}\n")
    release(work, tmp_path / "out", card)
    expected = "# Card\n\n| a | 1.0 |\n\ntext {{scores}} stays\n\n| women | 2.0 |\n"
    assert (tmp_path / "out" / CARD).read_text() == expected


@pytest.mark.parametrize(
    ("text", "said"), [("{{conditions}}\n", "conditions.md"), (None, "cannot be read")]
)
def test_a_card_that_cannot_be_filled_is_refused_before_anything_is_written(
    work, tmp_path, text, said
):
    card = tmp_path / "card.md"
    if text is not None:
        card.write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        release(work, tmp_path / "out", card)
    assert str(caught.value).startswith("card: ") and "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_is_left_alone(work, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("years of work")
    with pytest.raises(ModelError, match="no model"):
        release(work, tmp_path / "out", None)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["thesis.tex"]
