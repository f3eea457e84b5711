"""Recipes and corpora that something is wrong with: named, and nothing is lost."""

from __future__ import annotations

import gzip
import json

import pytest
from support.recipe_runs import fails
from support.recipes import write_recipe
from support.work_folders import held_elsewhere

from speechattn.cli.recipe import main


def test_what_leaves_nothing_out_is_no_utterance_left_out(place, capsys):
    """A pipe in train is no matter of dev, and a missing speaker leaves no utterance out."""
    tones = place / "corpora/tones"
    scp = (tones / "wav.scp").read_text()
    (tones / "wav.scp").write_text(scp.replace("u00 audio/u00.wav", "u00 cat u00.wav |"))
    speakers = (tones / "utt2spk").read_text().splitlines()
    (tones / "utt2spk").write_text("".join(f"{s}\n" for s in speakers if not s.startswith("u08")))
    assert main([str(write_recipe(place)), "stages=prepare"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    left_out = [line for line in lines if "left out of" in line and "sentences" not in line]
    assert len(left_out) == 1 and left_out[0].startswith("  left out of train: ")
    assert "u00: a pipe is never executed" in left_out[0]
    notes = [line for line in lines if line.startswith("  note on ")]
    assert len(notes) == 1 and notes[0].startswith("  note on dev: ")
    assert "no speaker for 1 utterances (first: u08)" in notes[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["training.stps=3"], "training.stps: no such key; did you mean training.steps?"),
        (["training.steps=0"], "training.steps: 0"),
        (["training.steps=many"], "training.steps: 'many'"),
        (["train=[]"], "train: empty"),
        (["decoding.bigram_scale=[]"], "decoding.bigram_scale: empty"),
        (["decoding.prior_scale=[2]"], "prior_scale is 2"),
        (["encoder.window=[3]"], "encoder.window"),
        (["phones=gone.tsv"], "gone.tsv"),
        (["device=tpu"], "device: 'tpu'"),
        (["stages=prepare,trian"], "stages: 'trian'; the stages are prepare, train"),
        (["stages="], "stages: ''"),
        (["force=yes"], "force: 'yes'"),
        (["nonsense"], "'nonsense': write key=value"),
        (["first_pass=gone.yaml"], "gone.yaml: no such recipe file"),
        (["realign=[tones/train]"], "realign: needs the model that aligns; name it in start_from"),
        (["start_from=x", "realign=[tones/dev]"], "realign: 'tones/dev' is not in train"),
    ],
)
def test_wrong_settings_are_refused_before_anything_runs(place, capsys, arguments, said):
    assert said in fails(capsys, 2, write_recipe(place), *arguments)
    assert not (place / "work").exists()


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.yaml", None, "gone.yaml: no such recipe file"),
        ("bad.yaml", "a: [", "bad.yaml: not readable as YAML"),
        ("empty.yaml", "", "empty.yaml: holds no keys"),
    ],
)
def test_recipes_that_cannot_be_read_are_named(tmp_path, capsys, name, text, said):
    if text is not None:
        (tmp_path / name).write_text(text)
    assert said in fails(capsys, 2, tmp_path / name)


def test_a_missing_corpus_is_named(place, capsys):
    recipe = write_recipe(place)
    gone = place / "gone"
    assert str(gone / "tones") in fails(capsys, 1, recipe, f"corpora={gone}")
    said = fails(capsys, 1, recipe, "dev=[tones/validation]")
    assert str(place / "corpora/tones/splits/validation") in said and "dev, test, train" in said
    assert fails(capsys, 2, recipe, "stages=train").endswith("add it: stages=prepare,train")


def test_a_work_folder_that_cannot_be_written_is_named(place, capsys):
    (place / "file").write_text("")
    said = fails(capsys, 2, write_recipe(place), f"work_dir={place}/file")
    assert f"{place / 'file'}: cannot be written" in said


