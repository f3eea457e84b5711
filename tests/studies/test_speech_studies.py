"""The recipes of spoken digits and phone strings, through the command, on corpora made up of tones."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import torch
import yaml
from support.commands import cells, make_corpus
from support.recipes import make_corpora, write_recipe

from speechattn.cli.main import main as speechattn_main
from speechattn.cli.recipe import main
from speechattn.inference.head_checkpoint import HeadCheckpoint

pytestmark = pytest.mark.studies

DIGITS = {"ONE": "AA", "TWO": "SH", "SIX": "B"}  # what they sound like
ENCODER = {"width": 16, "heads": 2, "feedforward": 32, "blocks": 1, "window": [8, 8], "stack": 2}
TRAINING = {
    "steps": 30, "batch_frames": 600, "crop_frames": 100, "learning_rate": 0.02,
    "warmup_steps": 2, "evaluate_every": 15, "checkpoint_every": 15,
}  # fmt: skip
PLAIN = {
    "vocal_tract": 0.0, "noise_probability": 0.0, "band_limit_probability": 0.0, "time_masks": 0,
    "frequency_masks": 0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _same_threads():
    """A recipe may set torch's threads: give them back to the other tests."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def fails(capsys, status: int, *arguments: object) -> str:
    """The one line with which the command fails."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == status
    said = capsys.readouterr().err.splitlines()
    line = said[-1]
    assert line.startswith("speechattn.recipe: error: ")
    assert "Traceback" not in "\n".join(said)
    return line


def write_lines(path: Path, lines) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# spoken digits


@pytest.fixture
def digits(tmp_path) -> Path:
    """A recipe on 36 recordings of three words by three speakers, a third of them the test."""
    random, spoken, texts, speakers = np.random.default_rng(0), {}, [], []
    for number in range(36):
        word, speaker = list(DIGITS)[number % 3], ["ann", "bob", "eve"][number // 3 % 3]
        name = f"{speaker}_{word.lower()}_{number:02d}"
        spoken[name] = [("SIL", 4), (DIGITS[word], int(random.integers(10, 25))), ("SIL", 4)]
        texts.append(f"{name} {word}")
        speakers.append(f"{name} {speaker}")
    folder = make_corpus(tmp_path / "corpora/words", spoken)
    write_lines(folder / "text", texts)
    write_lines(folder / "utt2spk", speakers)
    (folder / "phones.ctm").unlink()
    names = list(spoken)
    write_lines(folder / "splits/train", names[:24])
    write_lines(folder / "splits/test", names[24:])
    values = {
        "task": "spoken_digits", "work_dir": str(tmp_path / "work"), "threads": 1, "device": "cpu",
        "corpora": str(tmp_path / "corpora"), "train": ["words/train"], "test": ["words/test"],
        "leave_out": ["ann", "bob"], "classes": list(DIGITS), "heads": 2, "hold_out": 0.2,
        "front_end": {"num_mel_bins": 20}, "encoder": ENCODER, "training": {**TRAINING, "steps": 20},
        "augmentation": PLAIN,
    }  # fmt: skip
    path = tmp_path / "digits.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_digits_are_learnt_and_every_speaker_left_out_in_turn(digits, tmp_path, capsys):
    assert main([str(digits)]) == 0
    said = capsys.readouterr().out
    work = tmp_path / "work"
    report = (work / "report.md").read_text()
    assert report in said
    rows = {name: cells(report, name) for name in (
        "as given", "without ann", "without bob", "all 2 left out"
    )}  # fmt: skip
    counts = [int(row[1]) for row in rows.values()]
    assert counts == [12, 12, 12, 24]
    accuracies = [float(cell.split()[0]) for row in rows.values() for cell in row[2:]]
    assert len(accuracies) == 8 and min(accuracies) > 80
    with open(work / "recordings/attention-without-ann-0.tsv", newline="") as file:
        heard = list(csv.DictReader(file, delimiter="\t"))
    assert {row["speaker"] for row in heard} == {"ann"} and len(heard) == 12
    model = HeadCheckpoint.load(work / "models/attention-without-ann-0")
    assert model.labels == tuple(DIGITS)

    assert main([str(digits)]) == 0  # nothing is trained again
    again = capsys.readouterr().out
    assert again.count("skipped") == 7 and "step" not in again
    assert (work / "report.md").read_text() == report


def test_digits_are_heard_through_codecs_where_the_recipe_says_so(digits, tmp_path, capsys):
    small = [str(digits), "leave_out=[]", "training.steps=2", "poolings=[mean]"]
    assert main(small) == 0
    prepared = tmp_path / "work/prepared"
    assert not (prepared / "coded.npy").exists()
    small.append("augmentation.codec_probability=1.0")
    assert main(small) == 0
    shapes = [np.load(prepared / f"{name}.npy").shape for name in ("coded", "frames")]
    assert shapes[0] == shapes[1]
    capsys.readouterr()
    assert main(small) == 0
    assert "prepare: up to date, skipped" in capsys.readouterr().out


def test_a_class_that_nobody_says_is_named(digits, capsys):
    line = fails(capsys, 1, digits, "classes=[ONE,TWO,SIX,NINE,TEN]")
    assert "classes: NINE, TEN: no recording to learn from (as given)" in line


def test_a_class_that_only_the_one_left_out_says_is_named(digits, tmp_path, capsys):
    folder = tmp_path / "corpora/words"
    text = (folder / "text").read_text().splitlines()
    kept = [
        f"{line.split()[0]} ONE" if "six" in line and "ann" not in line else line for line in text
    ]
    write_lines(folder / "text", kept)
    line = fails(capsys, 1, digits)
    assert "classes: SIX: no recording to learn from (without ann)" in line


def test_what_is_no_class_is_left_out_by_name(digits, tmp_path, capsys):
    replaced(tmp_path / "corpora/words/text", "ann_two_01 TWO", "ann_two_01 TWENTY")
    assert main([str(digits), "leave_out=[]", "training.steps=2", "poolings=[mean]"]) == 0
    assert "left out, with no text or one that is no class: ann_two_01" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("leave_out=[zoe]", "leave_out: 'zoe' has no recording; the speakers are ann, bob, eve"),
        ("leave_out=[ann,ann]", "leave_out: ['ann', 'ann']; list each once"),
        ("train=[gone/train]", "gone"),
        ("train=[words/gone]", "gone"),
        ("train=[words/all]", "is in train too; nothing may be in both"),
        ("train=[]", "train: []; list at least one corpus/split"),
        ("poolings=[max]", "head.pooling: 'max'"),
        ("poolings=[]", "poolings: empty"),
        ("heads=3", "head.heads: 3 do not divide encoder.width 16"),
        ("hold_out=0.0", "hold_out: 0.0"),
        ("pooling=[mean]", "did you mean poolings?"),
        ("training.crop_frames=20", "training.crop_frames: 20, but words"),
    ],
)
def test_wrong_settings_of_digits_are_refused(digits, capsys, override, said):
    capsys.readouterr()
    assert main([str(digits), override]) in (1, 2)
    assert said in capsys.readouterr().err.splitlines()[-1]


# phone strings


def add_texts(folder: Path, table: dict[str, str]) -> None:
    """Words for the phones of a corpus of tones: one for each phone."""
    spoken: dict[str, list[str]] = {}
    for line in (folder / "phones.ctm").read_text().splitlines():
        name, *_, phone = line.split()
        spoken.setdefault(name, []).append(table.get(phone, ""))
    write_lines(
        folder / "text", [f"{name} {' '.join(filter(None, w))}" for name, w in spoken.items()]
    )


@pytest.fixture
def strings(tmp_path) -> Path:
    """A recipe beside the small one of phones."""
    make_corpora(tmp_path)
    shutil.rmtree(tmp_path / "corpora/more")
    write_recipe(tmp_path, test=["tones/test"], encoder=ENCODER, work_dir=str(tmp_path / "frames"))
    add_texts(tmp_path / "corpora/tones", {"AA": "AH", "B": "BEE", "SH": "SHH"})
    write_lines(tmp_path / "corpora/tones/words.dict", ["AH AA", "BEE B", "SHH SH"])
    small = {"width": 16, "attention": 8, "kernel": 3, "channels": 2}
    values = {
        "task": "phone_strings", "work_dir": str(tmp_path / "work"), "threads": 1,
        "frames": str(tmp_path / "tiny.yaml"), "lexicon": ["tones/words.dict"],
        "decoder": small, "beam": 3, "ctc_beam": 4, "training": TRAINING,
        "augmentation": PLAIN,
    }  # fmt: skip
    path = tmp_path / "strings.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


WAYS = (
    "frame classifier", "text through the lexicon", "CTC, greedy", "CTC, beam", "decoder, greedy",
    "decoder, beam", "decoder, beam and CTC",
)  # fmt: skip


def test_strings_are_learnt_and_scored_beside_the_frame_classifier(strings, tmp_path, capsys):
    assert main([str(strings), "training.steps=60"]) == 0
    report = (tmp_path / "work/report.md").read_text()
    assert report in capsys.readouterr().out
    rates = {way: float(cells(report, way)[2]) for way in WAYS}
    assert rates["text through the lexicon"] == 0  # it is what the tones say
    assert rates["CTC, greedy"] < 60
    with open(tmp_path / "work/strings/CTC,-greedy-0.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    errors, phones = (sum(int(row[key]) for row in rows) for key in ("errors", "phones"))
    assert 100 * errors / phones == pytest.approx(rates["CTC, greedy"], abs=0.06)
    checkpoint = HeadCheckpoint.load(tmp_path / "work/models/ctc-0")
    assert checkpoint.labels == ("AA", "B", "SH")
    assert (checkpoint.search.beam, checkpoint.search.ctc_beam) == (3, 4)
    recording = next((tmp_path / "corpora/tones").rglob("*.wav"))
    for name in ("ctc-0", "decoder-0"):
        model = str(tmp_path / "work/models" / name)
        assert speechattn_main(["info", model]) == 0
        assert "writes: a string of labels" in capsys.readouterr().out
        assert speechattn_main(["transcribe", str(recording), "--model", model]) == 0
        assert set(unquote(capsys.readouterr().out.split()[4]).split()) <= {"AA", "B", "SH"}

    assert main([str(strings), "training.steps=60"]) == 0
    again = capsys.readouterr().out
    assert "step" not in again and again.count("skipped") == len(WAYS) + 2


def test_no_frame_label_is_looked_at(strings, tmp_path):
    arguments = [str(strings), "training.steps=3"]
    assert main(arguments) == 0
    expected = HeadCheckpoint.load(tmp_path / "work/models/ctc-0").model.state_dict()
    ctm = tmp_path / "corpora/tones/phones.ctm"
    lines = ctm.read_text().splitlines()
    wrong = [" ".join([*line.split()[:4], "AA"]) for line in lines]
    write_lines(ctm, wrong)
    shutil.rmtree(tmp_path / "work")
    assert main(arguments) == 0
    found = HeadCheckpoint.load(tmp_path / "work/models/ctc-0").model.state_dict()
    for name, value in expected.items():
        assert torch.equal(value, found[name]), name


def test_what_has_no_string_is_left_out_by_name(strings, tmp_path, capsys):
    text = tmp_path / "corpora/tones/text"
    lines = text.read_text().splitlines()
    lines[0] = "u00 AH XYZZY"
    lines[1] = "u01"
    lines[2] = f"u02 {'AH ' * 40}"
    write_lines(text, lines)
    assert main([str(strings), "training.steps=2"]) == 0
    said = capsys.readouterr().out
    assert "left out of train: tones: u00: not in the lexicon: XYZZY" in said
    assert "left out of train: tones: u01: has no text" in said
    assert "left out of train: tones: u02: its 40 phones need 79 vectors" in said


def test_corpora_without_text_are_refused(strings, tmp_path, capsys):
    (tmp_path / "corpora/tones/text").unlink()
    assert "has labels; give the corpora a text file" in fails(capsys, 1, strings)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("lexicon=[]", "lexicon: empty"),
        ("lexicon=[gone.dict]", "lexicon: gone.dict: cannot be read"),
        ("corpora=gone", "corpora: gone: no such folder"),
        ("frames=gone", "gone: no such recipe file"),
        ("frames=spoken_digits", "task: 'spoken_digits'; phones is asked for here"),
        ("decoder.ctc_weight=0.0", "ctc_share: 0.3 with decoder.ctc_weight 0"),
        ("decoder.kernel=4", "head.kernel: 4; an odd number"),
        ("beam=0", "beam: 0; from 1 on"),
        ("decoder.size=4", "decoder.size: no such key"),
    ],
)
def test_wrong_settings_of_strings_are_refused(strings, capsys, override, said):
    capsys.readouterr()
    assert main([str(strings), override]) in (1, 2)
    assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_small_trial_reaches_the_inner_recipe(strings, tmp_path, capsys):
    changes = "frames_changes=[training.steps=2, training.evaluate_every=2]"
    assert main([str(strings), "training.steps=2", changes]) == 0
    inner = json.loads((tmp_path / "work/frames/model/config.json").read_text())
    assert inner["training"]["steps"] == 2
    assert not (tmp_path / "frames").exists()  # the recipe as it is stays untouched
    capsys.readouterr()
    assert main([str(strings), "frames_changes=[steps]"]) in (1, 2)
    assert "frames_changes: 'steps'; each is key=value" in capsys.readouterr().err
