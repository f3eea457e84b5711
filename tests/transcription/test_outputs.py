"""What a run writes for each recording, through the real command and alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from unittest import mock

import kaldiio
import numpy as np
import pytest
import soundfile
from praatio import textgrid as praat
from support.commands import message_of
from support.models import save_sure_model
from support.transcriptions import EXAMPLE

from speechattn.cli.main import main
from speechattn.errors import SpeechattnError, UsageError
from speechattn.inference.recognizer import load_model
from speechattn.transcription import outputs as module
from speechattn.transcription.formats.registry import (
    NEED_WORDS,
    POSTERIORS,
    WRITERS,
    output_suffixes,
)
from speechattn.transcription.outputs import OutputOptions, RecordingOutputs


@pytest.fixture(scope="module")
def model(tiny_model_dir, tmp_path_factory) -> Path:
    return save_sure_model(tiny_model_dir, tmp_path_factory.mktemp("outputs") / "model")


@pytest.fixture(scope="module")
def rec(tmp_path_factory) -> Path:
    """Two recordings of which the model makes several phones."""
    folder = tmp_path_factory.mktemp("rec")
    (folder / "x y").mkdir()
    for seed, name in enumerate(("a.wav", "x y/b.wav")):
        loud = np.where(np.arange(24_000) // 4000 % 2, 0.2, 0.01)
        samples = loud * np.random.default_rng(seed).standard_normal(24_000)
        soundfile.write(folder / name, samples, 16_000, subtype="FLOAT")
    return folder


def transcribe(rec: Path, model: Path, out: Path, *options: str) -> dict[str, dict]:
    """Run the command; gives the lines of ``transcripts.jsonl`` by file."""
    command = ["transcribe", str(rec), "--output-dir", str(out), "--model", str(model)]
    assert main([*command, "--quiet", "--device", "cpu", *options]) == 0
    lines = (out / "transcripts.jsonl").read_text().splitlines()
    return {record["file"]: record for record in map(json.loads, lines)}


def digests(folder: Path) -> dict[str, str]:
    """Of the recordings' outputs and their list; not of what the run says of itself."""
    own = ("run.json", "journal.jsonl", ".lock")
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in own)
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_everything_at_once_in_ipa_the_same_each_time(rec, model, tmp_path):
    chosen = [name for name in WRITERS if name not in ("textgrid-short", *NEED_WORDS)]
    formats = ",".join(chosen)
    options = ["--format", formats, "--phones", "ipa", "--alternatives", "3"]
    one = transcribe(rec, model, tmp_path / "1", *options, "--posteriors", "npz")
    transcribe(rec, model, tmp_path / "2", *options, "--posteriors", "npz")
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    suffixes = [WRITERS[name].suffix for name in chosen]
    names = [f"{stem}{suffix}" for stem in ("a", "x y/b") for suffix in [*suffixes, ".npz"]]
    assert sorted(digests(tmp_path / "1")) == sorted([*names, "transcripts.jsonl"])

    recognizer = load_model(model, "cpu", precision="auto")
    ipa = recognizer.phones.labels("ipa")
    expected = recognizer.transcribe(rec / "x y/b.wav", labels="ipa", alternatives=3)
    assert len(expected.phones) > 3 and not {p.label for p in expected.phones} <= {"SIL"}
    with np.load(tmp_path / "1/x y/b.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["posteriors"], expected.posteriors)
        np.testing.assert_allclose(archive["posteriors"].sum(axis=1), 1, atol=1e-5)
        assert archive["labels"].tolist() == list(ipa)
        assert archive["frame_shift"] == 0.01
    phones = one["x y/b.wav"]["phones"]
    assert phones == json.loads((tmp_path / "1/x y/b.json").read_text())["phones"]
    for phone, segment in zip(phones, expected.phones, strict=True):
        assert phone["label"] == segment.label and phone["label"] in ipa
        assert phone["alternatives"] == [
            {"label": label, "probability": round(probability, 4)}
            for label, probability in segment.alternatives
        ]
    labels = [segment.label for segment in expected.phones]
    grid = praat.openTextgrid(str(tmp_path / "1/x y/b.TextGrid"), includeEmptyIntervals=True)
    found = [entry.label or "SIL" for entry in grid.getTier("phones").entries]
    assert found == labels
    for name, separator in ((".txt", "\t"), (".lab", " "), (".ctm", " ")):
        lines = (tmp_path / f"1/x y/b{name}").read_text("utf-8").splitlines()
        column = 4 if name == ".ctm" else 2
        assert [line.split(separator)[column] for line in lines] == labels


def test_kaldi_archives_are_named_like_the_utterances_of_the_ctm(rec, model, tmp_path):
    records = transcribe(rec, model, tmp_path, "--format", "ctm", "--posteriors", "ark")
    [(utterance, matrix)] = kaldiio.load_ark(str(tmp_path / "x y/b.ark"))
    assert utterance == "x%20y/b"
    assert (tmp_path / "x y/b.ctm").read_text().split(" ")[0] == utterance
    recognizer = load_model(model, "cpu", precision="auto")
    expected = recognizer.transcribe(rec / "x y/b.wav").posteriors
    np.testing.assert_array_equal(matrix, expected)
    assert all("alternatives" not in phone for r in records.values() for phone in r["phones"])


def test_a_failed_recording_leaves_none_of_its_files(rec, model, tmp_path, capsys):
    bad = tmp_path / "rec"
    bad.mkdir()
    (bad / "a.wav").write_bytes((rec / "a.wav").read_bytes()[:-4000])
    (tmp_path / "out").mkdir()
    for name in ("a.npz", "a.eaf", "a.txt"):
        (tmp_path / "out" / name).write_bytes(b"old")
    command = ["transcribe", str(bad), "--output-dir", str(tmp_path / "out"), "--model", str(model)]
    assert main([*command, "--posteriors", "npz", "--format", "eaf", "--device", "cpu"]) == 1
    assert sorted(digests(tmp_path / "out")) == ["a.txt", "transcripts.jsonl"]
    assert "a.wav" in capsys.readouterr().err


def test_a_model_without_ipa_is_refused_before_anything_is_done(model, rec, tmp_path, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((model / name).read_bytes())
    text = (folder / "config.json").read_text("utf-8")
    assert '"ZH"' in text
    config = json.loads(text.replace('"ZH"', '"Q7"'))
    config["phones"].pop("ipa", None)
    (folder / "config.json").write_text(json.dumps(config))
    out = tmp_path / "out"
    command = ["transcribe", str(rec), "--output-dir", str(out), "--model", str(folder)]
    assert main([*command, "--phones", "ipa", "--device", "cpu"]) == 2
    err = capsys.readouterr().err
    assert "no IPA for Q7" in err and err.count("\n") == 1
    assert digests(out) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "textgrid,textgrid-short"], "would both be written to .TextGrid files"),
        (["--format", "text"], "unknown format 'text'"),
        (["--format", "npz"], "unknown format 'npz'"),
        (["--phones", "sampa"], "sampa"),
        (["--posteriors", "csv"], "csv"),
        (["--alternatives", "-1"], "-1"),
        (["--alternatives", "many"], "many"),
    ],
)
def test_options_that_make_no_sense(options, said, rec, tmp_path, capsys):
    command = ["transcribe", str(rec), "--output-dir", str(tmp_path / "out"), "--model", "m"]
    assert main([*command, *options]) == 2
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_options_in_python():
    options = OutputOptions(("ctm", "eaf"), "ark")
    assert options.kinds == ("ctm", "eaf", "ark")
    assert output_suffixes(options.kinds) == {"ctm": ".ctm", "eaf": ".eaf", "ark": ".ark"}
    for bad in ({"posteriors": "txt"}, {"formats": ()}, {"formats": ("ctm", "srt")}):
        with pytest.raises(UsageError):
            OutputOptions(**bad)


