"""The recipe, run as a user runs it, on a corpus of tones that takes seconds."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from praatio import textgrid as praat
from safetensors.torch import load_file
from support.commands import make_corpus
from support.recipes import STEPS, TABLE, make_corpora, sentences, write_recipe
from support.recordings import needs_posix

import speechattn
import speechattn.training.decoding
import speechattn.training.report
import speechattn.training.train_stage
from speechattn.cli.recipe import main
from speechattn.corpora.prepared import PreparedSet
from speechattn.segments import FrameSegment

IMPORT_FROM = str(Path(speechattn.__file__).resolve().parent.parent)
STAGES = ("prepare", "train", "evaluate", "transcribe", "report")
SKIPPED = [f"{name}: up to date, skipped" for name in STAGES]


@pytest.fixture
def place(tmp_path) -> Path:
    make_corpora(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def _same_threads():
    """A recipe may set torch's threads: give them back to the other tests."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def sketches(monkeypatch) -> None:
    """Empty pictures: drawing takes most of the time of a small run, and others test it."""

    def sketch(path: Path, *_, **__) -> None:
        path.write_bytes(b"")

    for name in ("confusion", "reliability", "training", "utterance"):
        monkeypatch.setattr(speechattn.training.report, f"{name}_picture", sketch)


def process(program: Sequence[str], folder: Path) -> subprocess.CompletedProcess:
    """Run Python in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": IMPORT_FROM, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *program],
        check=False,
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
    )


def stages(capsys) -> list[str]:
    """The lines that say what was run or skipped since the last call."""
    out = capsys.readouterr().out.splitlines()
    return [line for line in out if line.split(":")[0] in STAGES]


def history(work: Path) -> list[dict]:
    return json.loads((work / "train/history.json").read_text())["history"]


def fails(capsys, status: int, *arguments: object) -> str:
    """The one line on standard error with which the command fails."""
    assert main([str(argument) for argument in arguments]) == status
    lines = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert len(lines) == 1 and lines[0].startswith("speechattn.recipe: error: ")
    return lines[0]


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
    assert str(place / "file") in fails(capsys, 1, write_recipe(place), f"work_dir={place}/file")


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


def make_orders(folder: Path) -> None:
    """A corpus whose phones only a machine has heard, one of them wrongly, and a folder of noise."""
    spoken = sentences(3, 2)
    orders = make_corpus(folder / "corpora/orders", spoken)
    for name in ("phones.ctm", "text"):
        (orders / name).unlink()
    strings = {u: [phone for phone, _ in alignment] for u, alignment in spoken.items()}
    strings["u01"][2] = "AA" if strings["u01"][2] != "AA" else "B"
    lines = [f"{utterance} {' '.join(phones)}\n" for utterance, phones in strings.items()]
    (orders / "phones.machine").write_text("".join(lines))
    (folder / "corpora/noise").mkdir()
    noise = 0.1 * np.random.default_rng(0).standard_normal(8000)
    soundfile.write(folder / "corpora/noise/rain.wav", noise, 16_000)


def write_passes(folder: Path, **changes) -> tuple[Path, Path]:
    """Two recipes, of which the second begins with the model of the first."""
    first = write_recipe(folder, name="first", work_dir=str(folder / "first"), corpora="elsewhere")
    first = first.rename(folder / "first.yaml")
    second = {
        "first_pass": str(first),
        "start_from": str(folder / "first/model"),
        "train": ["tones/train", "orders/all"],
        "realign": ["tones/train", "orders/all"],
        "noise": "noise",
        "augmentation": {"room_probability": 0.5, "silence_probability": 0.2},
        **changes,
    }
    return first, write_recipe(folder, **second)


def test_a_second_pass_begins_with_the_model_of_the_first(place, capsys, sketches):
    make_orders(place)
    _, recipe = write_passes(place)
    done = process(["-m", "speechattn.recipe", str(recipe), "training.precision=bf16"], place)
    assert done.returncode == 0, done.stderr
    ran = [line for line in done.stdout.splitlines() if line.split(":")[0] in STAGES]
    assert ran == ["prepare:", "train:", *[f"{name}:" for name in STAGES]]
    assert done.stdout.index("first pass, first:") < done.stdout.index("prepare:")
    index = json.loads((place / "work/prepared/train/index.json").read_text())
    assert [e["id"] for e in index["utterances"] if e["corpus"] == "orders"] == [
        "u00", "u01", "u02",
    ]  # fmt: skip
    first = np.load(place / "first/prepared/train/runs.npy")
    second = np.load(place / "work/prepared/train/runs.npy")[: len(first)]
    assert second.shape != first.shape or (second != first).any()  # realigned
    assert (place / "work/prepared/noises.safetensors").is_file()
    assert not (place / "first/prepared/noises.safetensors").exists()
    assert not (place / "first/evaluate").exists()
    one, two = (load_file(place / w / "model/model.safetensors") for w in ("first", "work"))
    torch.testing.assert_close(one["mean"], two["mean"], rtol=0, atol=0)
    assert not torch.equal(one["classify.bias"], two["classify.bias"])

    again = [str(recipe), "training.precision=bf16"]
    before = {p: p.stat().st_mtime_ns for p in place.rglob("*")}
    assert main(again) == 0
    assert stages(capsys) == [*SKIPPED[:2], *SKIPPED]
    assert {p: p.stat().st_mtime_ns for p in place.rglob("*")} == before
    (place / "work/prepared/noises.safetensors").unlink()
    assert main([*again, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], "prepare:"]

    # A first pass that is out of date concerns what is made from it, and nothing else.
    first = place / "first.yaml"
    first.write_text(first.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert main([*again, "stages=transcribe,report"]) == 0
    assert stages(capsys) == SKIPPED[3:]
    assert main([*again, "stages=prepare,train"]) == 0
    assert stages(capsys) == [SKIPPED[0], "train:", "prepare:", "train:"]
    three = load_file(place / "work/model/model.safetensors")
    assert not torch.equal(three["classify.bias"], two["classify.bias"])


def test_a_grammar_does_without_machine_strings(place, capsys, monkeypatch):
    """Every recording gets the phones of its slots; without the grammar's words, a line says so."""
    make_orders(place)
    orders = place / "corpora/orders"
    lines = (orders / "phones.machine").read_text().splitlines()
    (orders / "phones.machine").unlink()
    said = {name: [p for p in phones if p != "SIL"] for name, *phones in map(str.split, lines)}
    slots = {name: {"slots": {"what": " ".join(phones)}} for name, phones in said.items()}
    (orders / "intents.json").write_text(json.dumps(slots))
    (place / "orders.jsgf").write_text("#JSGF V1.0; grammar g; public <g> = <what>;")
    (place / "words.dict").write_text("AA AA\nB B\nSH SH\n")
    monkeypatch.setattr("speechattn.training.recipe_data.POCKETSPHINX", str(place / "words.dict"))
    monkeypatch.setattr("speechattn.training.realignment.realign.LOWEST_SCORE", -100.0)
    changes = {"train": ["tones/train", "orders/all"], "realign": ["orders/all"]}
    _, recipe = write_passes(place, noise=None, **changes)
    grammar = f"grammar={place / 'orders.jsgf'}"
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    prepared = PreparedSet(place / "work/prepared/train")
    entries = [entry for entry in prepared.entries if entry.corpus == "orders"]
    names = prepared.phones
    found = {e.id: [names[r.phone] for r in prepared.runs(e)] for e in entries}
    assert {u: [p for p in phones if p != "SIL"] for u, phones in found.items()} == said
    capsys.readouterr()
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], SKIPPED[0]]
    (place / "orders.jsgf").touch()  # as a checkout does
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], SKIPPED[0]]
    (place / "orders.jsgf").write_text("#JSGF V1.0; grammar g; public <g> = <what> [B];")
    assert main([str(recipe), grammar, "stages=prepare"]) == 0
    assert stages(capsys) == [*SKIPPED[:2], "prepare:"]
    missing = fails(capsys, 1, recipe, "grammar=gone.jsgf", "stages=prepare")
    assert "grammar: " in missing and "gone.jsgf: cannot be read" in missing


