"""The page of ``speechattn report``: what it says, how large it is, what it refuses."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile
from support.runs import record, write_batch, write_recipe_run

from speechattn.cli.main import main
from speechattn.errors import UsageError
from speechattn.viewer.phone_order import by_class, fitting_set, phone_class
from speechattn.viewer.report import ReportOptions, report_page
from speechattn.viewer.report_batch import frame_runs
from speechattn.viewer.results import is_results_folder

EVIL = "<script>window.hacked=1</script>"
A, B = [("AA", 0.0, 0.1, 0.9), ("B", 0.1, 0.3, 0.8)], [("B", 0.0, 0.2, 0.3), ("SIL", 0.2, 0.3, 1)]


def values_of(page) -> dict:
    """The data in a page."""
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'id="report">(.*?)</script>', text, re.DOTALL)[1])


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "my rec#1"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / name, np.zeros(4800), 16_000)
    return folder


def test_a_batch_is_scored_against_textgrids_and_its_recordings_are_linked(tmp_path, recordings):
    files = [record("a.wav", A), record("b.wav", B), record("c.wav", A)]
    batch = write_batch(tmp_path / "out", files, [str(recordings)])
    reference = tmp_path / "ref"
    reference.mkdir()
    (reference / "a.ctm").write_text("a 1 0 0.1 AA\na 1 0.1 0.2 B\n")
    (reference / "b.ctm").write_text("b 1 0 0.2 AH1\nb 1 0.2 0.1 sil\n")
    (reference / "c.ctm").write_text("c 1 0 0.3 XX\n")
    page = tmp_path / "pages" / "r.html"
    page.parent.mkdir()
    data = report_page(batch, page, ReportOptions(reference=reference))
    assert data.scores["overall"]["per"] == pytest.approx(1 / 3)
    assert any("c.wav: 'XX' of its reference is none of the" in note for note in data.notes)
    rows = values_of(page)["utterances"]
    assert [(row["group"], row["name"], row["pairs"]) for row in rows] == [
        ("worst", "b.wav", [["AH", "B"]]),
        ("best", "a.wav", ["AA", "B"]),
    ]
    assert [row["sound"] for row in rows] == [f"../my%20rec%231/{n}.wav" for n in "ba"]
    assert "media-src data: blob: &#x27;self&#x27; file:" in page.read_text()


def test_a_corpus_is_a_reference_with_speakers(tmp_path, recordings):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "wav.scp").write_text(f"u1 {recordings / 'a.wav'}\n".replace("rec#1", "rec#1"))
    (corpus / "utt2spk").write_text("u1 anna\n")
    (corpus / "phones.ctm").write_text("u1 1 0 0.15 AA\nu1 1 0.15 0.15 B\n")
    batch = write_batch(tmp_path / "out", [record("a.wav", A)], [str(recordings)])
    data = report_page(batch, tmp_path / "r.html", ReportOptions(reference=corpus))
    assert [one["speaker"] for one in data.scores["speakers"]] == ["anna"]
    assert data.details["boundary_errors"][15 - 5] == 1  # B begins 50 ms early


def test_hostile_labels_missing_recordings_failures_and_channels(tmp_path):
    phones = [(EVIL, 0.0, 0.1, 0.9), ("a b\n", 0.1, 0.2, float("nan")), ("😀", 0.2, 0.3, 0.1)]
    parts = [{"channel": n, "phones": record("x", phones)["phones"]} for n in (0, 1)]
    failed = record(EVIL, phones, status="error", error=f"no {EVIL}")
    files = [
        record("gone.wav", phones, warnings=["clipped: 3 %"]),
        record("two.wav", phones, channels=parts),
        failed,
    ]
    batch = write_batch(tmp_path / "out", files, ["nowhere"])
    data = report_page(batch, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert EVIL not in text and "&lt;script&gt;window.hacked" in text
    assert len(data.failures) == 1 and data.warnings == {"clipped": 1}
    assert any("3 recordings of the listed utterances cannot be found" in n for n in data.notes)
    assert len(data.details["utterances"]) == 3


def test_ten_thousand_recordings_make_a_small_page(tmp_path, recordings):
    random = np.random.default_rng(0)
    names = ["AA", "B", "S", "IY", "N", "SIL"]
    made = []
    for _ in range(50):
        edges = np.cumsum(random.integers(3, 15, 6)) / 100
        spans = zip(edges[:-1] - edges[0], edges[1:] - edges[0])
        made.append([(str(random.choice(names)), a, b, float(random.random())) for a, b in spans])
    files = [record(f"some/folder/{n:05}.wav", made[n % 50]) for n in range(10_000)]
    batch = write_batch(tmp_path / "out", files, [str(recordings)])
    report_page(batch, tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size < 1_000_000  # 5 MB are allowed
    values = values_of(tmp_path / "r.html")
    assert values["total"] == 10_000 and len(values["utterances"]) == 50
    spoken = sum(phone[0] != "SIL" for phones in made for phone in phones) * 200
    assert sum(values["confidences"]) == spoken


def test_a_recipe_has_everything(tmp_path, recordings):
    run = write_recipe_run(tmp_path / "run", recordings / "a.wav")
    assert main(["report", str(run), "--quiet", "--utterances", "2"]) == 0
    text = (run / "report.html").read_text()
    assert "<b>c</b>" not in text
    parts = set(re.findall(r'data-part="(\w+)"', text))
    assert parts == {
        "scores", "training", "confusions", "phones", "speakers", "durations", "boundaries",
        "calibration", "confidences", "utterances",
    }  # fmt: skip
    values = values_of(run / "report.html")
    assert [row["rate"] == 0 for row in values["utterances"]] == [False, False, True, True]
    assert values["utterances"][0]["sound"].endswith("/a.wav#t=0.2,0.8")
    (run / "evaluate/details.json").unlink()  # of an earlier version
    data = report_page(run, tmp_path / "old.html")
    assert "stages=evaluate force=true" in data.notes[0]
    (run / "evaluate/scores.json").unlink()
    assert "not been evaluated" in report_page(run, tmp_path / "old.html").notes[0]


def test_sound_is_embedded_where_asked_for_or_where_browsers_cannot_play_it(tmp_path):
    rec = tmp_path / "rec"
    rec.mkdir()
    for name in ("a.wav", "b.aiff"):
        soundfile.write(rec / name, np.zeros(4800), 16_000)
    batch = write_batch(tmp_path / "out", [record("a.wav", A), record("b.aiff", B)], [str(rec)])
    starts = {}
    for sound in ("link", "embed", "none"):
        report_page(batch, tmp_path / "r.html", ReportOptions(sound=sound))
        rows = values_of(tmp_path / "r.html")["utterances"]
        starts[sound] = {row["name"]: (row["sound"] or "")[:10] for row in rows}
    assert starts == {
        "link": {"a.wav": "./rec/a.wa", "b.aiff": "data:audio"},
        "embed": {"a.wav": "data:audio", "b.aiff": "data:audio"},
        "none": {"a.wav": "", "b.aiff": ""},
    }


def write_history(folder, text):
    (folder / "train").mkdir(parents=True)
    (folder / "train/history.json").write_text(text)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda f: None, {}, "no such folder"),
        (lambda f: f.mkdir(), {}, "neither the work folder of a recipe nor"),
        (lambda f: (f / "prepared").mkdir(parents=True), {}, "has no results yet .* run it again"),
        (lambda f: write_batch(f, []), {}, "no recording is listed"),
        (lambda f: write_batch(f, [{"file": "a"}]), {}, "cannot be understood"),
        (lambda f: write_batch(f, [record("a", A)]), {"reference": "no"}, "no such file or folder"),
        (lambda f: (write_batch(f, []) / "transcripts.jsonl").unlink(), {}, "with --resume"),
        (lambda f: write_history(f, "{"), {}, "cannot be read"),
        (lambda f: write_history(f, '{"history": [7]}'), {}, "cannot be understood"),
        (lambda f: write_history(f, '{"history": [{"loss": [1]}]}'), {}, "cannot be understood"),
        (lambda f: (f / "prepared").mkdir(parents=True), {"recordings": "x"}, "leave them out"),
    ],
)  # fmt: skip
def test_what_cannot_be_reported_is_refused(tmp_path, make, options, message):
    from pathlib import Path

    make(tmp_path / "run")
    chosen = ReportOptions(**{name: Path(value) for name, value in options.items()})
    with pytest.raises(UsageError, match=message):
        report_page(tmp_path / "run", tmp_path / "r.html", chosen)
    assert not (tmp_path / "r.html").exists()


def test_phones_are_sorted_by_class():
    phones = fitting_set(["AA", "SIL", "B", "Z"])
    order = by_class(phones)
    kinds = [kind for _, kind in order]
    assert phones.names[order[-1][0]] == "SIL"
    assert kinds == sorted(kinds, key=list(dict.fromkeys(kinds)).index)  # each class in one piece
    assert (phone_class("AA1"), phone_class("ʃ"), phone_class("?")) == (
        "vowel",
        "fricative",
        "other",
    )
    assert fitting_set(["x y", "q9"]).names == ("SIL", "q9", "x_y")


def test_runs_cover_all_frames_whatever_the_times():
    phones = fitting_set(["AA", "B"])
    a, b = phones.index["AA"], phones.index["B"]
    runs = frame_runs(
        [(a, 0.02, 0.05, 1.0), (b, 0.05, 0.053, 1.0), (b, 0.04, 9.0, 0.5)], 10, phones
    )
    spans = [(run.phone, run.start, run.end) for run in runs]
    assert spans == [(phones.silence_index, 0, 2), (a, 2, 5), (b, 5, 10)]


def test_pictures_of_the_window_benchmark_are_in_the_page(tmp_path):
    windows = tmp_path / "run" / "windows"
    windows.mkdir(parents=True)
    (windows / "accuracy-window.png").write_bytes(b"\x89PNG")
    report_page(tmp_path / "run", tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text()
    assert '<img alt="accuracy by window" src="data:image/png;base64,iVBORw==">' in text


def test_shards_alone_are_reported_with_what_they_lack(tmp_path, recordings):
    batch = write_batch(tmp_path / "out", [record("a.wav", A)], [str(recordings)])
    for name, suffix in (("run", ".json"), ("transcripts", ".jsonl")):
        (batch / f"{name}{suffix}").rename(batch / f"{name}-1-of-3{suffix}")
    (batch / "journal-1-of-3.jsonl").write_text("")
    other = json.dumps(record("b.wav", A))
    (batch / "transcripts-3-of-3.jsonl").write_text(f"{other}\n{other}\n")
    (batch / "journal-3-of-3.jsonl").write_text("")
    (batch / "journal-2-of-3.jsonl").write_text("")  # it has not come to its end
    data = report_page(batch, tmp_path / "r.html")
    assert len(data.details["utterances"]) == 2
    assert "2 shards; there are none yet of 2/3" in data.notes[0]
    assert is_results_folder(batch)
