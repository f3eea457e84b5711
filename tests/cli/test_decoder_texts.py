"""``speechattn decoder --text``: words and their order, learned from texts."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.commands import make_corpus
from support.models import save_english_model
from support.word_lms import said_as

from speechattn.cli.main import main
from speechattn.corpora.corpus import read_corpus
from speechattn.decoder.decoder import decode
from speechattn.decoder.lm.english import english_trigram
from speechattn.decoder.lm.pruning import as_trigram
from speechattn.decoder.words import WordReader
from speechattn.inference.checkpoint import Checkpoint
from speechattn.inference.model_files import model_digest
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet
from speechattn.training import word_order

KNOWN = ["the cat sat on the mat", "the cat saw a dog", "a dog sat on a mat", "the read book"]
TEXT = "Zorblax saw the purple cat. The purple cat saw Zorblax!"


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory):
    return save_english_model(tiny_model_dir, tmp_path_factory.mktemp("models") / "known", KNOWN)


@pytest.fixture
def text(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path / "text.txt"


def learned(model, out, *options):
    """The checkpoint that the command writes."""
    assert main(["decoder", str(model), "--output-dir", str(out), *map(str, options)]) == 0
    return Checkpoint.load(out)


def prob(words, *told):
    """Probability of the last of some words after the others."""
    trigram = as_trigram(words)
    *before, word = (trigram.words.index(name) for name in told)
    return float(np.exp(trigram.log_prob(np.array([word]), before)[0]))


def pronunciations(words):
    listed = words.names.listed.tolist()
    return {n: (w, k) for n, w, k in zip(words.names.names, said_as(words), listed)}


def heard(checkpoint, phones):
    """The words that are found in a string of phones of 60 ms each."""
    log_posteriors = np.full((6 * len(phones), len(checkpoint.phones)), -9.0)
    for place, phone in enumerate(phones):
        log_posteriors[6 * place : 6 * place + 6, phone] = -0.01
    model, options = checkpoint.phone_model, checkpoint.decoding
    reader = WordReader(model, options)
    runs = decode(log_posteriors, model, options)
    found = reader.push(runs) + reader.finish()
    return [model.words.names.names[word.word] if word.word >= 0 else None for word in found]


def test_words_that_a_model_lacked_are_heard(model, text, tmp_path, capsys):
    before = Checkpoint.load(model)
    after = learned(model, tmp_path / "out", "--text", text)
    said = capsys.readouterr().err
    assert "texts: 10 words in 2 sentences, 30 % of the mixture" in said
    assert "added 2 words, 1 of them pronounced by rule: zorblax" in said
    old, new = before.phone_model.words, after.phone_model.words
    assert set(new.names.names) == {*old.names.names, "zorblax", "purple"}
    ways = pronunciations(new)
    assert {name: ways[name] for name in old.names.names} == pronunciations(old)
    assert ways["zorblax"][1] == len(ways["zorblax"][0])
    zorblax, saw, cat = (ways[name][0][0] for name in ("zorblax", "saw", "cat"))
    silence = after.phones.silence_index
    phones = [silence, *zorblax, *saw, *ways["a"][0][0], *cat, silence]
    assert heard(after, phones)[:2] == ["zorblax", "saw"]
    assert "zorblax" not in heard(before, phones)
    # The encoder and the weights of the decoder are the same.
    assert after.decoding == before.decoding
    assert after.phone_model.ngrams.tensors().keys() == before.phone_model.ngrams.tensors().keys()


def test_the_order_of_words_is_mixed_by_weight(model, text, tmp_path):
    before = Checkpoint.load(model).phone_model.words
    light, heavy = (
        learned(model, tmp_path / w, "--text", text, "--text-weight", w).phone_model.words
        for w in ("0.1", "0.6")
    )
    assert prob(light, "the", "purple") < prob(heavy, "the", "purple")
    assert prob(before, "the", "cat") > prob(light, "the", "cat") > prob(heavy, "the", "cat")
    assert prob(heavy, "the", "purple", "cat") > prob(light, "the", "purple", "cat")


def test_several_files_and_decoders_of_other_models(tiny_model_dir, model, text, tmp_path):
    (tmp_path / "more.txt").write_text("One\npurple dog\n")
    out = tmp_path / "out"
    options = ["--like", model, "--text", text, "--text", tmp_path / "more.txt"]
    found = learned(tiny_model_dir, out, *options)
    assert {"zorblax", "one", "purple"} <= set(found.phone_model.words.names.names)
    # In its own place, and with nothing new to say.
    again = learned(out, out, "--text", text)
    assert set(again.phone_model.words.names.names) == set(found.phone_model.words.names.names)


def test_the_rarest_words_make_place(model, text, tmp_path, monkeypatch):
    size = Checkpoint.load(model).phone_model.words.num_words
    monkeypatch.setattr(word_order, "MOST_WORDS", size)
    names = learned(model, tmp_path / "out", "--text", text).phone_model.words.names.names
    assert len(names) == size and {"the", "cat", "zorblax", "purple"} <= set(names)


def test_rare_words_are_not_guessed_in_long_texts(model, tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("zorblax purple\n" + 50 * "the cat\n")
    monkeypatch.setattr(word_order, "LEAST_SHARE", 0.01)
    names = learned(model, tmp_path / "o", "--text", tmp_path / "text.txt").phone_model.words.names
    assert "purple" in names.names and "zorblax" not in names.names


@pytest.fixture
def people(tmp_path):
    """A corpus whose four utterances have two sentences, one of them in a set to measure on."""
    folder = make_corpus(tmp_path / "people", {f"u{n}": [("AA", 40)] for n in range(4)})
    said = ["THE PURPLE CAT", "THE PURPLE CAT", "ZORBLAX SAW A DOG", "THE DOG"]
    (folder / "text").write_text("".join(f"u{n} {line}\n" for n, line in enumerate(said)))
    (folder / "splits").mkdir()
    (folder / "splits" / "train").write_text("u0\nu1\nu2\n")
    (folder / "splits" / "dev").write_text("u3\n")
    return folder


def test_transcripts_are_a_text_too(model, people, tmp_path, capsys):
    options = ["--transcripts", "people/train", "--corpora", people.parent]
    names = learned(model, tmp_path / "out", *options).phone_model.words.names.names
    assert "zorblax" in names
    assert "transcripts: 7 words in 2 sentences, 15 % of the mixture" in capsys.readouterr().err
    for entry, said in (("people/dev", "measured on this set"), ("people/all", "people/dev too")):
        command = ["decoder", str(model), "--output-dir", str(tmp_path / "no")]
        assert main([*command, "--transcripts", entry, "--corpora", str(people.parent)]) == 2
        assert said in capsys.readouterr().err and not (tmp_path / "no").exists()


def test_sentences_of_dev_and_test_sets_are_left_out(model, people, tmp_path, capsys):
    """Those of all corpora there, and longer ones that share many words with one."""
    other = people.parent / "other"
    shutil.copytree(people, other)
    (other / "splits" / "dev").rename(other / "splits" / "test")
    long = "a dog saw the purple cat on the mat and sat"
    said = {"u0": "the cat zorblax", "u1": f"and {long} again", "u2": "the mat", "u3": long}
    (people / "text").write_text("".join(f"{name} {text}\n" for name, text in said.items()))
    (other / "text").write_text("u3 The cat, Zorblax\n")
    options = ["--transcripts", "people/train", "--corpora", people.parent]
    words = learned(model, tmp_path / "out", *options).phone_model.words
    assert "zorblax" not in words.names.names
    told = capsys.readouterr().err
    assert "left out of the transcripts: 2 utterances" in told
    assert "transcripts: 2 words in 1 sentence" in told


def test_beginning_with_the_whole_trigram(model, text, tmp_path):
    pytest.importorskip("pocketsphinx")
    recipe = tmp_path / "few.yaml"
    sets = {"train": ["a/all"], "dev": ["b/all"], "test": ["c/all"]}
    room = {"ngram_order": 3, "word_pairs": 3000, "word_triples": 500}
    recipe.write_text(json.dumps({"name": "few", **sets, "decoding": room}))
    options = ["--whole-trigram", "--recipe", recipe]
    words = learned(model, tmp_path / "whole", *options).phone_model.words
    assert words.num_words > 60_000 and len(words.third) == 500
    assert (
        pronunciations(words)["cat"]
        == pronunciations(Checkpoint.load(model).phone_model.words)["cat"]
    )
    trigram = english_trigram()
    value = np.exp(trigram.log_unigram[trigram.words.index("house")])
    assert np.exp(as_trigram(words).log_unigram[words.names.names.index("house")]) == pytest.approx(
        value, rel=1e-2
    )
    texted = learned(model, tmp_path / "texted", *options, "--text", text).phone_model.words
    assert {"zorblax", "house"} <= set(texted.names.names)
    again = learned(tmp_path / "texted", tmp_path / "again", *options).phone_model.words
    assert {"zorblax", "house"} <= set(again.names.names)


@pytest.mark.parametrize(
    "options, said",
    [
        (["--text", "{}/gone.txt"], "gone.txt: cannot be read (No such file or directory)"),
        (["--text", "{}/empty.txt"], "empty.txt: no words in it"),
        (["--text", "{}/text.txt", "--text", "{}/text.txt"], "text.txt: is given twice"),
        (["--text", "{}/other.txt"], "none of their words is known, or can be pronounced"),
        (["--text", "{}/text.txt", "--text-weight", "1"], "--text-weight 1; above 0 and below 1"),
        (["--text", "{}/text.txt", "--text-weight", "nan"], "--text-weight nan; above 0"),
        (
            ["--text", "{}/text.txt", "--text-weight", "0.9", "--transcripts", "people/train"],
            "--text-weight 0.9 and --transcripts-weight 0.15: together below 1",
        ),
        (["--transcripts", "people"], "--transcripts: 'people'; each entry is corpus/split"),
        (["--transcripts", "x/test"], "--transcripts: x/test: models are measured on this set"),
        (["--text", "{}/text.txt", "--share-weights"], "--text: changes words, which --share-weig"),
        (
            ["--text", "{}/text.txt", "--share-words", "--like", "{}/known"],
            "--text: changes words, which --share-words",
        ),
        (["--text", "{}/text.txt", "--recipe", "default"], "decoding.word_pairs is 0"),
        (["--text", "{}/text.txt", "--like", "{}/bare"], "bare knows no words; give a model that"),
    ],
)
def test_what_cannot_be_is_said(model, people, text, tmp_path, capsys, options, said):
    shutil.copytree(model, tmp_path / "known")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "other.txt").write_text("\u0434\u0430\n", encoding="utf-8")
    bare = Checkpoint.load(model)
    bare.phone_model = replace(bare.phone_model, words=None)
    bare.save(tmp_path / "bare")
    before, out = model_digest(tmp_path / "known"), tmp_path / "out"
    command = ["decoder", str(tmp_path / "known"), "--output-dir", str(out)]
    corpora = ["--corpora", str(people.parent)]
    assert main([*command, *corpora, *(option.format(tmp_path) for option in options)]) == 2
    assert said in capsys.readouterr().err
    assert model_digest(tmp_path / "known") == before and not Path(out).exists()


@pytest.mark.corpora
def test_a_name_of_a_text_is_heard_in_real_speech(corpora, tmp_path):
    """ "Hurstwood walked the floor": a name that the package lacks, in a book."""
    listed = read_corpus(corpora / "librispeech", phones=arpabet(), split="dev", alignments=False)
    (said,) = [each for each in listed if each.id == "2277-149896-0002"]
    (tmp_path / "text.txt").write_text(
        "Sister Carrie\n\nThen Mr. Hurstwood\u2019s door opened. Hurstwood sat."
    )
    text = ["--text", str(tmp_path / "text.txt"), "--text-weight", "0.05"]
    assert main(["decoder", "english", "--output-dir", str(tmp_path / "own"), *text]) == 0
    before, after = (
        [word.label.lower() for word in load_model(model).transcribe(said.path, words=True).words]
        for model in ("english", tmp_path / "own")
    )
    assert "hurstwood" not in before
    assert after[0] == "hurstwood" and after[2:4] == ["the", "floor"]