def test_a_start_trained_anew_is_trained_on_from_anew(place, capsys):
    """Also where nothing is realigned: the same name, the same shapes, other weights."""
    first, recipe = write_passes(
        place, first_pass=None, realign=[], train=["tones/train"], noise=None
    )
    first = [str(first), f"corpora={place / 'corpora'}", "stages=prepare,train"]
    second = [str(recipe), "stages=prepare,train"]
    assert main(first) == 0 and main(second) == 0
    old = load_file(place / "work/model/model.safetensors")
    # A share of what it began with takes no other training.
    assert main([*second, "training.start_share=0.25"]) == 0
    assert "training afresh" not in capsys.readouterr().out
    begun = load_file(place / "first/model/model.safetensors")
    mixed = load_file(place / "work/model/model.safetensors")
    assert {"ranges.enter", "ranges.classify"} <= old.keys()
    for name, after in old.items():
        if name.startswith("ranges."):  # measured, of each model for itself
            assert (after >= 0).all() and mixed[name].shape == after.shape
            continue
        assert torch.allclose(mixed[name], 0.75 * after + 0.25 * begun[name], atol=1e-6)
    assert any(not torch.equal(old[name], begun[name]) for name in old)
    assert any(not torch.equal(old[k], mixed[k]) for k in old if k.startswith("ranges."))
    assert main(second) == 0
    assert main([*first, "decoding.prior_scale=[0.5]"]) == 0  # the weights stay
    capsys.readouterr()
    assert main(second) == 0
    assert stages(capsys) == SKIPPED[:2]
    assert main([*first, "seed=7"]) == 0
    capsys.readouterr()
    assert main(second) == 0
    out = capsys.readouterr().out
    assert "prepare: up to date, skipped" in out and "training afresh" in out
    new = load_file(place / "work/model/model.safetensors")
    assert not torch.equal(old["mean"], new["mean"]) or not torch.equal(
        old["classify.bias"], new["classify.bias"]
    )


