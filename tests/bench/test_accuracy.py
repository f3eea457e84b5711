"""``speechattn bench accuracy``: what is scored, how it is read, what is reported."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.commands import make_corpus
from support.models import save_worded_model

from speechattn.bench import accuracy, peers
from speechattn.bench.accuracy import Results, Row, measure, numbered, words_of
from speechattn.bench.accuracy_report import (
    COLUMNS,
    METRICS,
    csv_report,
    markdown_report,
    picture,
    rate_of,
)
from speechattn.bench.accuracy_systems import (
    Hearing,
    ModelSystem,
    PeerSystem,
    decoding_of,
    frame_segments,
)
from speechattn.cli.main import main
from speechattn.corpora.alignment import reference_runs
from speechattn.corpora.corpus import read_corpus
from speechattn.corpora.spans import utterance_audio
from speechattn.decoder.options import DecoderOptions
from speechattn.errors import CorpusError, UsageError
from speechattn.evaluation import phone_features
from speechattn.evaluation.scores import Counts, count_utterance
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet
from speechattn.segments import FrameSegment, Segment

PHONES = arpabet()
WORDS = [("SIL", 10), ("AA", 12), ("B", 8), ("SH", 15), ("AO", 10), ("SIL", 9)]


@pytest.fixture
def corpora(tmp_path) -> Path:
    people = make_corpus(tmp_path / "people", {f"u{n}": WORDS[n % 3 :] for n in range(4)})
    (people / "spk2gender").write_text("s0 m\ns1 f\n")
    (people / "splits").mkdir()
    (people / "splits" / "test").write_text("u0\nu1\nu2\n")
    make_corpus(tmp_path / "others", {"v0": WORDS})
    return tmp_path


class Perfect:
    """Gives the alignment of the recording of that length."""

    name = "perfect"

    def recognise(self, samples: np.ndarray):
        alignment = next(w for w in (WORDS, WORDS[1:], WORDS[2:]) if _samples(w) == len(samples))
        ends = np.cumsum([frames for _, frames in alignment])
        return [
            FrameSegment(PHONES.index[phone], int(end) - frames, int(end))
            for (phone, frames), end in zip(alignment, ends)
        ], None


class Folded(Perfect):
    """Takes AO for AA, and hears a B after the last phone."""

    name = "folded"

    def recognise(self, samples: np.ndarray):
        segments, _ = super().recognise(samples)
        wrong = [
            replace(s, phone=PHONES.index["AA"]) if s.phone == PHONES.index["AO"] else s
            for s in segments
        ]
        end = wrong[-1].end
        wrong[-1:] = [
            replace(wrong[-1], end=end - 5),
            FrameSegment(PHONES.index["B"], end - 5, end),
        ]
        labels = np.zeros(end, dtype=np.int64)
        return wrong, labels


def _samples(alignment) -> int:
    return 160 * sum(frames for _, frames in alignment)


def test_rates_of_systems_and_groups(corpora, tmp_path):
    results = measure([Perfect(), Folded()], PHONES, corpora, ["people/test", "others/all"])
    assert not results.problems and not results.failures
    assert [(r.set, r.utterance, r.system) for r in results.rows[:3]] == [
        ("people/test", "u0", "perfect"),
        ("people/test", "u0", "folded"),
        ("people/test", "u1", "perfect"),
    ]
    perfect = [row for row in results.rows if row.system == "perfect"]
    folded = [row for row in results.rows if row.system == "folded"]
    assert rate_of(perfect, METRICS["per"]) == (0, 0, 0)
    assert rate_of(perfect, METRICS["boundary_f1"]) == rate_of(perfect, METRICS["path_accuracy"])
    assert rate_of(perfect, METRICS["frame_accuracy"]) is None  # it has no classifier
    # 4, 4, 3 and 4 phones; in each AO is wrong unless it counts as AA, and B was not there.
    assert rate_of(folded, METRICS["per"]).rate == pytest.approx(8 / 15)
    assert rate_of(folded, METRICS["per_folded"]).rate == pytest.approx(4 / 15)
    assert rate_of(folded, METRICS["insertions"]).rate == pytest.approx(4 / 15)
    assert rate_of(folded, METRICS["substitutions"]).rate == 0
    assert rate_of(folded, METRICS["frame_accuracy"]).rate < 0.5
    if phone_features.is_installed():
        # B costs 1 each, AO for AA a few of the 24 features.
        assert 4 / 15 < rate_of(folded, METRICS["feature_error"]).rate < 6 / 15

    text = markdown_report(results, {"CPU": "abacus"})
    assert "| CPU | abacus |" in text and "## Groups of speakers" in text
    assert [line.split(" | ")[2] for line in text.splitlines() if "| male |" in line] == [
        "perfect",
        "folded",
    ]
    assert "| people/test | perfect | 2 | 3 | 0.0 (0.0 to 0.0) |" in text
    rows = list(csv.DictReader(csv_report(results).splitlines()))
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert float(rows[0]["deletions"]) == pytest.approx(
        int(rows[0]["folded_deletions"]) / int(rows[0]["phones"]), abs=1e-5
    )
    assert [(r["set"], r["group"], r["system"]) for r in rows] == [
        (name, group, system)
        for name, groups in (("people/test", ["", "female", "male"]), ("others/all", [""]))
        for group in groups
        for system in ("perfect", "folded")
    ] + [("all", "", "perfect"), ("all", "", "folded")]
    last = rows[-1]
    assert (last["phones"], last["speakers"], last["resampled"]) == ("15", "3", "speakers")
    assert float(last["per"]) == pytest.approx(8 / 15, abs=1e-5)
    assert float(last["per_low"]) <= float(last["per"]) <= float(last["per_high"])
    assert rows[6]["resampled"] == "utterances"  # of one speaker
    picture(tmp_path / "a.png", results)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_intervals_come_from_speakers():
    def row(speaker: str, errors: int) -> Row:
        return Row("a", "s/t", speaker, "u", (), Counts(phones=10, substitutions=errors))

    # Within a speaker nothing varies: the interval is that of three speakers.
    rows = [row(speaker, errors) for speaker, errors in (("x", 0), ("y", 2), ("z", 4))] * 50
    rate = rate_of(rows, METRICS["per"])
    assert rate == (pytest.approx(0.2), pytest.approx(0.0), pytest.approx(0.4))
    assert rate_of([row("x", 1)], METRICS["feature_error"]) is None
    assert "–" in markdown_report(Results(["a"], ["s/t"], rows), {})


def test_what_cannot_be_scored_counts_for_no_system(corpora):
    (corpora / "people" / "audio" / "u0.wav").write_bytes(b"RIFF")
    results = measure([Perfect(), Folded()], PHONES, corpora, ["people/test"])
    (failure,) = results.failures
    assert "u0.wav" in failure and {row.utterance for row in results.rows} == {"u1", "u2"}
    for name in ("u1", "u2"):
        (corpora / "people" / "audio" / f"{name}.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match="no recording could be scored"):
        measure([Perfect()], PHONES, corpora, ["people/test"])


def test_a_limit_is_spread_over_the_set(corpora):
    results = measure([Perfect()], PHONES, corpora, ["people/all", "others/all"], limit=1)
    assert [row.utterance for row in results.rows] == ["u2", "v0"]


def test_ways_of_reading():
    options = DecoderOptions(bigram_scale=1.5, word_scale=2.0, insertion_penalty=-1.0)
    assert decoding_of(options, "words") == options
    assert decoding_of(options, "phones") == replace(options, word_scale=0.0)
    assert decoding_of(options, "none") == replace(options, bigram_scale=0.0, word_scale=0.0)


def test_segments_of_a_peer_on_the_grid():
    segments = [
        Segment("SIL", 0.0, 0.1),
        Segment("t͡ʃ", 0.1, 0.14),
        Segment("̪", 0.14, 0.16),  # a diacritic belongs to what it marks
        Segment("ɝ", 0.16, 0.163),
        Segment("d", 0.163, 0.2),
        Segment("+SPN+", 0.2, 0.3),
    ]
    names = [(PHONES.names[s.phone], s.start, s.end) for s in frame_segments(segments, 30, PHONES)]
    assert names == [("SIL", 0, 10), ("CH", 10, 16), ("ER", 16, 30)]
    assert frame_segments([Segment("+NSN+", 0.0, 0.2)], 20, PHONES) == [FrameSegment(0, 0, 20)]
    assert set(peers.HAMA_PHONES.values()) == set(PHONES.names) - {"SIL"}


def test_a_peer_is_scored():
    class Silent:
        def phones(self, samples):
            return [Segment("SIL", 0.0, len(samples) / 16_000)]

    segments, labels = PeerSystem("silent", Silent(), PHONES).recognise(np.zeros(16_000))
    assert segments == [FrameSegment(PHONES.silence_index, 0, 100)] and labels is None


def test_the_command(corpora, tiny_model_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(accuracy, "is_installed", lambda name: name == "hama")

    class Silent:
        def phones(self, samples):
            return [Segment("SIL", 0.0, len(samples) / 16_000)]

    monkeypatch.setitem(peers.PEERS, "hama", Silent)
    out = tmp_path / "new" / "out"
    command = ["bench", "accuracy", "--model", str(tiny_model_dir), "--corpora", str(corpora)]
    options = ["--sets", "people/test,others/all", "--reading", "words,none"]
    assert main([*command, *options, "--output-dir", str(out)]) == 0
    printed, messages = capsys.readouterr()
    assert sorted(path.name for path in out.iterdir()) == [
        *("accuracy.csv", "accuracy.md", "accuracy.png"),
    ]
    assert (out / "accuracy.md").read_text() == printed and messages == ""
    rows = list(csv.DictReader((out / "accuracy.csv").open()))
    assert list(dict.fromkeys(row["system"] for row in rows)) == [
        *("tiny", "tiny, --reading none", "hama"),
    ]
    # What the model gives is what its recognizer gives.
    model = load_model(tiny_model_dir, "cpu")
    counts = Counts()
    for utterance in read_corpus(corpora / "people", phones=PHONES, split="test"):
        result = model.transcribe(utterance.path)
        segments = [
            FrameSegment(PHONES.index[s.label], round(100 * s.start), round(100 * s.end))
            for s in result.phones
        ]
        labels = result.posteriors.argmax(1)
        reference = reference_runs(utterance.alignment, len(labels), PHONES)
        counts += count_utterance(reference, segments, labels, PHONES)
    columns = {name: f"{name}_count" if name in METRICS else name for name in vars(counts)}
    assert {name: int(rows[0][column]) for name, column in columns.items()} == vars(counts)
    silent = next(row for row in rows if row["system"] == "hama")
    assert (float(silent["per"]), silent["deletions_count"]) == (1.0, silent["phones"])

    assert main([*command, "--sets", "people/test", "--peer", "pocketsphinx"]) == 2
    assert "pocketsphinx is not installed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sets", "people/gone"], ["people", "no such split"]),
        (["--sets", "people"], ["--sets", "'people'", "corpus/split"]),
        (["--reading", "words,tea"], ["--reading", "'tea'", "words, phones, none"]),
        (["--model", "gone"], ["gone", "no model folder"]),
        (["--peer", "espeak"], ["--peer", "'espeak'"]),
        (["--limit", "-1"], ["--limit -1"]),
        (["--window", "3"], ["--window 3"]),
        (["--output-dir", "file/out"], ["--output-dir file/out", "choose another"]),
    ],
)
def test_what_is_refused(options, words, corpora, tiny_model_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    base = ["bench", "accuracy", "--corpora", str(corpora), "--sets", "people/test"]
    model = [] if "--model" in options else ["--model", str(tiny_model_dir)]
    peer = [] if "--peer" in options else ["--peer", "none"]
    assert main([*base, *model, *peer, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("speechattn: error: ") and all(word in line for word in words), line


def test_words_are_compared_as_letters_digits_and_apostrophes():
    assert words_of("“It’s 5 o'clock,” – 'he' SAID.") == ["it's", "5", "o'clock", "he", "said"]
    assert words_of("<unk> '") == ["<unk>"]
    assert numbered(["a", "b", "a"], ["b", "c"]) == [[0, 1, 0], [1, 2]]


def test_the_dictionarys_forms_are_those_of_transcribe(corpora, tiny_model_dir, tmp_path):
    model = load_model(save_worded_model(tiny_model_dir, tmp_path / "model"), "cpu")
    system = ModelSystem("m", Hearing(model), "dictionary")
    assert system.name == "m, --forms dictionary" and system.words([]) is None
    for utterance in read_corpus(corpora / "people", phones=PHONES):
        expected = model.transcribe(utterance.path, forms="dictionary").phones
        found, _ = system.recognise(utterance_audio(utterance))
        assert [PHONES.names[one.phone] for one in found] == [one.label for one in expected]
    wordless = load_model(tiny_model_dir, "cpu")
    with pytest.raises(UsageError, match="--reading dictionary: m knows no words"):
        ModelSystem("m", Hearing(wordless), "dictionary")


def test_word_errors_against_the_text(corpora, tiny_model_dir, tmp_path):
    model = load_model(save_worded_model(tiny_model_dir, tmp_path / "model"), "cpu")
    hearing = Hearing(model)
    systems = [ModelSystem("m", hearing, "words"), ModelSystem("m", hearing, "none")]
    results = measure(systems, PHONES, corpora, ["people/test"])
    said = [row for row in results.rows if row.system == "m"]
    assert [row.words for row in said] == [2, 2, 2]  # SENTENCE and a digit
    for row, utterance in zip(said, read_corpus(corpora / "people", phones=PHONES, split="test")):
        found = model.transcribe(utterance.path, words=True).words
        # None of the model's words is in the text, so each place of both is an error.
        assert row.word_errors == max(2, len(found))
    assert all(row.words == 0 for row in results.rows if row.system != "m")
    assert rate_of(said, METRICS["wer"]).rate >= 1
    assert rate_of([row for row in results.rows if row.system != "m"], METRICS["wer"]) is None
