"""Recipe files: what is read, what is overridden, and that every broken file is refused by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from support.commands import SMALL_RECIPE as SMALL
from support.commands import message_of, small_recipe

from speechattn.errors import ConfigError
from speechattn.files import resource
from speechattn.studies import StudyConfigs
from speechattn.training.config_sections import DecodingConfig, SynthConfig, TrainingConfig
from speechattn.training.recipe_file import (
    find_config,
    packaged_recipes,
    read_config,
)

RECIPES = sorted(resource("recipes", "").glob("*.yaml"))


def assert_holds(config: object, values: dict, where: str = "") -> None:
    """Every value of a YAML mapping is what the configuration holds."""
    for key, value in values.items():
        held = getattr(config, key)
        if isinstance(value, dict):
            assert_holds(held, value, f"{where}{key}.")
        else:
            assert listed(held) == value, f"{where}{key}"


def listed(value: object) -> object:
    """Tuples as lists, also those within tuples."""
    return [listed(each) for each in value] if isinstance(value, tuple) else value


def test_there_are_recipes():
    assert "english" in [path.stem for path in RECIPES]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_package_builds_and_holds_what_it_says(path, tmp_path):
    needed = [f"corpus={tmp_path}"] if path.stem == "finetune" else []
    config = read_config(path.stem, needed, kinds=StudyConfigs())
    assert config == read_config(path, needed, kinds=StudyConfigs())
    assert config.name == path.stem
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert values.pop("task", "phones") in ("phones", path.stem)
    if "window" in values.get("encoder", {}):
        window = values["encoder"].pop("window")
        assert json.loads(json.dumps(config.encoder.window)) == window
    assert_holds(config, values)


def test_each_recipe_of_the_package_has_a_line_that_says_what_it_does():
    summaries = packaged_recipes()
    assert set(summaries) == {path.stem for path in RECIPES}
    assert all(20 < len(summary) < 120 for summary in summaries.values()), summaries


def test_no_source_stands_for_the_default_recipe():
    assert read_config(None).name == "default"


def test_nested_configurations_are_built_and_checked(tmp_path):
    text = "encoder: {blocks: 2, window: [[4, null], [8, 2]]}\nsynth: {train: 5}\n"
    config = read_config(small_recipe(tmp_path, text))
    assert config.encoder.windows == [(4, None), (8, 2)]
    assert config.synth.train == 5 and config.synth.dev > 0
    assert json.loads(json.dumps(config.to_dict()))["encoder"]["window"] == [[4, None], [8, 2]]


def test_overrides_go_into_sections_and_take_yaml_values(tmp_path):
    path = small_recipe(tmp_path, "training: {steps: 7, warmup_steps: 3}\n")
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
            "front_end.kind=mfcc",
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
        ("name=2020-13-45", "name"),  # YAML takes it for a date, and there is no 13th month
        ("training={steps: 1, steps: 2}", "steps is there for the second time"),
        ("name=!!bool x", "'!!bool x' is not readable as a YAML value"),
        ("trai\nning=5", "trai\\nning: no such key; did you mean training?"),
        ("train\n.x=5", "train\\n: no such key"),
    ],
)
def test_a_bad_override_is_refused_by_name(tmp_path, override, said):
    with pytest.raises(ConfigError) as caught:
        read_config(small_recipe(tmp_path), [override])
    assert said in message_of(caught)


@pytest.mark.parametrize("section", ["training:\n", "synth: null\n"])
def test_an_empty_section_can_be_overridden(tmp_path, section):
    name = section.partition(":")[0]
    key = {"training": "steps", "synth": "train"}[name]
    config = read_config(small_recipe(tmp_path, section), [f"{name}.{key}=5"])
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
        (b"name: 2020-13-45\n", "month"),
        (b"training: {steps: 1}\ntraining: {steps: 2}\n", "line 5: training is there for the sec"),
        (b"name: !!timestamp x\n", "not readable as YAML"),
        (b'name: !!int ""\n', "not readable as YAML"),
        (b"name: " + b"[" * 5000 + b"\n", "not readable as YAML: nested too deeply"),
        (b"name: &a [*a]\n", "name: [[...]]; it takes text"),
        (b"training: {seed: {a: 1, b: {c: 2, c: 3}}}\n", "line 4: c is there for the second time"),
        (b"training: 0x1" + b"0" * 5000 + b"\n", "give a smaller number"),
    ],
)
def test_a_broken_file_is_refused_by_name(tmp_path, content, said):
    path = tmp_path / "broken.yaml"
    path.write_bytes((SMALL.encode() if content[:4] in (b"name", b"trai") else b"") + content)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert message_of(caught).startswith(f"{path}: ") and said in message_of(caught)


@pytest.mark.parametrize("source", ["no_such_recipe", "no/such/recipe.yaml", "../recipes/english"])
def test_a_missing_file_is_refused_with_the_recipes_there_are(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        find_config(source)
    message = message_of(caught)
    assert message.startswith(f"{source}: no such recipe file") and "english" in message


def test_a_folder_is_no_recipe(tmp_path):
    with pytest.raises(ConfigError, match="no such recipe file"):
        read_config(tmp_path)


def test_a_file_of_the_folder_comes_before_one_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_config("english") == resource("recipes", "english.yaml")
    (tmp_path / "english").write_text(SMALL + "name: mine\n")
    assert read_config("english").name == "mine"


def test_a_section_is_a_mapping_or_null(tmp_path):
    config = read_config(small_recipe(tmp_path, "training: null\ndecoding: {}\nsynth: {}\n"))
    assert config.training == TrainingConfig() and config.decoding == DecodingConfig()
    assert config.synth == SynthConfig()
    assert read_config(small_recipe(tmp_path, "synth: null\n")).synth is None
    assert read_config(small_recipe(tmp_path, "synth:\n")).synth is None


def test_only_what_was_meant_as_a_number_gets_the_hint(tmp_path):
    for text, hinted in (("1e-3", True), ("fast", False), ("[1.0]", False), ("'.nan'", False)):
        path = small_recipe(tmp_path, f"training: {{learning_rate: {text}}}\n")
        with pytest.raises(ConfigError) as caught:
            read_config(path)
        assert ("write 1.0e-3" in message_of(caught)) == hinted, text


def test_overriding_one_of_two_aliases_leaves_the_other(tmp_path):
    base = "test: &t [c/test]\ntrain: [c/train]\ndev: &d [c/dev]\n"
    text = "training: &x {steps: 500}\nsynth:\n  <<: {train: 7}\n"
    config = read_config(small_recipe(tmp_path, text, base), ["synth.dev=3", "training.steps=9"])
    assert (config.synth.train, config.synth.dev, config.training.steps) == (7, 3, 9)
    mapping = "encoder: &e {dropout: 0.25}\n"
    values = yaml.safe_load(SMALL + mapping + "augmentation: {<<: *e}\n")
    assert values["augmentation"] == {"dropout": 0.25}  # a merge, which is no key twice
    with pytest.raises(ConfigError, match="augmentation.dropout: no such key"):
        read_config(small_recipe(tmp_path, mapping + "augmentation: {<<: *e}\n"))


def test_an_override_does_not_reach_an_alias(tmp_path):
    text = "front_end: &x {}\nencoder: *x\n"
    config = read_config(small_recipe(tmp_path, text), ["encoder.blocks=2"])
    assert config.encoder.blocks == 2


def test_a_file_that_the_system_refuses_is_named(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = small_recipe(tmp_path)
    monkeypatch.setattr(Path, "read_text", refused)
    with pytest.raises(ConfigError) as caught:
        read_config(path)
    assert message_of(caught).startswith(f"{path}: cannot be read (Permission denied)")


@pytest.mark.parametrize("source", ["n" * 5000, "a\0b"])
def test_a_name_that_no_file_can_have_is_no_recipe(source):
    with pytest.raises(ConfigError, match="no such recipe file"):
        find_config(source)


def test_line_breaks_in_keys_and_paths_are_escaped(tmp_path):
    folder = tmp_path / "two\nlines"
    folder.mkdir()
    with pytest.raises(ConfigError) as caught:
        read_config(small_recipe(folder, '"a\\nb": 1\n'))
    assert "two\\nlines" in message_of(caught) and "a\\nb: no such key" in message_of(caught)


@pytest.mark.parametrize("override", ["training=", "training=null", "encoder=", "training=~"])
def test_an_override_does_not_empty_a_section(override):
    with pytest.raises(ConfigError) as caught:
        read_config("kathleen", [override])
    key = override.partition("=")[0]
    assert message_of(caught) == (
        f"overrides: {key}: None; it has keys of its own: give some, or leave it out"
    )
    assert (
        read_config("default", ["synth=", "train=[a/b]", "dev=[a/c]", "test=[a/d]"]).synth is None
    )


@pytest.mark.parametrize(
    ("text", "overrides", "blamed"),
    [
        ("", ["training.step=5"], "overrides"),
        ("", ["encoder.width=6", "encoder.heads=4"], "overrides"),
        ("encoder: {heads: 4}\n", ["encoder.width=6"], "overrides"),  # the file alone is in order
        ("training: {step: 5}\n", ["name=x"], "small.yaml"),
        ("training: {step: 5}\n", ["training.steps=7"], "small.yaml"),
    ],
)
def test_an_error_is_said_of_where_it_stands(tmp_path, text, overrides, blamed):
    with pytest.raises(ConfigError) as caught:
        read_config(small_recipe(tmp_path, text), overrides)
    assert message_of(caught).partition(": ")[0].endswith(blamed)
