"""Configurations: what they hold, and that nothing impossible gets through."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.commands import SMALL_RECIPE as SMALL
from support.commands import message_of, small_recipe

from speechattn.encoder.config import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.schema import build
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import (
    AugmentationConfig,
    DecodingConfig,
    SynthConfig,
    TrainingConfig,
)
from speechattn.training.recipe_file import read_config


def test_what_a_recipe_leaves_out_has_its_default(tmp_path):
    config = read_config(
        small_recipe(tmp_path, "training: {steps: 7, learning_rate: 1}\nencoder:\n")
    )
    assert config.training == TrainingConfig(steps=7, learning_rate=1.0)
    assert isinstance(config.training.learning_rate, float)
    assert config.encoder == EncoderConfig()
    assert config.synth is None and config.phones is None
    assert config.train == ("c/train",)


def test_times_are_kept_only_where_reductions_are_looked_for(tmp_path):
    with pytest.raises(ConfigError, match="keep_times_ms: 50; only with reductions"):
        read_config(small_recipe(tmp_path, "keep_times_ms: 50\n"))
    both = "keep_times_ms: 50\nreductions: english\nrealign: [c/train]\n"
    assert read_config(small_recipe(tmp_path, both + "start_from: english\n")).keep_times_ms == 50


@given(
    steps=st.integers(1, 10**6),
    rate=st.floats(1e-8, 1.0),
    snr=st.tuples(st.integers(-5, 5), st.floats(6, 40)),
    seed=st.integers(0, 2**31),
    window=st.lists(st.integers(0, 50), min_size=2, max_size=2),
    phones=st.none() | st.text("abc./", min_size=1),
)
def test_plain_values_give_the_same_configuration_again(steps, rate, snr, seed, window, phones):
    values = {
        **yaml.safe_load(SMALL),
        "seed": seed,
        "phones": phones,
        "training": {"steps": steps, "learning_rate": rate},
        "augmentation": {"noise_snr_db": list(snr)},
        "encoder": {"window": window},
    }
    config = build(RecipeConfig, values)
    assert (config.training.steps, config.training.learning_rate) == (steps, rate)
    assert build(RecipeConfig, json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainin: {steps: 3}\n", "trainin: no such key; did you mean training?"),
        ("training: {windows: [[8, 0]]}\n", "training.windows: only for an encoder with"),
        (
            "training: {windows: [[8, 3]]}\nencoder: {stack: 2, any_window: [0, 32]}\n",
            "training.windows: (8, 3): encoder.window: 3 frames",
        ),
        ("training: {step: 3}\n", "training.step: no such key; did you mean training.steps?"),
        ("qqqqqq: 3\n", "qqqqqq: no such key; known: name, work_dir"),
        ("1: 2\n", "1: no such key"),
        ("training: {steps: many}\n", "training.steps: 'many'; it takes a whole number"),
        ("training: {steps: 2.5}\n", "training.steps: 2.5; it takes a whole number"),
        ("training: {steps: true}\n", "training.steps: True; it takes a whole number"),
        ("training: {steps: null}\n", "training.steps: None; it takes a whole number"),
        ("training: {learning_rate: 1e-3}\n", "training.learning_rate: '1e-3'; it takes a number"),
        ("training: {learning_rate: 1e-3}\n", "write 1.0e-3"),
        ("training: {learning_rate: true}\n", "training.learning_rate: True; it takes a number"),
        ("training: {learning_rate: .nan}\n", "training.learning_rate: nan; it takes a number"),
        ("training: {learning_rate: .inf}\n", "training.learning_rate: inf; it takes a number"),
        ("training: 5\n", "training: 5; it has keys of its own"),
        ("training: [1]\n", "training: [1]; it has keys of its own"),
        ("encoder: {window: 8}\n", "encoder.window: 8; it takes a list"),
        ("encoder: {width: 255}\n", "encoder.heads: 4 do not divide encoder.width 255"),
        ("front_end: {kind: plp}\n", "front_end.kind: 'plp'; it is 'fbank' or 'mfcc'"),
        ("front_end: {use_energy: 1}\n", "front_end.use_energy: 1; it takes a bool"),
        ("name: 7\n", "name: 7; it takes text"),
        ("train: []\n", "train: empty; list at least one corpus/split"),
        ("test: []\n", "test: empty"),
        ("train: c/train\n", "train: 'c/train'; it takes a list"),
        ("train: [c]\n", "train: 'c'; each entry is corpus/split"),
        ("dev: [a/b/c]\n", "dev: 'a/b/c'; each entry is corpus/split"),
        ("test: [7]\n", "test: 7; each entry is corpus/split"),
        ("dev: []\n", "dev: empty and hold_out: 0"),
        ("hold_out: 1.0\n", "hold_out: 1.0; a share from 0 to below 1"),
        ("hold_out: -0.1\n", "hold_out: -0.1"),
        ("device: tpu\n", "device: 'tpu'; auto, cpu, cuda, cuda:0"),
        ("training: {steps: 0}\n", "training.steps: 0; from 1 on"),
        ("training: {checkpoint_every: 0}\n", "training.checkpoint_every: 0"),
        ("training: {evaluate_every: -1}\n", "training.evaluate_every: -1"),
        ("training: {crop_frames: 0}\n", "training.crop_frames: 0"),
        ("training: {batch_frames: 399}\n", "training.batch_frames: 399; not below training.crop"),
        ("augmentation: {speed: 0.5}\n", "augmentation.speed: 0.5; from 0 to 0.5"),
        ("augmentation: {vocal_tract: -0.1}\n", "augmentation.vocal_tract: -0.1"),
        ("augmentation: {noise_snr_db: [30, 5]}\n", "augmentation.noise_snr_db: [30, 5]"),
        (
            "augmentation: {noise_snr_db: [5]}\n",
            "augmentation.noise_snr_db: [5]; [least, greatest]",
        ),
        ("augmentation: {noise_snr_db: [a, b]}\n", "augmentation.noise_snr_db: ['a', 'b']"),
        ("training: {precision: fp16}\n", "training.precision: 'fp16'; 'fp32' or 'bf16'"),
        ("training: {precision: 16}\n", "training.precision: 16; it takes text"),
        ("augmentation: {room_probability: 1.5}\n", "room_probability: 1.5; a share from 0 to 1"),
        (
            "augmentation: {silence_probability: -1}\n",
            "augmentation.silence_probability: -1.0; a share from 0 to 1",
        ),
        (
            "augmentation: {shuffle_probability: 2}\n",
            "augmentation.shuffle_probability: 2.0; a share from 0 to 1",
        ),
        ("augmentation: {shuffle_frames: 0}\n", "augmentation.shuffle_frames: 0; from 1 on"),
        ("augmentation: {room_seconds: 0.5}\n", "augmentation.room_seconds: 0.5; it takes a list"),
        ("augmentation: {room_seconds: [0.5]}\n", "room_seconds: [0.5]; [least, greatest]"),
        ("augmentation: {room_seconds: [0.8, 0.2]}\n", "room_seconds: [0.8, 0.2]; [least,"),
        ("augmentation: {room_seconds: [0, 0.2]}\n", "room_seconds: [0, 0.2]; from 0.01 to 10 s"),
        ("augmentation: {room_seconds: [1, 11]}\n", "room_seconds: [1, 11]; from 0.01 to 10 s"),
        ("noise: 7\n", "noise: 7; it takes text"),
        ("noise: ''\n", "noise: ''; it cannot be empty"),
        ("first_pass: ''\n", "first_pass: ''; it cannot be empty"),
        ("start_from: [x]\n", "start_from: ['x']; it takes text"),
        ("start_from: ''\n", "start_from: ''; it cannot be empty"),
        ("realign: c/train\n", "realign: 'c/train'; it takes a list"),
        ("training: {start_share: 0.5}\n", "training.start_share: 0.5; needs the model"),
        ("training: {start_share: 1}\n", "training.start_share: 1.0; from 0 to below 1"),
        ("realign: [c/train]\n", "realign: needs the model that aligns; name it in start_from"),
        ("teacher: x\n", "training.teacher_weight: 0, and teacher: x; a teacher needs a weight"),
        ("training: {teacher_weight: 1}\n", "training.teacher_weight: 1, and teacher: None; a"),
        ("training: {teacher_weight: -1}\n", "training.teacher_weight: -1.0; from 0 on"),
        ("{start_from: x, realign: [c/dev]}\n", "realign: 'c/dev' is not in train"),
        ("{start_from: x, realign: [7]}\n", "realign: 7 is not in train; list it there too"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused_by_name(tmp_path, text, said):
    values = {**yaml.safe_load(SMALL), **yaml.safe_load(text)}
    path = small_recipe(tmp_path, yaml.safe_dump(values), base="")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert message_of(caught).startswith(f"{path}: ") and said in message_of(caught)


@pytest.mark.parametrize(
    "text",
    [
        "training: {learning_rate: 0.0}\n",
        "training: {learning_rate: -1.0}\n",
        "training: {clip_norm: 0.0}\n",
        "training: {warmup_steps: -5}\n",
        "training: {label_smoothing: 1.5}\n",
        "training: {average_decay: 1.5}\n",
        "training: {weight_decay: -1.0}\n",
        "training: {max_silence_frames: -3}\n",
        "augmentation: {noise_probability: 2}\n",
        "augmentation: {noise_snr_db: [.nan, .nan]}\n",
        "augmentation: {time_mask_frames: -2}\n",
        "augmentation: {frequency_masks: -1}\n",
        "decoding: {bigram_scale: []}\n",
        "decoding: {prior_scale: [much]}\n",
        "seed: -1\n",
        "threads: -1\n",
        "transcribe: -1\n",
        "synth: {train: 0}\n",
        "train: [/]\n",
        "synth: false\n",
        "training: 0\n",
        "training: []\n",
        f"training: {{learning_rate: 1{'0' * 400}}}\n",
        "training: {learning_rate: .nan}\n",
        "training: {label_smoothing: 1.0}\n",
        "training: {average_decay: 1.0}\n",
        f"training: {{steps: {2**63}}}\n",
        "training: false\n",
        "training: ''\n",
        "augmentation: {band_limit_probability: -0.1}\n",
        "augmentation: {gain_db: -1.0}\n",
        "augmentation: {channel_db: 101.0}\n",
        "augmentation: {time_masks: -1}\n",
        "augmentation: {frequency_mask_bins: -1}\n",
        "augmentation: {noise_snr_db: [true, 5]}\n",
        "augmentation: {noise_snr_db: [5, 101]}\n",
        f"augmentation: {{noise_snr_db: [1, 1{'0' * 400}]}}\n",
        "decoding: {duration_scale: [.inf]}\n",
        "decoding: {insertion_penalty: [true]}\n",
        f"seed: {2**63}\n",
        "synth: {dev: 0}\n",
        "synth: {test: -2}\n",
        "synth: []\n",
        "name: ''\n",
        "work_dir: ''\n",
        "phones: ''\n",
        "train: [c/]\n",
        "dev: [../d]\n",
        "train: [c/train, d/x, c/train]\n",
        "dev: [c/dev, c/dev]\n",
        "test: [c/test, c/test]\n",
        "test: [c/train]\n",
        "test: [c/all]\n",
    ],
)
def test_impossible_values_are_refused(tmp_path, text):
    values = {**yaml.safe_load(SMALL), **yaml.safe_load(text)}
    path = small_recipe(tmp_path, yaml.safe_dump(values), base="")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert next(iter(yaml.safe_load(text))) in message_of(caught)


def test_configurations_cannot_be_changed_by_accident():
    config = build(RecipeConfig, yaml.safe_load(SMALL))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.training.steps = 3


def test_a_run_may_be_shorter_than_its_warmup():
    """A first try with ``training.steps=2`` must not need a second setting."""
    assert TrainingConfig(steps=2).warmup_steps > 2


def test_a_whole_corpus_may_be_trained_on_beside_others():
    config = RecipeConfig(train=("a/all", "b/x"), dev=("a/dev",), test=("b/y", "c/all"))
    assert config.train == ("a/all", "b/x")
    for train, test in (("a/all", "a/x"), ("a/x", "a/all"), ("a/x", "a/x"), ("a/all", "a/all")):
        with pytest.raises(ConfigError) as caught:
            RecipeConfig(train=("b/x", train), dev=("b/y",), test=("b/z", test))
        assert message_of(caught).startswith(f"test: {test!r}; train has {train!r}")


@pytest.mark.parametrize(
    "values",
    [{"ngram_order": 1}, {"ngram_order": 11}, {"beam": 0.0}, {"beam": math.nan}, {"beam": "no"}],
)
def test_impossible_decoding(values):
    (name,) = values
    with pytest.raises(ConfigError, match=f"decoding.{name}: "):
        DecodingConfig(**values)


@pytest.mark.parametrize("kind", [TrainingConfig, AugmentationConfig, DecodingConfig, SynthConfig])
def test_sections_check_themselves(kind):
    """Also when they are made in Python, from no file."""
    section = {TrainingConfig: "training", AugmentationConfig: "augmentation"}
    values = {TrainingConfig: {"steps": 0}, AugmentationConfig: {"gain_db": -1.0}}
    values |= {DecodingConfig: {"prior_scale": ()}, SynthConfig: {"test": 0}}
    name = section.get(kind, kind.__name__.removesuffix("Config").lower())
    with pytest.raises(ConfigError, match=f"{name}.{next(iter(values[kind]))}: "):
        kind(**values[kind])