def test_the_documentation_has_every_kind_of_file():
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    rows = [line.split("|")[1:3] for line in text.splitlines() if " | `." in line]
    listed = {kind.strip().strip("`"): suffix.strip().strip("`") for kind, suffix in rows}
    assert listed == {kind: writer.suffix for kind, writer in WRITERS.items()}
    assert all(f"`--posteriors {kind}`" in text for kind in POSTERIORS)


def test_files_that_cannot_be_written_are_named(tmp_path):
    (tmp_path / "a.ctm").mkdir()
    with RecordingOutputs({"ctm": tmp_path / "a.ctm"}, "a.wav", "SIL") as outputs:
        assert outputs.on_posteriors is None
        with pytest.raises(SpeechattnError) as caught:
            outputs.write(EXAMPLE)
    assert message_of(caught).startswith(f"{tmp_path / 'a.ctm'}: cannot be written (")
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / "a.npz"
    with (
        RecordingOutputs({"npz": path}, "a.wav", "SIL") as outputs,
        pytest.raises(SpeechattnError) as caught,
    ):
        outputs.on_posteriors(np.ones((1, 3), np.float32))
    assert message_of(caught).startswith(f"{path}: cannot be written (")


def test_no_file_is_written_before_all_texts_are_made(tmp_path):
    paths = {"ctm": tmp_path / "a.ctm", "eaf": tmp_path / "a.eaf"}
    broken = mock.Mock(render=mock.Mock(side_effect=ValueError("broken")))
    with (
        mock.patch.object(
            module, "writer_of", lambda kind: broken if kind == "eaf" else WRITERS[kind]
        ),
        RecordingOutputs(paths, "a.wav", "SIL") as outputs,
        pytest.raises(ValueError, match="broken"),
    ):
        outputs.write(EXAMPLE)
    assert list(tmp_path.iterdir()) == []
