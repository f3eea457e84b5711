"""``speechattn bench conditions``: who is grouped, what is counted, what is reported."""

from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from support.commands import make_corpus

from speechattn.bench.conditions_measure import Claims, Group, evenly, generator, speaker_groups
from speechattn.cli.main import main
from speechattn.corpora.alignment import reference_runs
from speechattn.corpora.corpus import read_corpus
from speechattn.evaluation.scores import Counts, Scores
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet
from speechattn.segments import FrameSegment

RATE = 16_000
WORDS = [("SIL", 10), ("AA", 12), ("B", 8), ("SH", 15), ("AA", 10), ("SIL", 9)]


def test_groups_of_speakers(tmp_path):
    (tmp_path / "spk2age").write_text("a 17\nb 18\nc 40\nd old\nz 5\n")
    (tmp_path / "spk2gender").write_text("a f\nb m\nc f\nd f\ne m\nf x\n")
    problems = []
    groups = speaker_groups(tmp_path, list("abcdefg"), problems.append)
    assert groups == {
        "a": ["children", "female", "girls"],
        "b": ["adults", "male", "men"],
        "c": ["adults", "female", "women"],
        "d": ["female"],
        "e": ["male"],
        "f": [],
        "g": [],
    }
    assert len(problems) == 2 and "d: 'old'" in problems[0] and "f: 'x'" in problems[1]
    assert speaker_groups(tmp_path / "none", ["a"], problems.append) == {"a": []}


def test_a_group_adds_utterances_and_tells_speakers_apart():
    group = Group()
    for phones, errors, speaker in ((10, 1, "a"), (30, 5, "b"), (10, 4, "a")):
        group.add(Counts(utterances=1, phones=phones, substitutions=errors), speaker)
    assert group.speakers == {"a", "b"} and group.counts.utterances == 3
    assert group.counts.rates()["per"] == 10 / 50  # and not the mean of 10, 17 and 40 %


def test_claims_count_phones_and_time_but_no_silence():
    claims = Claims()
    assert set(claims.rates().values()) == {0.0, None}
    claims.add(
        [FrameSegment(0, 0, 30, 0.99), FrameSegment(2, 30, 50, 0.7), FrameSegment(2, 50, 60, 0.2)],
        0,
    )
    claims.add([FrameSegment(0, 0, 2940, 1.0)], 0)
    assert claims.rates() == {
        "minutes": 0.5,
        "share_phones": 30 / 3000,
        "mean_confidence": pytest.approx(0.45),
        "phones_per_minute": 4.0,
        "sure_phones_per_minute": 2.0,
    }


@given(total=st.integers(0, 60), count=st.integers(0, 60))
def test_a_choice_is_evenly_spread(total, count):
    chosen = evenly(range(total), count)
    if count == 0 or count >= total:
        assert chosen == list(range(total))
        return
    assert len(chosen) == count and chosen == sorted(set(chosen))
    gaps = np.diff([-1 - chosen[0], *chosen, 2 * total - 1 - chosen[-1]])  # mirrored at the ends
    assert np.ptp(gaps) <= 2
    assert 0 <= chosen[0] and chosen[-1] < total


def test_generators_differ_by_name_only():
    draws = [generator(*what).random() for what in (("a", "1"), ("a", "2"), ("a", "1"))]
    assert draws[0] == draws[2] != draws[1]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory, tiny_model_dir) -> Path:
    """Two corpora, one with ages, genders and a split, and a folder of noise.

    What the model hears of speaker s0 is the reference: of the random model, too, something is
    right, until the recording is changed.
    """
    folder = tmp_path_factory.mktemp("corpora")
    people = make_corpus(folder / "people", {f"u{n}": WORDS[n % 3 :] for n in range(6)})
    model, ctm = load_model(tiny_model_dir, "cpu"), people / "phones.ctm"
    lines = [line for line in ctm.read_text().splitlines() if line[:2] in ("u1", "u3", "u5")]
    for name in ("u0", "u2", "u4"):
        heard = model.transcribe(people / "audio" / f"{name}.wav").phones
        lines += [f"{name} 1 {s.start:.2f} {s.duration:.2f} {s.label}" for s in heard]
    ctm.write_text("\n".join(lines))
    (people / "spk2age").write_text("s0 30\ns1 9\n")
    (people / "spk2gender").write_text("s0 m\ns1 f\n")
    (people / "splits").mkdir()
    (people / "splits" / "test").write_text("u0\nu1\nu2\nu4\n")
    make_corpus(folder / "others", {"v0": WORDS, "v1": WORDS[1:]})
    (folder / "noise").mkdir()
    rain = 0.05 * np.random.default_rng(0).standard_normal(RATE)
    soundfile.write(folder / "noise" / "rain.wav", rain, RATE)
    return folder


