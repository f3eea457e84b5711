"""The recipe, run as a user runs it, on a corpus of tones that takes seconds."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import torch
from praatio import textgrid as praat
from safetensors.torch import load_file
from support.recipe_runs import SKIPPED, STAGES, history, process, stages
from support.recipes import STEPS, TABLE, write_recipe
from support.recordings import needs_posix

import speechattn
import speechattn.training.decoding
import speechattn.training.report
import speechattn.training.train_stage
from speechattn.cli.recipe import main
from speechattn.segments import FrameSegment


def test_the_command_does_everything_and_then_nothing(place, capsys):
    recipe = write_recipe(place)
    done = process(["-m", "speechattn.recipe", str(recipe)], place)
    assert done.returncode == 0, done.stderr
    work = place / "work"
    assert [line for line in done.stdout.splitlines() if line.rstrip(":") in STAGES] == [
        f"{name}:" for name in STAGES
    ]

    scores = json.loads((work / "evaluate/scores.json").read_text())
    assert list(scores["corpora"]) == ["tones", "more"]
    assert scores["overall"]["utterances"] == 4 and 0 <= scores["overall"]["frame_accuracy"] <= 1
    details = json.loads((work / "evaluate/details.json").read_text())  # for `speechattn report`
    assert sum(map(sum, details["confusions"])) == scores["overall"]["frames"]
    assert len(details["utterances"]) == 4 and Path(details["utterances"][0]["path"]).is_file()
    assert [row["step"] for row in history(work)] == [2, 4, 6]
    assert sorted(p.name for p in (work / "model").iterdir()) == [
        "config.json", "model.safetensors",
    ]  # fmt: skip
    config = json.loads((work / "model/config.json").read_text())
    assert config["name"] == "tiny" and config["training"]["steps"] == STEPS
    assert config["phones"]["names"] == ["SIL", "AA", "B", "SH"]

    for name in ("tones/u10", "more/u00"):
        grid = praat.openTextgrid(str(work / f"transcribe/{name}.TextGrid"), True)
        entries = grid.getTier("phones").entries
        assert entries[0].start == 0 and {e.label for e in entries} <= {"", "AA", "B", "SH"}
    pictures = [work / "transcribe/tones/u10.png", work / "transcribe/more/u00.png"]
    pictures += [work / f"evaluate/{n}.png" for n in ("confusions", "reliability", "training")]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)
    table = (work / "evaluate/scores.md").read_text()
    assert table.strip() in (work / "report.md").read_text() and table.strip() in done.stdout
    assert "Nothing." in (work / "report.md").read_text()
    model = speechattn.load_model(work / "model", "cpu")
    assert model.transcribe(place / "corpora/more/audio/u00.wav").phones

    before = {p: p.stat().st_mtime_ns for p in work.rglob("*")}
    assert main([str(recipe)]) == 0
    assert stages(capsys) == SKIPPED
    assert {p: p.stat().st_mtime_ns for p in work.rglob("*")} == before


def test_changes_rerun_what_depends_on_them_and_nothing_else(place, capsys, sketches):
    recipe, work = str(write_recipe(place)), place / "work"
    assert main([recipe, "training.steps=2", "transcribe=1"]) == 0
    first = load_file(work / "model/model.safetensors")
    capsys.readouterr()

    assert main([recipe, "training.steps=4", "transcribe=1"]) == 0
    assert stages(capsys) == ["prepare: up to date, skipped", *[f"{n}:" for n in STAGES[1:]]]
    assert [row["step"] for row in history(work)] == [2, 4]
    second = load_file(work / "model/model.safetensors")
    assert any(not torch.equal(first[name], second[name]) for name in first)
    assert not (work / "train/previous.safetensors").exists()  # the same training went on

    # Only the decoder: the finished training is taken up and not repeated.
    trained = (work / "train/checkpoint.safetensors").stat().st_mtime_ns
    assert main([recipe, "training.steps=4", "transcribe=1", "decoding.prior_scale=[0.5]"]) == 0
    assert stages(capsys)[:2] == ["prepare: up to date, skipped", "train:"]
    assert (work / "train/checkpoint.safetensors").stat().st_mtime_ns == trained
    config = json.loads((work / "model/config.json").read_text())
    assert config["decoding"]["prior_scale"] == 0.5

    assert main([recipe, "training.steps=4", "transcribe=2", "decoding.prior_scale=[0.5]"]) == 0
    assert stages(capsys) == [*SKIPPED[:3], "transcribe:", "report:"]
    assert len(list(work.glob("transcribe/*/*.png"))) == 2


def test_more_steps_go_on_from_the_last_one(place, capsys):
    """Training of 6 steps goes on to 10; all else that the weights depend on trains afresh."""
    recipe, work = str(write_recipe(place)), place / "work"
    arguments = [recipe, "stages=prepare,train"]
    assert main(arguments) == 0
    six = history(work)
    capsys.readouterr()
    assert main([*arguments, "training.steps=10"]) == 0
    said = capsys.readouterr()
    assert "training afresh" not in said.out and "step 10:" in said.err + said.out
    assert "step 6:" not in said.err + said.out and "step 2:" not in said.err + said.out
    ten = history(work)
    assert ten[:3] == six and [row["step"] for row in ten] == [2, 4, 6, 8, 10]
    config = json.loads((work / "model/config.json").read_text())
    assert config["training"]["steps"] == 10

    assert main([*arguments, "training.steps=12", "training.learning_rate=0.02"]) == 0
    assert "training afresh" in capsys.readouterr().out
    assert [row["step"] for row in history(work)] == [2, 4, 6, 8, 10, 12]
    assert main(arguments) == 0  # fewer steps: the schedule was another one
    assert "training afresh" in capsys.readouterr().out
    assert history(work) == six


def test_a_model_that_recognises_only_silence_has_scores_and_a_report(
    place, capsys, sketches, monkeypatch
):
    """There are no phones then whose confidences could be right or wrong."""

    def silence(scores, *_):
        return [FrameSegment(0, 0, len(scores))]

    monkeypatch.setattr(speechattn.training.decoding, "decode", silence)
    recipe, work = str(write_recipe(place, transcribe=1)), place / "work"
    (work / "evaluate").mkdir(parents=True)
    (work / "evaluate/reliability.png").write_bytes(b"of another model")
    assert main([recipe, "training.steps=2"]) == 0, capsys.readouterr().err
    scores = json.loads((work / "evaluate/scores.json").read_text())["overall"]
    assert scores["per"] == 1.0 and scores["insertions"] == scores["substitutions"] == 0
    assert scores["calibration_error"] is None
    assert not (work / "evaluate/reliability.png").exists()
    report = (work / "report.md").read_text()
    assert "No phone was recognised" in report and "reliability.png" not in report


def test_other_labels_of_as_many_frames_are_trained_on(place, capsys):
    """A checkpoint of the old labels fits in every number, but must not be taken up."""
    recipe, work = str(write_recipe(place)), place / "work"
    keep = [recipe, "stages=prepare,train", "training.steps=2", "training.max_silence_frames=0"]
    assert main(keep) == 0
    first = load_file(work / "model/model.safetensors")
    ctm = place / "corpora/tones/phones.ctm"
    swapped = ctm.read_text().replace(" AA\n", " x\n").replace(" SH\n", " AA\n")
    ctm.write_text(swapped.replace(" x\n", " SH\n"))
    capsys.readouterr()
    assert main(keep) == 0
    assert stages(capsys) == ["prepare:", "train:"]
    second = load_file(work / "model/model.safetensors")
    bias = "classify.bias"
    assert not torch.equal(first[bias], second[bias])


def test_a_changed_phone_table_is_noticed(place, capsys):
    recipe = str(write_recipe(place))
    assert main([recipe, "stages=prepare"]) == 0
    (place / "phones.tsv").write_text(TABLE.replace("\tSH\n", "\tB\n"), encoding="utf-8")
    assert main([recipe, "stages=prepare"]) == 0
    assert stages(capsys) == ["prepare:", "prepare:"]


KILLED = """
import os, signal, sys
from speechattn.cli import recipe
from speechattn.training import trainer as module
save = module.Trainer.save
def killed(trainer):
    save(trainer)
    if trainer.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
