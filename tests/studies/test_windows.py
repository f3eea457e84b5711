"""``speechattn bench windows``: variants, intervals, trainings that go on, the report."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from support.recipes import make_corpora, write_recipe

from speechattn.cli.main import main
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import CnnConfig, FramesConfig, RnnConfig
from speechattn.errors import ConfigError, SpeechattnError
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.describe import costs
from speechattn.studies import windows, windows_costs, windows_training
from speechattn.studies.windows_costs import frames_per_second, measure, measure_once, peak_memory
from speechattn.studies.windows_report import frontier
from speechattn.studies.windows_variants import (
    EQUAL_WINDOW,
    WINDOWS,
    Variant,
    chosen,
    default_variants,
    read_variants,
    solved,
)
from speechattn.training.recipe_file import read_config
from speechattn.training.trainer import Trainer

pytestmark = pytest.mark.studies

DIM, PHONES = 80, 40
TWO = {
    "attention ±2": {"width": 16, "heads": 2, "feedforward": 32, "blocks": 1, "window": [2, 2]},
    "net": {"kind": "frames", "window": [2, 2], "layers": 2, "width": "auto"},
}


# --- variants -------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", ["default", "english"])
@pytest.mark.parametrize("quick", [False, True])
def test_built_in_variants_have_equal_weights_and_look_equally_far(recipe, quick):
    encoder = read_config(recipe).encoder
    variants = default_variants(encoder, DIM, PHONES, quick)
    by_kind = {variant.encoder.kind for variant in variants}
    assert by_kind == {"attention", "frames", "cnn", "rnn"}
    assert len({variant.name for variant in variants}) == len(variants)
    target = costs(replace(encoder, conv_kernel=0, conv_right=None), DIM, PHONES).weights
    for variant in variants:
        if variant.name != "the recipe's own":
            assert costs(variant.encoder, DIM, PHONES).weights == pytest.approx(target, rel=0.1)
    ladder = [v.window for v in variants if v.window is not None and not v.encoder.any_window]
    assert ladder[-1] == "full" and ladder[:-1] == sorted(set(ladder[:-1]))
    assert quick or len(ladder) == len(WINDOWS) + 1
    shared = [v for v in variants if v.encoder.any_window]
    assert [v.window for v in shared] == ([] if quick else ladder[:-1])
    assert {v.encoder.any_window for v in shared} <= {(0, ladder[-2])}
    # The reference: attention with EQUAL_WINDOW, whole stacks of it, in every block.
    stack = encoder.stack
    window = -(-EQUAL_WINDOW // stack) * stack
    ahead = replace(encoder, conv_kernel=0, conv_right=None, window=(window, window)).look_ahead
    for variant in variants:
        if variant.encoder.kind in ("cnn", "rnn") and variant.encoder.look_ahead is not None:
            assert abs(variant.encoder.look_ahead - ahead) <= 3 * stack, variant.name
    assert [v for v in variants if v.encoder.kind == "frames"][-1].encoder.look_ahead == ahead


def test_built_in_variants_need_attention():
    with pytest.raises(ConfigError, match="encoder.kind: cnn; .*--variants"):
        default_variants(CnnConfig(), DIM, PHONES)


@given(
    # fewer lie further than the tolerance from any width of the attention encoder
    target=st.integers(100_000, 5_000_000),
    values=st.sampled_from(
        [
            {"kind": "frames", "window": [4, 4], "layers": 2},
            {"kind": "cnn"},
            {"kind": "rnn", "bidirectional": True, "layers": 2},
            {"heads": 4, "feedforward": 256, "blocks": 2},
        ]
    ),
)
@settings(max_examples=20)
def test_a_solved_width_is_the_nearest(target, values):
    found = solved("x", values, target, DIM, PHONES)
    error = abs(costs(found, DIM, PHONES).weights - target)
    step = {"attention": 8, "rnn": 2}.get(found.kind, 1)
    for width in (found.width - step, found.width + step):
        if width > 0:
            other = costs(replace(found, width=width), DIM, PHONES).weights
            assert error <= abs(other - target)


def test_a_number_of_weights_that_cannot_be():
    with pytest.raises(ConfigError) as error:
        solved("net", {"kind": "frames", "layers": 2}, 100, DIM, PHONES)
    assert "net: no width gives about 100 weights" in str(error.value)


def test_variants_of_a_file(tmp_path):
    path = tmp_path / "variants.yaml"
    encoder = EncoderConfig(width=16, heads=2, feedforward=32, blocks=1)
    path.write_text(yaml.safe_dump(TWO))
    first, second = read_variants(path, encoder, 20, 4)
    assert first == Variant("attention ±2", replace(encoder, window=(2, 2)), 2)
    assert isinstance(second.encoder, FramesConfig) and second.window is None
    target = costs(encoder, 20, 4).weights
    assert costs(second.encoder, 20, 4).weights == pytest.approx(target, rel=0.1)
    assert chosen([first, second], "net") == [second]
    assert chosen([first, second], None) == [first, second]
    with pytest.raises(ConfigError, match="--only nets: .* attention ±2; net"):
        chosen([first, second], "nets")


@pytest.mark.parametrize(
    "text, parts",
    [
        ("{}", ["no variants"]),
        ("- a", ["no variants"]),
        ("a: 3", ["a: 3", "keys of an encoder"]),
        ("a: {kind: cnn, heads: 3}", ["a: encoder.heads", "cnn"]),
        ("a: {kind: tree}", ["a: encoder.kind", "'tree'"]),
        ("a: [", ["cannot be read"]),
    ],
)
def test_variants_that_make_no_sense(text, parts, tmp_path):
    path = tmp_path / "variants.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        read_variants(path, EncoderConfig(), DIM, PHONES)
    for part in (str(path), *parts):
        assert part in str(error.value)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_variants(tmp_path / "none.yaml", EncoderConfig(), DIM, PHONES)


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=8))
def test_nothing_cheaper_beats_what_is_on_the_frontier(points):
    expected = {
        (cost, rate)
        for cost, rate in points
        if not any(c <= cost and r >= rate and (c, r) != (cost, rate) for c, r in points)
    }
    found = frontier(points)
    assert set(found) == expected and found == sorted(found)


# --- speed and memory -----------------------------------------------------------------------------


def test_memory_of_a_process_of_its_own():
    held = peak_memory(RnnConfig(width=8, layers=1), 4, 3, 50)
    if not sys.platform.startswith("linux"):
        pytest.skip("this system does not tell")
    # What a stream must keep shows: vectors of 40 MB, more than once, until the end is there.
    both = RnnConfig(width=100, layers=1, bidirectional=True)
    assert 50e6 < held < peak_memory(both, 4, 3, 100_000) - 60e6


def test_a_process_that_fails_says_why():
    with pytest.raises(SpeechattnError) as error:
        peak_memory(CnnConfig(width=8), -1, 3, 10)
    assert "memory of an encoder: its process failed" in str(error.value)


def test_speed():
    assert 100 < frames_per_second(CnnConfig(width=8), 4, 3) < 1e9


def test_measured_once(tmp_path, monkeypatch):
    config, asked = CnnConfig(width=8), []
    monkeypatch.setattr(windows_costs, "peak_memory", lambda *_: asked.append(1) or 12345)
    first = measure_once(tmp_path, config, 10, 5, [10, 1000, 10**9], 1e9)
    assert first.memory == {10: 12345, 1000: 12345, 10**9: None} and len(asked) == 2
    assert first.weights == costs(config, 10, 5).weights
    assert first.receptive_field_ms == 610 and first.look_ahead_ms == 307.5
    assert measure_once(tmp_path, config, 10, 5, [10, 1000, 10**9], 1e9) == first
    assert len(asked) == 2
    measure_once(tmp_path, replace(config, width=9), 10, 5, [10], 1e9)
    assert len(asked) == 3
    assert measure(RnnConfig(bidirectional=True), 10, 5, []).look_ahead_ms is None


# --- the command ----------------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    make_corpora(tmp_path)
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(TWO))
    monkeypatch.setattr(windows_costs, "peak_memory", lambda *words: 1000 * words[3])
    threads = torch.get_num_threads()
    yield tmp_path
    torch.set_num_threads(threads)


def bench(place: Path, *words: str) -> int:
    recipe = write_recipe(place)
    return main(["bench", "windows", str(recipe), "--variants", str(place / "two.yaml"), *words])


def test_trained_interrupted_and_reported(place, capsys, monkeypatch):
    save, saved = Trainer.save, []

    def save_and_stop(trainer):
        save(trainer)
        saved.append(trainer.step)
        if len(saved) == 4:  # within the second training
            raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "save", save_and_stop)
    assert bench(place, "--seeds", "2") == 130
    assert "interrupted" in capsys.readouterr().err
    assert bench(place, "--seeds", "2") == 0
    captured = capsys.readouterr()
    assert "attention ±2, seed 0: done before" in captured.err
    # Three checkpoints a training: the second one, cut after its first, has two more.
    assert saved == [2, 4, 6, 2, 4, 6, 2, 4, 6, 2, 4, 6]

    folder = place / "work" / "windows"
    assert captured.out == (folder / "windows.md").read_text(encoding="utf-8")
    assert "tones/test, more/all: 4 utterances" in captured.out
    for name in ("accuracy-window", "accuracy-cost", "memory-length"):
        assert (folder / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    with open(folder / "windows.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["variant"], row["seed"]) for row in rows] == [
        (name, seed) for name in TWO for seed in ("0", "1", "all")
    ]
    for row in rows:
        rate, low, high = (float(row[f"frame_accuracy{end}"]) for end in ("", "_low", "_high"))
        assert 0 <= low <= rate <= high <= 1
        assert int(row["peak_bytes_10_s"]) == 1_000_000
        assert int(row["peak_bytes_3600_s"]) == 360_000_000

    # An interrupted training gives what one does that was not.
    (whole,) = (folder / "runs").glob("net-seed0-*")
    scores = json.loads((whole / "scores.json").read_text())["utterances"]
    assert not (whole / "checkpoint.safetensors").exists()
    monkeypatch.setattr(Trainer, "save", save)
    other = place / "other"
    assert bench(place, "--seeds", "1", "--only", "net", "--output-dir", str(other)) == 0
    (again,) = (other / "runs").glob("net-seed0-*")
    assert again.name == whole.name
    assert json.loads((again / "scores.json").read_text())["utterances"] == scores


def test_a_quick_picture_takes_some_of_the_test_set(place, capsys, monkeypatch):
    monkeypatch.setattr(windows, "QUICK_UTTERANCES", 2)
    assert bench(place, "--quick", "--only", "net") == 0
    assert "tones/test, more/all: 2 utterances" in capsys.readouterr().out
    assert bench(place, "--quick", "--only", "net", "training.replicas=3") == 0
    assert "net, seed 0: training" in capsys.readouterr().err  # another training
    (two, three) = sorted((place / "work" / "windows" / "runs").glob("net-seed0-*"))
    assert {
        len(json.loads((f / "scores.json").read_text())["utterances"]) for f in (two, three)
    } == {2}


def test_a_model_for_any_window_is_trained_once(place, capsys):
    shape = {**TWO["attention ±2"], "any_window": [0, 4]}
    ladder = {f"any ±{side}": {**shape, "window": [side, side]} for side in (0, 2, 4)}
    (place / "two.yaml").write_text(yaml.safe_dump(ladder | TWO))
    assert bench(place, "--seeds", "1") == 0
    report = capsys.readouterr().out
    runs = place / "work" / "windows" / "runs"
    (one,) = runs.glob("any-window-seed0-*")
    assert sorted(p.name for p in one.glob("scores*")) == [
        f"scores-{s}-{s}.json" for s in (0, 2, 4)
    ]
    assert len(list(runs.iterdir())) == 3
    assert Checkpoint.load(one / "model").classifier.config.window == (4, 4)
    assert "| any ±2 | attention ±2 |" in report and "Largest useful window" not in report


def test_what_is_done_is_done_again_only_for_another_recipe(place, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(windows_training.VariantRun, "run", _count(asked))
    for words in ((), (), ("--quick",), ("seed=5",)):
        recipe = write_recipe(place)
        options = ["--variants", str(place / "two.yaml"), "--seeds", "1", "--only", "net"]
        others = [word for word in words if "=" in word]
        rest = [word for word in words if "=" not in word]
        assert main(["bench", "windows", str(recipe), *others, *options, *rest]) == 0
    capsys.readouterr()
    assert asked[0] == asked[1] and len(set(asked)) == 3


def _count(asked: list[str]):
    """Scores out of nothing, and the name of the folder they would lie in."""
    row = {"corpus": "c", "speaker": "s", "utterance": "u", "phones": 4, "insertions": 0}
    row |= {"substitutions": 1, "deletions": 0, "classifier_correct": 3, "classified_frames": 4}

    def run(one, device) -> dict:
        asked.append(one.folder.name)
        facts = {"seconds": 1.0, "steps": 2, "dev_frame_accuracy": 0.5}
        return {**facts, "utterances": [row]}

    return run


def test_variants_are_listed_without_training(place, capsys):
    assert bench(place, "--list") == 0
    out = capsys.readouterr().out
    assert "attention ±2 | attention" in out and "net | frames" in out
    assert not (place / "work").exists()


def test_wrong_options(place, capsys):
    assert bench(place, "--seeds", "-1") == 2
    assert "--seeds -1: choose a number from 1" in capsys.readouterr().err
    assert bench(place, "--only", "tree") == 2
    assert "--only tree: no such variant" in capsys.readouterr().err


def test_what_positions_do_not_reach_is_refused_before_any_training(place, capsys, monkeypatch):
    monkeypatch.setattr(windows_training.VariantRun, "run", lambda *_: pytest.fail("trained"))
    short = {"positions": "learned", "trained_length": 5, "window": [2, 2]}
    encoders = {**TWO, "short": {**TWO["attention ±2"], **short}}
    (place / "two.yaml").write_text(yaml.safe_dump(encoders))
    assert bench(place, "--seeds", "1") != 0
    error = capsys.readouterr().err
    assert "encoder.trained_length: 5 frames, but " in error and " of dev (short) " in error
