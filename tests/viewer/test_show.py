"""``speechattn show``: pages, figures, and what it says of inputs that do not fit."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speechattn.cli.main import main
from speechattn.encoder.attention_weights import LayerWeights
from speechattn.errors import UsageError
from speechattn.segments import Segment
from speechattn.transcription.lists import described
from speechattn.viewer import show as module
from speechattn.viewer.figure import recording_figure
from speechattn.viewer.page import Page, content_security_policy, digest, json_for_html
from speechattn.viewer.recording import Shown, ShowOptions, find_shown
from speechattn.viewer.report_sources import Recordings
from speechattn.viewer.results import early_end, read_labels, recorded_inputs
from speechattn.viewer.show import check_length

RATE = 16_000


@pytest.fixture
def recording(tmp_path) -> Path:
    noise = np.random.default_rng(0).normal(0, 0.1, RATE)
    soundfile.write(tmp_path / "a.wav", noise, RATE)
    return tmp_path / "a.wav"


def data(page: Path, name: str):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(rf'id="{name}">(.*?)</script>', text, re.S)[1])


def test_a_page_holds_everything_and_asks_for_nothing(run, recording, tmp_path):
    status, said = run(recording, "--attention", "0.2-0.6")
    page = tmp_path / "a.html"
    assert status == 0 and f"wrote {page.name}" in said
    text = page.read_text(encoding="utf-8")
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src &#x27;none&#x27;") and "unsafe" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 17 and all(digest(s)[1:-1] in policy for s in scripts)
    assert not re.search(r'(?:src|href)="', text.split("</style>")[-1].split("<script")[0])
    facts = data(page, "r0")
    assert facts["duration"] == 1 and facts["tiers"][0]["ends"][-1] == 1
    assert (facts["attention"]["start"], facts["attention"]["end"]) == (0.2, 0.6)
    assert facts["attention"]["left"] == [4, 4] and facts["attention"]["heads"] == 2
    for name in ("sound", "spectrogram", "posteriors", "attention"):
        assert f'id="r0-{name}-0"' in text


def test_a_stretch_keeps_the_times_of_the_recording(run, recording, tmp_path):
    (tmp_path / "a.ctm").write_text("a 1 0.0 0.3 B\na 1 0.3 0.5 AH\n")
    options = ("--span", "0.25-0.75", "--results", "a.ctm", "--output", "b.html", "--sound", "none")
    assert run(recording, *options)[0] == 0
    facts = data(tmp_path / "b.html", "r0")
    assert facts["origin"] == 0.25 and facts["duration"] == 0.5 and "sound" not in facts
    (tier,) = facts["tiers"]
    assert tier["labels"] == ["B", "AH"] and tier["ends"] == pytest.approx([0.05, 0.5])


def test_a_folder_that_transcribe_wrote(run, recording, tmp_path, tiny_model_dir):
    arguments = ["--output-dir", str(tmp_path / "out"), "--format", "json", "--quiet"]
    arguments += ["--model", str(tiny_model_dir), "--device", "cpu", "--workers", "1"]
    assert main(["transcribe", str(recording), *arguments]) == 0
    status, said = run(tmp_path / "out")
    assert status == 0
    labels = data(tmp_path / "out.html", "r0")["tiers"][0]["labels"]
    phones = json.loads((tmp_path / "out" / "a.json").read_text())["phones"]
    assert labels == ["" if p["label"] == "SIL" else p["label"] for p in phones]
    moved = tmp_path / "elsewhere" / "a.wav"
    moved.parent.mkdir()
    recording.rename(moved)
    status, said = run(tmp_path / "out")
    assert status == 2 and "a.wav is not in" in said and "--recordings DIR" in said
    assert run(tmp_path / "out", "--recordings", moved.parent)[0] == 0


def test_recordings_of_lists_and_of_earlier_runs_are_found(tmp_path, recording):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "these").write_text(f"{recording}\n")
    listing = f"@{tmp_path}/lists/these"
    (tmp_path / "rec").mkdir()
    old = tmp_path / "rec" / "old.wav"
    recording.with_name("b.wav").write_bytes(recording.read_bytes())
    old.write_bytes(recording.read_bytes())
    names = described([listing], [str(recording)])
    facts = {"inputs": [*names, "b.wav"], "inputs_before": [str(old.parent)]}
    found = recorded_inputs(facts, tmp_path / "out")
    assert set(found) == {recording, Path("b.wav"), tmp_path / "b.wav", old.parent}
    where = Recordings(facts, tmp_path / "out", None)
    for path in (recording, tmp_path / "b.wav", old):
        assert where(path.name) == path
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(json.dumps(facts))
    lines = [json.dumps({"file": name, "status": "ok"}) for name in ("a.wav", "b.wav", "old.wav")]
    (tmp_path / "out" / "transcripts.jsonl").write_text("\n".join(lines))
    shown = find_shown([tmp_path / "out"], ShowOptions())
    assert dict(shown) == {path: path.name for path in (recording, tmp_path / "b.wav", old)}


def test_a_recording_whose_name_begins_as_that_of_a_list(tmp_path, recording):
    odd = recording.rename(recording.with_name("@odd.wav"))
    assert recorded_inputs({"inputs": [str(odd)]}, tmp_path / "out") == [odd]
    assert odd in recorded_inputs({"inputs": ["@odd.wav"]}, tmp_path / "out")


@pytest.mark.parametrize(
    ("inputs", "said"),
    [(["@gone"], r"not in gone, \S*gone \(any more\)"), ([], "not in a place that run.json names")],
)
def test_what_a_recording_is_looked_for_in_is_named(tmp_path, inputs, said):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text(json.dumps({"inputs": inputs}))
    (tmp_path / "out" / "transcripts.jsonl").write_text('{"file": "a.wav", "status": "ok"}')
    with pytest.raises(UsageError, match=f"a.wav is {said}.*; say where it is with --recordings"):
        find_shown([tmp_path / "out"], ShowOptions())


def test_figures(run, recording, tmp_path):
    options = [w for kind in ("png", "svg", "pdf") for w in (f"--{kind}", f"f.{kind}")]
    assert run(recording, *options, "--head", "2/1")[0] == 0
    starts = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}
    for kind, start in starts.items():
        assert (tmp_path / f"f.{kind}").read_bytes().startswith(start)
    assert not (tmp_path / "a.html").exists()
    for where in (["--png", "f.png"], []):
        status, said = run(recording, *where, "--head", "9/1")
        assert status == 2 and "--head 9/1: tiny has 2 layers of 2 heads" in said
    status, said = run(recording, "--png", "f.jpg")
    assert status == 2 and ".png, .svg or .pdf" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone.wav"], ("gone.wav", "No such file")),
        (["a.TextGrid"], ("a result without its recording", "--results")),
        (["a.wav", "--reference", "long.TextGrid"], ("is of 9.00 s", "of 1.00 s", "another rec")),
        (["a.wav", "--reference", "long.ctm"], ("is of 9.00 s", "another recording")),
        (
            ["a.wav", "--reference", "other.ctm"],
            ("none of its 2 utterances is 'a'", "the first: 'b', 'c'"),
        ),
        (["a.wav", "--reference", "gone"], ("gone: no such file or folder",)),
        (["a.wav", "--results", "empty"], ("nothing for a.wav", ".json, .ctm, .TextGrid")),
        (["a.wav", "--results", "bad.json"], ("bad.json", "transcribe --format json")),
        (
            ["a.wav", "--reference", "points.TextGrid"],
            ("no tier 'phones' or 'words'", "its tiers: 'phones'"),
        ),
        (["a.wav", "--span", "5-9"], ("--span 5-9", "1.00 s")),
        (["a.wav", "--span", "9"], ("START-END",)),
        (["a.wav", "--attention", "3-4"], ("--attention 3-4", "name a stretch")),
        (["a.wav", "--head", "0/1"], ("LAYER/HEAD",)),
        (["a.wav", "--output", "a.pdf"], (".html",)),
        (["a.wav", "--output", "a.wav/x.html"], ("cannot be written",)),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(run, recording, tmp_path, arguments, words):
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0\n'
    (tmp_path / "long.TextGrid").write_text(
        head + '9\n<exists>\n1\n"IntervalTier"\n"phones"\n0\n9\n1\n0\n9\n"B"\n'
    )
    (tmp_path / "points.TextGrid").write_text(
        head + '1\n<exists>\n1\n"TextTier"\n"phones"\n0\n1\n1\n0.5\n"B"\n'
    )
    (tmp_path / "a.TextGrid").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "long.ctm").write_text("a 1 0 9 B\n")
    (tmp_path / "other.ctm").write_text("b 1 0 1 B\nc 1 0 1 B\n")
    (tmp_path / "bad.json").write_text("[]")
    status, said = run(*arguments)
    assert status == 2 and said.count("error:") == 1 and said.strip().splitlines()
    for word in words:
        assert word in said, said
    assert not list(tmp_path.glob("*.html"))


def test_a_reference_of_a_shorter_recording_is_told(run, recording, tmp_path):
    (tmp_path / "short.ctm").write_text("b 1 0 0.3 B\n")
    options = ("--sound", "none", "--attention", "none")
    status, said = run(recording, "--reference", "short.ctm", *options)
    line = "reference: short.ctm ends at 0.30 s of 1.00 s; see that it is of this recording"
    assert status == 0 and f"warning: a.wav: {line}" in said
    assert line in data(tmp_path / "a.html", "r0")["warnings"]
    # Of all of it, not of the stretch that is shown.
    (tmp_path / "short.ctm").write_text("a 1 0 0.6 B\n")
    status, said = run(recording, "--reference", "short.ctm", *options, "--span", "0.1-0.9")
    assert status == 0 and "ends at" not in said


@pytest.mark.parametrize(
    ("end", "duration", "told"),
    [(0.49, 1.0, True), (0.51, 1.0, False), (1.0, 2.1, True), (59.1, 60.0, False),
     (58.9, 60.0, True), (0.0, 60.0, True)],
)  # fmt: skip
def test_a_pause_at_the_end_may_have_no_label(end, duration, told):
    tiers = {"words": [Segment("a", 0.0, end)] if end else [], "phones": []}
    assert (early_end(Path("a.ctm.gz"), tiers, duration) is not None) == told
    for name in ("a.TextGrid", "a.json"):  # they say how long the recording is
        assert early_end(Path(name), tiers, duration) is None


def test_rounded_decimals_leave_no_silence_between_segments(tmp_path):
    (tmp_path / "a.ctm").write_text("a 1 0 0.3 B\na 1 0.30000001 0.2 AH\na 1 0.6 0.2 K\n")
    phones = read_labels(tmp_path / "a.ctm", "a.wav", 1.0, "reference")["phones"]
    assert [s.start for s in phones] == [0, 0.3, 0.6]


def test_a_ctm_whose_label_is_missing_is_refused(tmp_path):
    path = tmp_path / "a.ctm"
    path.write_text("a 1 0 1.0  0.0000\n")
    with pytest.raises(UsageError, match=r"a\.ctm:1: .*; write: .*; <eps> for no label"):
        read_labels(path, "a.wav", 1.0, "results")
    path.write_text("a 1 0 1.0 <eps> 0.0000\n")
    assert [s.label for s in read_labels(path, "a.wav", 1.0, "results")["phones"]] == ["<eps>"]


def test_recordings_too_long_for_a_page(recording, monkeypatch):
    monkeypatch.setattr(module, "MOST_SECONDS", 0.9)
    with pytest.raises(UsageError, match="--span 0-1800"):
        check_length([(recording, "a.wav")], None)
    with pytest.raises(UsageError, match="show fewer"):
        check_length([(recording, "a.wav")] * 2, None)
    check_length([(recording, "a.wav")], (0.2, 5.0))
    assert find_shown([recording], ShowOptions()) == [(recording, "a.wav")]


def test_settings_of_the_model_reach_it(run, recording, monkeypatch):
    given = {}

    def loaded(*_, **settings):
        given.update(settings)
        raise UsageError("enough")

    monkeypatch.setattr("speechattn.inference.recognizer.load_model", loaded)
    run(recording, "--window", "4/0", "--reading", "none", "--lm-scale", "0.5")
    assert given == {"window": (4, 0), "reading": "none", "lm_scale": 0.5}


def test_attention_too_long_for_a_page(recording, monkeypatch):
    monkeypatch.setattr(module, "LONGEST", 0.7)
    check_length([(recording, "a.wav")], None, (0.5, 9.0))
    with pytest.raises(UsageError, match=r"--attention 0.2-9: 1 s; .* 0.7 s .*name a shorter"):
        check_length([(recording, "a.wav")], None, (0.2, 9.0))
    check_length([(recording, "a.wav")], (0.5, 2.0), (0.2, 9.0))
    with pytest.raises(UsageError, match="1 s of all recordings together; .*, or show fewer"):
        check_length([(recording, "a.wav")] * 2, None, (0.5, 9.0))


def test_attention_of_all_recordings_together_is_limited(run, recording, tmp_path, monkeypatch):
    for name in ("b.wav", "c.wav"):
        shutil.copy(recording, tmp_path / name)
    # Of the tiny model 2 heads and (4 + 1 + 2) + (4 + 1 + 2) keys, 50 vectors a second.
    monkeypatch.setattr(module, "MOST_VALUES", 1500)
    status, said = run(".", "--output", "all.html", "--sound", "none")
    assert status == 0 and "room for that of 1 of 3 recordings; show one" in said
    facts = [data(tmp_path / "all.html", f"r{number}") for number in range(3)]
    assert ["attention" in each for each in facts] == [True, False, False]
    assert [each["attentionLeftOut"] for each in facts] == [False, True, True]
    assert "transcribing" not in said  # a bar where there are many


def test_recordings_come_in_natural_order(recording, tmp_path):
    names = [f"f{number}.wav" for number in (1, 10, 100, 2)]
    for name in names:
        shutil.copy(recording, tmp_path / name)
    recording.unlink()
    expected = ["f1.wav", "f2.wav", "f10.wav", "f100.wav"]
    given = [tmp_path / name for name in names]
    for inputs in ([tmp_path], given):
        assert [file for _, file in find_shown(inputs, ShowOptions())] == expected
    other = list(reversed(given))  # no order of a shell
    assert [path for path, _ in find_shown(other, ShowOptions())] == other


def test_a_file_of_someone_else_is_not_written_over(run, recording, tmp_path):
    page = tmp_path / "a.html"
    page.write_text("<title>my notes</title>")
    for given in ([], ["--output", "a.html"]):
        status, said = run(recording, *given)
        assert status == 2 and "a.html: is there, and not a page that speechattn wrote" in said
    assert page.read_text() == "<title>my notes</title>"
    page.unlink()
    for _ in range(2):
        assert run(recording)[0] == 0


def test_the_own_place_in_a_figure_has_one_label():
    shown = Shown(Path("a.wav"), "a.wav", np.zeros(RATE, np.float32), 1.0, 0.0)
    for right, labels in ((0, ["-180", "0"]), (9, ["-180", "+180", "0"])):
        weights = LayerWeights(9, np.zeros((1, 50, 10 + right), np.float32))
        axis = recording_figure(shown, (weights, 0, 0.02)).axes[2]
        assert [label.get_text() for label in axis.get_yticklabels()] == labels


def test_text_cannot_leave_its_place_in_a_page():
    evil = '</script><script>alert("1")</script>&amp;\u2028'
    assert json.loads(json_for_html(evil)) == evil
    page = Page(evil)
    page.add_data("x", evil)
    page.add_heading(evil)
    text = "".join(page.parts())
    assert text.count("<script") == 1 and "alert(&quot;1&quot;)" in text
    assert "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='" in content_security_policy(
        [""], []
    )