def test_a_second_pass_without_its_start_says_what_is_missing(place, capsys):
    _, recipe = write_passes(place, first_pass=None, realign=["tones/train"], noise=None)
    make_orders(place)
    said = fails(capsys, 1, recipe)
    assert f"start_from: {place / 'first/model'}: no model folder" in said
    assert not (place / "work/prepared").exists()


def test_a_start_of_another_shape_is_refused_in_a_line(place, capsys):
    first, recipe = write_passes(place, first_pass=None, realign=[], train=["tones/train"])
    second = [recipe, "noise=null", "encoder.width=32", "stages=prepare,train"]
    assert main([str(first), f"corpora={place / 'corpora'}", "stages=prepare,train"]) == 0
    capsys.readouterr()
    said = fails(capsys, 1, *second)
    assert f"start_from: {place / 'first/model'}: its " in said and "has shape [" in said


@pytest.mark.parametrize("length", [1, 2])
def test_passes_that_go_round_in_a_circle_are_refused(place, capsys, length):
    paths = [place / f"pass{number}.yaml" for number in range(length)]
    for number, path in enumerate(paths):
        following = str(paths[(number + 1) % length])
        made = write_recipe(place, first_pass=following, work_dir=str(place / f"w{number}"))
        made.rename(path)
    said = fails(capsys, 2, paths[0])
    assert f"first_pass: {paths[0]} builds on itself" in said
    assert not list(place.glob("w[0-9]"))


def test_passes_do_not_share_a_work_folder(place, capsys):
    _, recipe = write_passes(place, work_dir=str(place / "other/../first"))
    said = fails(capsys, 2, recipe)
    assert f"first.yaml has work_dir '{place / 'first'}', as another pass has" in said


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


def test_the_pass_before_may_be_told_as_changes(place, capsys):
    changes = [f"work_dir={place / 'before'}", "name=before", "training.steps=3", "hold_out=0.25"]
    recipe = write_recipe(place, first_pass_changes=changes)
    assert main([str(recipe), "stages=prepare", f"corpora={place / 'corpora'}"]) == 0
    said = capsys.readouterr().out
    assert said.index("first pass, before:") < said.index("prepare:", said.index("train:"))
    history = json.loads((place / "before/train/history.json").read_text())
    assert history["steps"] == 3
    for wrong, why in (("[3]", "3; each is key=value"), ("[steps=]", "no such key")):
        assert why in fails(capsys, 2, recipe, f"first_pass_changes={wrong}")
    assert "as another pass has" in fails(capsys, 2, recipe, "first_pass_changes=[seed=1]")
    assert "leave one out" in fails(capsys, 2, recipe, "first_pass=default")
