"""``speechattn train``: its lists, its check and its exit statuses; ``recipe`` is the same."""

from __future__ import annotations

import pytest
from support.recipes import make_corpora, write_recipe

from speechattn.cli import recipe
from speechattn.cli.main import main


def test_recipes_are_listed(capsys):
    assert main(["train", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {"english", "finetune", "kathleen"} <= {line.split()[0] for line in lines}


def test_keys_are_listed_with_type_default_and_meaning(capsys):
    assert main(["train", "--keys", "training"]) == 0
    out = capsys.readouterr().out
    assert "  training.steps (integer, from 1 on; default 1000)\n      number of updates." in out
    assert main(["train", "--keys"]) == 0
    every = capsys.readouterr().out
    assert out in every and "  corpora (text; default data/corpora)" in every
    assert main(["train", "--keys", "tagging"]) == 0
    assert "tagging:" in capsys.readouterr().out
    assert main(["train", "--keys", "nothing"]) == 2
    assert (
        "--keys nothing: no such section and no such key; one of top; " in capsys.readouterr().err
    )


def test_one_key_is_explained(capsys):
    assert main(["train", "--keys", "training.steps"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "training:\n  training.steps (integer, from 1 on; default 1000)\n      nu"
    )
    assert "training.batch" not in out
    assert main(["train", "--keys", "encoder.stack"]) == 0  # every kind has one
    assert capsys.readouterr().out.count("  encoder.stack (") == 4
    assert main(["train", "--keys", "corpora"]) == 0
    assert capsys.readouterr().out.startswith("top:\n  corpora (text; ")
    assert main(["train", "--keys", "training.stepz"]) == 2
    assert "did you mean training.steps? The sections are top; " in capsys.readouterr().err


def test_everything_wrong_is_listed_and_nothing_is_trained(tmp_path, capsys):
    make_corpora(tmp_path)
    path = write_recipe(tmp_path)
    tones = tmp_path / "corpora" / "tones"
    assert main(["train", str(path), "--check"]) == 0
    assert "0 problems" in capsys.readouterr().err
    (tones / "audio" / "u00.wav").write_bytes(b"RIFF")
    scp = (tones / "wav.scp").read_text().replace("audio/u01.wav", "audio/no.wav")
    (tones / "wav.scp").write_text(scp)
    ctm = (tones / "phones.ctm").read_text().splitlines()
    number = next(n for n, line in enumerate(ctm) if line.startswith("u02 "))
    ctm[number] = ctm[number].replace("SIL", "XX")
    (tones / "phones.ctm").write_text("\n".join(ctm) + "\n")
    texts = "decoding={ngram_order: 3, word_pairs: 9, texts: [gone.txt]}"
    assert main(["train", str(path), "noise=none", texts, "--check"]) == 1
    out = capsys.readouterr().out
    for said in (
        "noise: ",
        "decoding.texts: gone.txt: no such file",
        "u00.wav",
        "wav.scp: u01: no file",
        f"phones.ctm:{number + 1}: u02: unknown phone 'XX'",
    ):
        assert said in out, out
    assert not (tmp_path / "work").exists()
    assert recipe.main([str(path), "training.stepz=1", "--check"]) == 2
    assert "training.stepz: no such key" in capsys.readouterr().out


def test_the_check_of_a_recipe_finds_what_that_of_its_corpus_finds(tmp_path, capsys):
    make_corpora(tmp_path)
    path = write_recipe(tmp_path)
    tones = tmp_path / "corpora" / "tones"
    ids = [line.split()[0] for line in (tones / "wav.scp").read_text().splitlines()]
    lines = [f"{each} {each} 0 {9 if each == 'u03' else -1}\n" for each in ids]
    (tones / "segments").write_text("".join(lines))
    (tones / "utt2dur").unlink(missing_ok=True)
    (tones / "audio" / "u00.wav").write_bytes(b"RIFF")
    assert main(["corpus", "check", str(tones)]) == 1
    expected = capsys.readouterr().out.splitlines()
    assert any("u03: 0 to 9 s does not lie in " in line for line in expected), expected
    assert main(["train", str(path), "--check"]) == 1
    out = capsys.readouterr().out
    assert all(line in out for line in expected), (expected, out)


def test_a_recipe_that_cannot_be_read_has_the_status_of_one_that_cannot_be_used(tmp_path, capsys):
    path = tmp_path / "r.yaml"
    path.write_text("train: [a/b\n")
    assert main(["train", str(path), "--check"]) == 2
    assert main(["train", str(tmp_path / "no.yaml"), "--check"]) == 2
    err = capsys.readouterr().err
    assert "r.yaml: not readable as YAML" in err and "no.yaml: no such recipe file" in err
    path = write_recipe(tmp_path)
    make_corpora(tmp_path)
    path.write_text(path.read_text() + "\nfirst_pass: no-such-recipe\n")
    assert main(["train", str(path), "--check"]) == 2
    assert "no-such-recipe: no such recipe file" in capsys.readouterr().out
    assert main(["train", "--help"]) == 0
    assert "Exit status: 0 done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("align=nosuch", "align: nosuch: no model folder"),
        ("align=english", "align: the phones of english are not the recipe's"),
        ("lexicon=[gone.dict]", "gone.dict: cannot be read"),
    ],
)
def test_what_aligns_is_looked_at_once(tmp_path, capsys, override, said):
    make_corpora(tmp_path)
    for name in ("tones", "more"):
        (tmp_path / "corpora" / name / "phones.ctm").unlink()
    assert main(["train", str(write_recipe(tmp_path)), "align=flat", override, "--check"]) == 1
    out = capsys.readouterr().out
    assert out.count(said) == 1, out


def test_a_model_that_aligns_nothing_has_to_be_there(tmp_path, capsys):
    make_corpora(tmp_path)
    path = str(write_recipe(tmp_path))
    assert main(["train", path, "align=flat", "--check"]) == 0
    assert main(["train", path, "align=nosuch", "--check"]) == 1
    assert capsys.readouterr().out.count("align: nosuch: no model folder") == 1


@pytest.mark.parametrize(
    "arguments", [["no-such-recipe"], ["kathleen", "stages=no"], ["kathleen", "force=3"]]
)
def test_wrong_usage(arguments, capsys):
    assert main(["train", *arguments]) == 2
    assert recipe.main(arguments) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first == second.replace("speechattn.recipe: ", "speechattn: ")


def test_an_override_is_blamed_for_what_is_wrong_with_it(capsys):
    for override in ("training.step=5", "training="):
        assert main(["train", "kathleen", override]) == 2
        assert "error: command line: training" in capsys.readouterr().err
        assert main(["train", "kathleen", override, "--check"]) == 2
        assert capsys.readouterr().out.startswith("command line: training")