def command(corpora: Path, model: Path | str, *more: str) -> list[str]:
    where = ["--model", str(model), "--corpora", str(corpora)]
    return ["bench", "conditions", *where, "--sets", "people/test,others/all", *more]


def test_from_the_command_to_the_files(corpora, tiny_model_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("speechattn.bench.conditions_measure.SOUND_SECONDS", 0.5)
    out = tmp_path / "new" / "out"
    assert main(command(corpora, tiny_model_dir, "--output-dir", str(out))) == 0
    printed = capsys.readouterr()
    assert sorted(path.name for path in out.iterdir()) == [
        *("conditions.csv", "conditions.json", "conditions.md", "reliability-others-all.png"),
        *("reliability-people-test.png", "reliability.png"),
    ]
    assert (out / "conditions.md").read_text() == printed.out
    result = json.loads((out / "conditions.json").read_text())
    conditions, rows = result["conditions"], list(csv.DictReader((out / "conditions.csv").open()))
    assert list(conditions) == ["clean", "noise", "room", "8khz", "telephone", "gsm", "opus", "mp3"]

    # Clean is what the recognizer itself says of the file.
    model, phones = load_model(tiny_model_dir, "cpu"), arpabet()
    scores = Scores(phones)
    for utterance in read_corpus(corpora / "people", phones=phones, split="test"):
        heard = model.transcribe(utterance.path)
        runs = [
            FrameSegment(
                phones.index[s.label], round(100 * s.start), round(100 * s.end), s.confidence
            )
            for s in heard.phones
        ]
        expected = reference_runs(utterance.alignment, len(heard.posteriors), phones)
        scores.add(expected, runs, heard.posteriors.argmax(1), speaker=utterance.speaker)
    clean = conditions["clean"]["corpora"]["people/test"]
    wanted = scores.to_dict()["overall"]
    assert clean["utterances"] == 4
    assert {k: clean[k] for k in vars(Counts())} == {k: wanted[k] for k in vars(Counts())}
    assert clean["calibration_error"] == pytest.approx(wanted["calibration_error"], rel=1e-4)

    for condition, values in conditions.items():
        per = values["corpora"]["people/test"]["per"]
        assert values["per_to_clean"]["people/test"] == pytest.approx(per / clean["per"])
        assert values["corpora"]["people/test"]["frames"] == clean["frames"]
        (row,) = [
            r
            for r in rows
            if (r["set"], r["condition"], r["group"]) == ("people/test", condition, "")
        ]
        assert float(row["per"]) == per and f"{100 * per:.1f}" in printed.out
    right = {
        c: values["corpora"]["people/test"]["path_correct"] for c, values in conditions.items()
    }
    assert all(right.values())
    assert all(right[c] < right["clean"] for c in ("noise", "room", "8khz", "telephone")), right
    reliability = [v["corpora"]["people/test"]["reliability"] for v in conditions.values()]
    assert all(a != b for a, b in itertools.combinations(reliability, 2))

    groups = result["groups"]
    assert set(groups) == {"people/test"}
    assert set(groups["people/test"]) == {"adults", "children", "male", "female", "men", "girls"}
    men, girls = groups["people/test"]["men"], groups["people/test"]["girls"]
    assert (men["per"], men["path_accuracy"], men["boundary_f1"]) == (0, 1, 1)
    assert girls["per"] > 0.5
    by_speaker = {row["speaker"]: row for row in scores.to_dict()["speakers"]}
    for group, speaker in (("adults", "s0"), ("men", "s0"), ("children", "s1"), ("female", "s1")):
        of = groups["people/test"][group]
        assert of["speakers"] == 1
        assert {k: of[k] for k in vars(Counts())} == {
            k: by_speaker[speaker][k] for k in vars(Counts())
        }
        (row,) = [r for r in rows if r["group"] == group]
        assert row["speakers"] == "1" and int(row["phones"]) == of["phones"]

    sounds_of = result["no_speech"]
    assert set(sounds_of) == {
        *("speech of the sets", "the same speech backwards"),
        *("English, synthetic voices", "other languages, synthetic voices"),
        *("digital silence", "white noise"),
        *("synthetic music", "recorded noises"),
    }
    assert sounds_of["digital silence"]["frames"] == 50
    assert sounds_of["recorded noises"]["frames"] == 100
    spoken = sum(v["frames"] for v in conditions["clean"]["corpora"].values())
    assert sounds_of["speech of the sets"]["frames"] == spoken
    assert sounds_of["the same speech backwards"]["frames"] == spoken


def test_a_limit_chooses_but_changes_nothing_else(
    corpora, tiny_model_dir, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("speechattn.bench.conditions_measure.SOUND_SECONDS", 0.1)
    options = ("--conditions", "noise,room", "--output-dir", str(tmp_path))

    def measured(*more: str) -> dict:
        assert main(command(corpora, tiny_model_dir, *options, *more)) == 0
        return json.loads((tmp_path / "conditions.json").read_text())["conditions"]

    everything, again, one = measured(), measured(), measured("--limit", "1")
    assert everything == again
    assert one["noise"]["corpora"]["people/test"]["utterances"] == 1
    assert everything["noise"]["corpora"]["people/test"]["utterances"] == 4
    capsys.readouterr()
    # Of one utterance alone, each set gives what it gave of it among others.
    (corpora / "people" / "splits" / "single").write_text("u2\n")
    single = measured("--sets", "people/test", "--limit", "1")["room"]["overall"]
    assert single == {**one["room"]["corpora"]["people/test"]}


def test_recordings_that_cannot_be_read_are_named(
    corpora, tiny_model_dir, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr("speechattn.bench.conditions_measure.SOUND_SECONDS", 0.1)
    broken = make_corpus(tmp_path / "broken", {"good": WORDS, "bad": WORDS, "long": WORDS})
    (broken / "audio" / "bad.wav").write_bytes(b"RIFF")
    soundfile.write(broken / "audio" / "long.wav", np.zeros(RATE // 4), RATE)
    options = ["--sets", "broken/all", "--conditions", "none"]
    assert main(command(tmp_path, tiny_model_dir, *options)) == 1
    report, said = capsys.readouterr()
    (failed,) = [line for line in said.splitlines() if line.startswith("speechattn: failed")]
    (left_out,) = [line for line in said.splitlines() if line.startswith("speechattn: left out")]
    assert "bad.wav" in failed and "broken/all: long: CTM past the end" in left_out
    assert "| not readable | 1 |" in report and "| broken/all | clean | 1 |" in report

    for name in ("good", "long"):
        (broken / "audio" / f"{name}.wav").write_bytes(b"RIFF")
    assert main(command(tmp_path, tiny_model_dir, *options)) == 2
    assert "no recording could be scored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sets", "people/gone"], ["people", "no such split", "test"]),
        (["--sets", "gone/test"], ["gone", "no such folder"]),
        (["--sets", "people"], ["--sets", "'people'", "corpus/split"]),
        (["--sets", ","], ["--sets"]),
        (["--noise", "gone"], ["--noise gone", "recordings of noise"]),
        (["--model", "gone"], ["gone", "no model folder"]),
        (["--conditions", "noise,fog"], ["'fog'", "telephone"]),
        (["--limit", "-1"], ["--limit -1"]),
        (["--limit", "some"], ["--limit", "'some'"]),
        (["--threads", "0"], ["--threads 0"]),
        (["--output-dir", "file/out"], ["--output-dir file/out", "choose another"]),
    ],
)
def test_what_is_refused(options, words, corpora, tiny_model_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    assert main(command(corpora, tiny_model_dir, *options)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("speechattn: error: ") and all(word in line for word in words), line
