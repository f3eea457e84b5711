"""Recipes: what is read, what is overridden, and that nothing impossible gets through."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.config import RecipeConfig, TrainingConfig, build, find_config, read_config
from speechattn.encoder import EncoderConfig
from speechattn.errors import ConfigError
from speechattn.resources import resource

RECIPES = sorted(resource("recipes", "").glob("*.yaml"))
SMALL = "train: [c/train]\ndev: [c/dev]\ntest: [c/test]\n"


def recipe(tmp_path: Path, text: str = "", base: str = SMALL) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(base + text)
    return path


def one_line(caught) -> str:
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_holds(config: object, values: dict, where: str = "") -> None:
    """Every value of a YAML mapping is what the configuration holds."""
    for key, value in values.items():
        held = getattr(config, key)
        if isinstance(value, dict):
            assert_holds(held, value, f"{where}{key}.")
        else:
            held = list(held) if isinstance(held, tuple) else held
            assert held == value, f"{where}{key}"


def test_there_are_recipes():
    assert "english" in [path.stem for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_package_builds_and_holds_what_it_says(path):
    config = read_config(path.stem)
    assert config == read_config(path)
    assert config.name == path.stem
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if "window" in values.get("encoder", {}):
        window = values["encoder"].pop("window")
        assert json.loads(json.dumps(config.encoder.window)) == window
    assert_holds(config, values)


def test_no_source_stands_for_the_default_recipe():
    assert read_config(None).name == "default"


def test_what_a_recipe_leaves_out_has_its_default(tmp_path):
    config = read_config(recipe(tmp_path, "training: {steps: 7, learning_rate: 1}\nencoder:\n"))
    assert config.training == TrainingConfig(steps=7, learning_rate=1.0)
    assert isinstance(config.training.learning_rate, float)
    assert config.encoder == EncoderConfig()
    assert config.synth is None and config.phones is None
    assert config.train == ("c/train",)


def test_nested_configurations_are_built_and_checked(tmp_path):
    text = "encoder: {blocks: 2, window: [[4, null], [8, 2]]}\nsynth: {train: 5}\n"
    config = read_config(recipe(tmp_path, text))
    assert config.encoder.windows == [(4, None), (8, 2)]
    assert config.synth.train == 5 and config.synth.dev > 0
    assert json.loads(json.dumps(config.to_dict()))["encoder"]["window"] == [[4, None], [8, 2]]


@settings(deadline=None)
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


def test_overrides_go_into_sections_and_take_yaml_values(tmp_path):
    path = recipe(tmp_path, "training: {steps: 7, warmup_steps: 3}\n")
    before = path.read_bytes()
    config = read_config(
        path,
        [
            "training.steps=9",
            "training.learning_rate=2.0e-3",
            "augmentation.noise_snr_db=[0, 20]",
            "train=[a/x, b/y]",
            "encoder.window=[[1, 2], [3, null]]",
            "encoder.blocks=2",
            "front_end.use_energy=true",
            "phones=null",
            "name=a=b",
            "training.steps=10",  # the last one counts
        ],
    )
    assert (config.training.steps, config.training.warmup_steps) == (10, 3)
    assert config.training.learning_rate == 0.002
    assert config.augmentation.noise_snr_db == (0, 20)
    assert config.train == ("a/x", "b/y")
    assert config.encoder.window == ((1, 2), (3, None))
    assert config.front_end.use_energy is True
    assert config.phones is None and config.name == "a=b"
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trainin: {steps: 3}\n", "trainin: no such key; did you mean training?"),
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
        ("device: tpu\n", "device: 'tpu'; 'auto', 'cpu' or 'cuda'"),
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
    ],
)
def test_what_a_recipe_cannot_say_is_refused_by_name(tmp_path, text, said):
    values = {**yaml.safe_load(SMALL), **yaml.safe_load(text)}
    path = recipe(tmp_path, yaml.safe_dump(values), base="")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert one_line(caught).startswith(f"{path}: ") and said in one_line(caught)


@pytest.mark.xfail(strict=True, reason="config.py lets it through")
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
    ],
)
def test_impossible_values_are_refused(tmp_path, text):
    values = {**yaml.safe_load(SMALL), **yaml.safe_load(text)}
    path = recipe(tmp_path, yaml.safe_dump(values), base="")
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert next(iter(yaml.safe_load(text))) in one_line(caught)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("training.steps", "'training.steps': write key=value"),
        ("=5", "'=5': write key=value"),
        ("training.steps=[1", "'[1' is not readable as a YAML value"),
        ("train.x=5", "train has no keys of its own"),
        ("training.steps.x=5", "training.steps"),
        ("training.setps=5", "training.setps: no such key; did you mean training.steps?"),
        ("training.steps=", "training.steps: None; it takes a whole number"),
        ("training.learning_rate=1e-3", "write 1.0e-3"),
        pytest.param(
            "name=2020-13-45",  # YAML takes it for a date, and there is no 13th month
            "name",
            marks=pytest.mark.xfail(strict=True, reason="a bare ValueError"),
        ),
    ],
)
def test_a_bad_override_is_refused_by_name(tmp_path, override, said):
    with pytest.raises(ConfigError) as caught:
        read_config(recipe(tmp_path), [override])
    assert said in one_line(caught)


@pytest.mark.xfail(strict=True, reason="config.py says that it has no keys of its own")
@pytest.mark.parametrize("section", ["training:\n", "synth: null\n"])
def test_an_empty_section_can_be_overridden(tmp_path, section):
    name = section.partition(":")[0]
    key = {"training": "steps", "synth": "train"}[name]
    config = read_config(recipe(tmp_path, section), [f"{name}.{key}=5"])
    assert getattr(getattr(config, name), key) == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no keys"),
        (b"# nothing\n", "holds no keys"),
        (b"- a\n- b\n", "holds no keys"),
        (b"just words\n", "holds no keys"),
        (b"train: [a/b\ntest: x\n", "not readable as YAML"),
        (b"a: b: c\n", "not readable as YAML"),
        (b"name: caf\xe9\n", "not readable as YAML"),
        (b"name: !!python/object/apply:os.getcwd []\n", "not readable as YAML"),
        pytest.param(
            b"name: 2020-13-45\n",
            "month",
            marks=pytest.mark.xfail(strict=True, reason="a bare ValueError"),
        ),
        pytest.param(
            b"training: {steps: 1}\ntraining: {steps: 2}\n",
            "training",
            marks=pytest.mark.xfail(
                strict=True, reason="the second one silently replaces the first"
            ),
        ),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "broken.yaml"
    path.write_bytes((SMALL.encode() if content[:4] in (b"name", b"trai") else b"") + content)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert one_line(caught).startswith(f"{path}: ") and said in one_line(caught)


@pytest.mark.parametrize("source", ["no_such_recipe", "no/such/recipe.yaml", "../recipes/english"])
def test_a_missing_file_is_refused_with_the_recipes_there_are(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_config(source)
    message = one_line(caught)
    assert message.startswith(f"{source}: no such recipe file") and "english" in message


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match="no such recipe file"):
        read_config(tmp_path)


def test_a_file_of_the_folder_comes_before_one_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("english") == resource("recipes", "english.yaml")
    (tmp_path / "english").write_text(SMALL + "name: mine\n")
    assert read_config("english").name == "mine"


def test_configurations_cannot_be_changed_by_accident():
    config = build(RecipeConfig, yaml.safe_load(SMALL))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.training.steps = 3
