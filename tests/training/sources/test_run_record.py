"""What it takes to repeat a training."""

from __future__ import annotations

import hashlib
import json

from support.recipes import make_corpora, write_recipe

from speechattn.training.recipe import Recipe
from speechattn.training.recipe_file import read_config
from speechattn.training.sources.run_record import write_run_record


def test_the_written_recipe_is_the_whole_recipe_and_data_have_checksums(tmp_path):
    make_corpora(tmp_path)
    config = read_config(write_recipe(tmp_path), ["seed=7"])
    recipe = Recipe(config, lambda _: None)
    recipe.data.prepare()
    write_run_record(config, recipe.work, recipe.data, 1)
    assert read_config(recipe.work / "recipe.yaml") == config
    record = json.loads((recipe.work / "run.json").read_text())
    text = (tmp_path / "corpora/tones/text").read_bytes()
    assert record["corpora"]["tones"]["text"] == hashlib.sha256(text).hexdigest()
    assert {"splits/train", "phones.ctm"} <= set(record["corpora"]["tones"])
    assert record["seed"] == 7 and record["packages"]["torch"]
    digests = {part["digest"] for part in record["prepared"].values()}
    assert len(digests) == 3 and None not in digests