def test_what_is_wrong_with_a_corpus_is_listed_and_the_rest_goes_on(place, capsys, sketches):
    tones, more = place / "corpora/tones", place / "corpora/more"
    (tones / "audio/u00.wav").unlink()
    ctm = (tones / "phones.ctm").read_text()
    ctm = ctm.replace("u01 1 0.00 0.08 SIL", "u01 1 0.00 0.08 ZZ")
    ctm += "u08 1 3.00 0.10 AA\n"  # dev, two seconds past its end
    (tones / "phones.ctm.gz").write_bytes(gzip.compress(ctm.encode()))
    (tones / "phones.ctm").unlink()
    cut = more / "audio/u01.wav"
    cut.write_bytes(cut.read_bytes()[:-3000])
    recipe = write_recipe(place)
    assert main([str(recipe), "training.steps=2", "transcribe=1"]) == 0
    out = capsys.readouterr().out
    report = (place / "work/report.md").read_text().partition("## Left out")[2]
    for part, words in (
        ("train", ("u00", "no file", "u00.wav")),
        ("train", ("u01", "unknown phone 'ZZ'")),
        ("dev", ("u08", "past the end of its audio")),
        ("test", ("u01.wav", "cut off")),
    ):
        for text, start in ((out, f"  left out of {part}: "), (report, f"- {part}: ")):
            lines = [line for line in text.splitlines() if line.startswith(start)]
            assert sum(all(word in line for word in words) for line in lines) == 1, (words, lines)
    assert len(report.strip().splitlines()) == 4
    scores = json.loads((place / "work/evaluate/scores.json").read_text())
    assert scores["overall"]["utterances"] == 3


def test_problems_of_a_corpus_whose_sentences_are_held_out_are_said_once(place, capsys):
    (place / "corpora/tones/audio/u00.wav").unlink()
    recipe = write_recipe(place, dev=[], hold_out=0.4)
    assert main([str(recipe), "stages=prepare"]) == 0
    assert capsys.readouterr().out.count("u00.wav") == 1
    ids = {}
    for name in ("train", "dev"):
        index = json.loads((place / f"work/prepared/{name}/index.json").read_text())
        ids[name] = {entry["id"] for entry in index["utterances"]}
    assert ids["train"] and ids["dev"] and not ids["train"] & ids["dev"]
    assert ids["train"] | ids["dev"] == {f"u{number:02d}" for number in range(1, 8)}


def test_a_corpus_without_anything_usable_is_named(place, capsys):
    for path in (place / "corpora/more/audio").iterdir():
        path.write_bytes(b"")
    said = fails(capsys, 1, write_recipe(place, test=["more/all"]))
    assert "u00.wav" in said and not (place / "work/prepared/test").exists()


def test_a_folder_without_noise_is_named(place, capsys):
    said = fails(capsys, 1, write_recipe(place, noise="rain"))
    assert f"noise: no recordings in {place / 'corpora/rain'}" in said


def test_sentences_of_a_test_set_are_not_trained_on(place, capsys):
    """However they are written."""
    tones, more = place / "corpora/tones", place / "corpora/more"
    (tones / "text").write_text("u02 It's cold\nu03 It is cold.\nu10 Warm\n")
    (more / "text").write_text("u00 IT'S,  COLD!\n")
    recipe = write_recipe(place)
    assert main([str(recipe), "stages=prepare"]) == 0
    said = "left out of train: tones: 1 of 8 utterances, whose sentences a test set has too"
    assert said in capsys.readouterr().out
    index = json.loads((place / "work/prepared/train/index.json").read_text())
    assert [e["id"] for e in index["utterances"]] == [f"u{n:02d}" for n in (0, 1, 3, 4, 5, 6, 7)]

    (tones / "text").write_text("".join(f"u{n:02d} one\n" for n in range(12)))
    said = fails(capsys, 1, recipe, "stages=prepare")
    assert "train: a test set has all of its sentences too" in said


def test_a_refused_checkpoint_leaves_the_record_of_the_run_that_made_it(place, capsys):
    recipe = write_recipe(place)
    assert main([str(recipe), "stages=prepare,train"]) == 0
    record = (place / "work/recipe.yaml").read_bytes()
    (place / "work/train/inputs.txt").unlink()  # so that the trainer itself compares
    line = fails(capsys, 1, recipe, "stages=train", "encoder.width=32")
    assert "checkpoint.safetensors: belongs to another configuration" in line
    assert (place / "work/recipe.yaml").read_bytes() == record


def test_a_second_run_in_a_work_folder_is_refused_at_once(place, capsys):
    recipe = write_recipe(place)
    (place / "work").mkdir()
    with held_elsewhere(place / "work"):
        for more in ([], ["force=true", "stages=train"]):
            line = fails(capsys, 2, recipe, *more)
            assert f"{place / 'work'}: another training is at work in this folder" in line
    assert not (place / "work/recipe.yaml").exists()


@pytest.mark.parametrize("content", [b"x", b"\xff \xff", b""])
def test_a_damaged_mark_of_a_checkpoint_means_to_train_afresh(place, capsys, content):
    recipe = write_recipe(place)
    assert main([str(recipe), "stages=prepare,train"]) == 0
    (place / "work/train/inputs.txt").write_bytes(content)
    assert main([str(recipe), "stages=train", "force=false", "training.steps=7"]) == 0
    assert "training afresh" in capsys.readouterr().out