module.Trainer.save = killed
sys.exit(recipe.main(sys.argv[1:]))
"""


@needs_posix
def test_killed_training_resumes_to_the_same_model(place, capsys):
    recipe = str(write_recipe(place))
    arguments = [recipe, "stages=prepare,train"]
    undisturbed = [*arguments, f"work_dir={place / 'other'}"]
    assert main(undisturbed) == 0
    killed = process(["-c", KILLED, *arguments], place)
    assert killed.returncode == -signal.SIGKILL
    assert not (place / "work/model").exists()
    capsys.readouterr()
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert "prepare: up to date, skipped" in said.out and "afresh" not in said.out
    assert "step 6:" in said.err + said.out and "step 4:" not in said.err + said.out
    expected, found = history(place / "other"), history(place / "work")
    assert [row["step"] for row in found] == [2, 4, 6]
    for row, other in zip(found, expected):
        assert row["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert row["dev_frame_accuracy"] == pytest.approx(other["dev_frame_accuracy"])
    one, two = (load_file(place / w / "model/model.safetensors") for w in ("other", "work"))
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6)


def test_an_interruption_is_no_failure_and_says_how_to_go_on(place, capsys, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    recipe = str(write_recipe(place))
    monkeypatch.setattr(speechattn.training.train_stage.Trainer, "run", interrupted)
    assert main([recipe, "stages=prepare,train"]) == 130
    assert "interrupted; the same command goes on from here" in capsys.readouterr().err
    monkeypatch.undo()
    assert main([recipe, "stages=prepare,train", "training.steps=1"]) == 0
    assert stages(capsys) == ["prepare: up to date, skipped", "train:"]


def test_the_embedded_default_in_miniature(tmp_path, capsys, sketches):
    """Espeak's voices, all stages, and a table with one row for its only corpus."""
    small = ["synth.train=6", "synth.dev=2", "synth.test=2", "training.steps=2", "transcribe=1"]
    small += ["encoder.blocks=1", "encoder.width=32", "encoder.feedforward=32", "threads=1"]
    small += ["training.batch_frames=800", "decoding.bigram_scale=[1.0]"]
    arguments = [f"work_dir={tmp_path}/work", *small]
    assert main(arguments) == 0
    assert (tmp_path / "work/corpora/espeak/wav.scp").is_file()
    scores = json.loads((tmp_path / "work/evaluate/scores.json").read_text())
    assert list(scores["corpora"]) == ["espeak"] and scores["overall"]["utterances"] == 2
    assert "Nothing." in (tmp_path / "work/report.md").read_text()
    assert len(list((tmp_path / "work/transcribe/espeak").glob("*.TextGrid"))) == 1
    capsys.readouterr()
    assert main(arguments) == 0
    assert stages(capsys) == SKIPPED


def test_a_recipe_may_release_its_model(place, capsys, sketches):
    card = place / "card.md"
    card.write_text("# Card\n\n{{scores}}\n")
    out, recipe = place / "released", write_recipe(place)
    assert main([str(recipe), f"release={out}", f"card={card}"]) == 0
    assert "| PER |" in (out / "MODEL_CARD.md").read_text()
    assert (out / "model.safetensors").is_file()
    capsys.readouterr()
    assert main([str(recipe), f"release={out}", f"card={card}"]) == 0
    assert "release: up to date, skipped" in capsys.readouterr().out
