"""Examples and the page that shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from praatio import textgrid as praat
from support.commands import make_corpus

import speechattn.training.report
from speechattn.audio.features import FrontEndConfig
from speechattn.corpora.corpus import read_corpus
from speechattn.corpora.prepared import PreparedSet, prepare_set
from speechattn.errors import SpeechattnError
from speechattn.phones import arpabet
from speechattn.training.config import RecipeConfig
from speechattn.training.report import transcribe_examples, write_report

SPOKEN = [("SIL", 10), ("AA", 12), ("B", 9), ("SH", 14), ("SIL", 8)]


@pytest.fixture
def test_set(tmp_path) -> PreparedSet:
    """Three utterances of one corpus, then two of another, one with a slash in its name."""
    corpora = [
        make_corpus(tmp_path / "one", {name: SPOKEN for name in ("a1", "a2", "a3")}),
        make_corpus(tmp_path / "two", {"b1": SPOKEN, "b2": SPOKEN}),
    ]
    for name in ("wav.scp", "phones.ctm", "text", "utt2spk"):
        path = corpora[1] / name
        path.write_text("".join(f"s/{line}\n" for line in path.read_text().splitlines()))
    prepare_set(
        tmp_path / "set",
        [read_corpus(folder, phones=arpabet()) for folder in corpora],
        phones=arpabet(),
        front_end=FrontEndConfig(num_mel_bins=40),
    )
    return PreparedSet(tmp_path / "set")


@pytest.fixture
def drawn(monkeypatch) -> list[tuple]:
    """Pictures asked for, instead of drawn: path, reference, recognised."""
    calls = []

    def picture(path, samples, reference, recognised, *_, **__):
        calls.append((path, reference, recognised))
        path.write_bytes(b"")

    monkeypatch.setattr(speechattn.training.report, "utterance_picture", picture)
    return calls


def transcripts(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "transcripts.jsonl").read_text().splitlines()]


def test_examples_come_from_each_corpus_in_turn(test_set, tiny_model_dir, tmp_path, drawn):
    out = tmp_path / "out"
    transcribe_examples(tiny_model_dir, test_set, 4, out, "cpu")
    assert [t["file"] for t in transcripts(out)] == [
        "one/a1.wav", "two/s/b1.wav", "one/a2.wav", "two/s/b2.wav",
    ]  # fmt: skip
    names = ["one/a1", "two/s_b1", "one/a2", "two/s_b2"]
    assert [path for path, *_ in drawn] == [out / f"{name}.png" for name in names]
    for name, (_, reference, recognised) in zip(names, drawn):
        for suffix in (".TextGrid", ".ctm", ".json", ".csv", ".png"):
            assert (out / (name + suffix)).is_file()
        tier = praat.openTextgrid(str(out / f"{name}.TextGrid"), includeEmptyIntervals=True)
        ends = [entry.end for entry in tier.getTier("phones").entries]
        assert ends == pytest.approx([segment.end for segment in recognised], abs=1e-4)
        assert [(s.label, round(100 * s.duration)) for s in reference] == SPOKEN


@pytest.mark.parametrize(("count", "found"), [(0, 0), (1, 1), (99, 5)])
def test_as_many_examples_as_asked_for_and_there(
    test_set, tiny_model_dir, tmp_path, drawn, count, found
):
    transcribe_examples(tiny_model_dir, test_set, count, tmp_path / "out", "cpu")
    assert len(drawn) == len(transcripts(tmp_path / "out")) == found


def test_examples_of_an_earlier_run_are_removed(test_set, tiny_model_dir, tmp_path, drawn):
    transcribe_examples(tiny_model_dir, test_set, 3, tmp_path / "out", "cpu")
    transcribe_examples(tiny_model_dir, test_set, 1, tmp_path / "out", "cpu")
    assert [p.name for p in (tmp_path / "out").rglob("*.png")] == ["a1.png"]


def test_an_example_that_fails_is_named(test_set, tiny_model_dir, tmp_path, drawn):
    (tmp_path / "one/audio/a1.wav").unlink()
    (tmp_path / "two/audio/b1.wav").write_bytes(b"junk")
    with pytest.raises(SpeechattnError) as caught:
        transcribe_examples(tiny_model_dir, test_set, 3, tmp_path / "out", "cpu")
    message = str(caught.value)
    assert "a1.wav" in message and "b1.wav" in message and "\n" not in message
    assert [t["status"] for t in transcripts(tmp_path / "out")] == ["error", "error", "ok"]


def work_folder(work: Path, problems: list[str]) -> None:
    """What the other stages leave for the report."""
    row = {"reference": "AA", "recognised": "AH", "frames": 21, "share": 0.125}
    rows = [row] + [{**row, "frames": n} for n in range(20, 0, -1)]
    values = {
        "evaluate/scores.json": {"overall": {"top_confusions": rows}},
        "train/history.json": {"frames": 720_000, "steps": 77, "seconds": 90.0},
        "model/config.json": {"encoder": {"width": 24}, "decoding": {"bigram_scale": 1.5}},
    }
    for name in ("train", "dev", "test"):
        found = problems if name == "dev" else []
        values[f"prepared/{name}/index.json"] = {"problems": found, "utterances": []}
    for name, value in values.items():
        (work / name).parent.mkdir(parents=True)
        (work / name).write_text(json.dumps(value))
    (work / "evaluate/scores.md").write_text("| the table |\n")
    (work / "transcribe/two").mkdir(parents=True)
    (work / "transcribe/two/b1.png").write_bytes(b"")


def test_the_report_holds_scores_pictures_errors_and_problems(tmp_path):
    work_folder(tmp_path, ["b3: no file 'b3.wav'; put it there"])
    write_report(tmp_path, RecipeConfig(name="mine", train=("two/train",), test=("one/all",), hold_out=0.1))  # fmt: skip
    text = (tmp_path / "report.md").read_text()
    for line in (
        "# mine",
        "| the table |",
        "![b1](transcribe/two/b1.png)",
        "| AA | AH | 21 | 12.5 % |",
        "- dev: b3: no file 'b3.wav'; put it there",
    ):
        assert line in text.splitlines()
    assert text.count("| AA | AH |") == 10
    assert "two/train; 2.00 hours" in text and "77 steps" in text and "1.5\n  minutes" in text
    assert '`{"width": 24}`' in text and '`{"bigram_scale": 1.5}`' in text


def test_the_report_says_when_nothing_was_left_out(tmp_path):
    work_folder(tmp_path, [])
    write_report(tmp_path, RecipeConfig(train=("two/train",), test=("one/all",), hold_out=0.1))
    assert (tmp_path / "report.md").read_text().endswith("## Left out\n\nNothing.\n")
