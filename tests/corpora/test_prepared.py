"""Prepared sets: right frames, right labels, everything left out is named, nothing half written."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from support.commands import PHONES, RATE, make_corpus, message_of, tones

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora import frames, prepared
from speechattn.corpora.corpus import Utterance, read_corpus
from speechattn.corpora.frames import file_frames
from speechattn.corpora.prepared import PreparedSet, prepare_set
from speechattn.corpora.splits import held_out
from speechattn.errors import CorpusError

FRONT_END = FrontEndConfig(num_mel_bins=24)
UTTERANCES = {
    "u1": [("SIL", 20), ("B", 8), ("AA", 15), ("SIL", 12)],
    "u2": [("SH", 9), ("AA", 11), ("AA", 7)],  # equal neighbours, no silence
    "u3": [("SIL", 5), ("B", 30), ("SIL", 65)],
    "u4": [("AA", 6)],
}


def corpus_of(folder: Path, **options):
    return read_corpus(folder, phones=PHONES, **options)


def prepare_small(target: Path, *folders: Path) -> list[str]:
    corpora = [corpus_of(folder) for folder in folders]
    return prepare_set(target, corpora, phones=PHONES, front_end=FRONT_END)


def expected_frames(path: Path, front_end: FrontEndConfig = FRONT_END) -> np.ndarray:
    samples, rate = soundfile.read(path, dtype="float32")
    assert rate == RATE
    return FrontEnd(front_end)(torch.from_numpy(samples)).numpy()


def assert_close_in_half(stored: np.ndarray, exact: np.ndarray) -> None:
    """Equal but for the 11 bits of a float16's mantissa."""
    assert stored.shape == exact.shape and stored.dtype == np.float32
    assert (np.abs(stored - exact) <= np.abs(exact) * 2**-11 + 1e-6).all()


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_corpus(tmp_path / "beeps", UTTERANCES)


def test_frames_and_labels_are_those_of_the_files(tmp_path, folder):
    target = tmp_path / "sets" / "train"
    assert prepare_small(target, folder) == []
    prepared = PreparedSet(target)
    assert [e.id for e in prepared.entries] == list(UTTERANCES) and len(prepared) == 4
    assert prepared.num_frames == sum(n for a in UTTERANCES.values() for _, n in a)
    for entry in prepared.entries:
        alignment = UTTERANCES[entry.id]
        painted = [PHONES.index[phone] for phone, frames in alignment for _ in range(frames)]
        assert prepared.labels(entry).tolist() == painted
        assert prepared.labels(entry).dtype == np.int64
        runs = [(PHONES.names[run.phone], run.end - run.start) for run in prepared.runs(entry)]
        assert runs == alignment and prepared.runs(entry)[0].start == 0
        assert Path(entry.path) == (folder / "audio" / f"{entry.id}.wav").resolve()
        assert_close_in_half(prepared.frames(entry), expected_frames(Path(entry.path)))
        assert (entry.corpus, entry.speaker) == ("beeps", f"s{(int(entry.id[1]) - 1) % 2}")
    assert sorted(p.name for p in target.iterdir()) == ["frames.npy", "index.json", "runs.npy"]
    assert [p.name for p in target.parent.iterdir()] == ["train"]


def test_cepstra_are_prepared_as_well(tmp_path, folder):
    mfcc = FrontEndConfig(kind="mfcc", num_mel_bins=24)
    prepare_set(tmp_path / "set", [corpus_of(folder)], phones=PHONES, front_end=mfcc)
    prepared = PreparedSet(tmp_path / "set")
    for entry in prepared.entries:
        assert_close_in_half(prepared.frames(entry), expected_frames(Path(entry.path), mfcc))


def test_a_long_file_in_blocks_gives_the_frames_of_the_whole(tmp_path):
    """Longer than one block of the audio door, and of another rate."""
    samples = tones([("AA", 700), ("SH", 803)])
    soundfile.write(tmp_path / "a.flac", samples, RATE)
    stored, _ = soundfile.read(tmp_path / "a.flac", dtype="float32")
    front_end = FrontEnd(FRONT_END)
    whole = front_end(torch.from_numpy(stored))
    assert len(whole) == 1503
    torch.testing.assert_close(file_frames(tmp_path / "a.flac", front_end), whole)


def test_several_corpora_are_joined_and_keep_their_names(tmp_path, folder):
    other = make_corpus(tmp_path / "more", {"u1": [("B", 10)], "x": [("SH", 20)]})
    assert prepare_small(tmp_path / "set", folder, other) == []
    prepared = PreparedSet(tmp_path / "set")
    assert [(e.corpus, e.id) for e in prepared.entries[3:]] == [
        ("beeps", "u4"),
        ("more", "u1"),
        ("more", "x"),
    ]
    assert set(prepared.labels(prepared.entries[5]).tolist()) == {PHONES.index["SH"]}


def test_every_utterance_left_out_is_named_and_the_rest_goes_on(tmp_path, folder):
    bad = ["missing", "cut", "strange", "beyond", "nan", "empty"]
    broken = make_corpus(
        tmp_path / "broken", {"good": [("AA", 30)], **{name: [("B", 30)] for name in bad}}
    )
    audio = broken / "audio"
    (audio / "missing.wav").unlink()
    (audio / "cut.wav").write_bytes((audio / "cut.wav").read_bytes()[:5000])
    ctm = (broken / "phones.ctm").read_text()
    ctm = ctm.replace("strange 1 0.00 0.30 B", "strange 1 0.00 0.30 QX")
    ctm = ctm.replace("beyond 1 0.00 0.30 B", "beyond 1 0.00 0.30 B\nbeyond 1 0.30 0.20 AA")
    (broken / "phones.ctm").write_text(ctm)
    samples = tones([("B", 30)])
    samples[1234] = np.nan
    soundfile.write(audio / "nan.wav", samples, RATE, subtype="FLOAT")
    (audio / "empty.wav").write_bytes(b"")

    problems = prepare_small(tmp_path / "set", folder, broken)
    prepared = PreparedSet(tmp_path / "set")
    assert [e.id for e in prepared.entries] == [*UTTERANCES, "good"]
    assert prepared.problems == problems
    for name in bad:
        mine = [p for p in problems if name in p.replace(str(tmp_path), "")]
        assert len(mine) == 1 and "\n" not in mine[0], (name, problems)
    assert len(problems) == len(bad)
    said = {name: next(p for p in problems if name in p) for name in bad}
    assert "unknown phone 'QX'" in said["strange"] and "past the end" in said["beyond"]
    assert "0.0771" in said["nan"]  # seconds

    prepare_small(tmp_path / "alone", folder)
    alone = PreparedSet(tmp_path / "alone")
    for with_bad, without in zip(prepared.entries, alone.entries):
        np.testing.assert_array_equal(prepared.frames(with_bad), alone.frames(without))
        np.testing.assert_array_equal(prepared.labels(with_bad), alone.labels(without))
    good = prepared.entries[-1]
    assert_close_in_half(prepared.frames(good), expected_frames(audio / "good.wav"))


def test_a_file_that_the_system_refuses_is_left_out_as_well(tmp_path, monkeypatch, folder):
    def refusing(path, front_end):
        if path.stem == "u3":
            raise PermissionError(13, "Permission denied", str(path))
        return file_frames(path, front_end)

    monkeypatch.setattr(frames, "file_frames", refusing)
    (problem,) = prepare_small(tmp_path / "set", folder)
    assert "Permission denied" in problem and "u3.wav" in problem
    assert [e.id for e in PreparedSet(tmp_path / "set").entries] == ["u1", "u2", "u4"]


def all_cut(folder: Path) -> Path:
    for path in (folder / "audio").iterdir():
        path.write_bytes(path.read_bytes()[:1000])
    return folder


def test_nothing_usable_is_an_error_and_the_old_set_survives(tmp_path, folder):
    target = tmp_path / "set"
    prepare_small(target, folder)
    before = PreparedSet(target).frames(PreparedSet(target).entries[2])
    with pytest.raises(CorpusError) as caught:
        prepare_small(target, all_cut(folder))
    message = str(caught.value)
    assert message.startswith("set: no usable utterance") and "u1" in message
    assert "\n" not in message
    with pytest.raises(CorpusError, match="set: no usable utterance"):
        prepare_set(target, [], phones=PHONES, front_end=FRONT_END)
    after = PreparedSet(target)
    np.testing.assert_array_equal(after.frames(after.entries[2]), before)


@pytest.mark.parametrize("name", ["frames.npy", "runs.npy"])
def test_a_full_disk_in_the_middle_leaves_the_old_set(tmp_path, monkeypatch, folder, name):
    target = tmp_path / "set"
    prepare_small(target, folder)
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    other = make_corpus(tmp_path / "more", {"x": [("SH", 20)]})
    save = np.save

    def full(path, *arguments, **options):
        if Path(path).name == name:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(path, *arguments, **options)

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(OSError, match="No space left"):
        prepare_small(target, other)
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    with pytest.raises(OSError, match="No space left"):
        prepare_small(tmp_path / "new", other)
    assert not (tmp_path / "new").exists()
    monkeypatch.undo()
    prepare_small(target, other)  # what the failures left behind is no obstacle
    assert [e.id for e in PreparedSet(target).entries] == ["x"]


def test_a_failure_leaves_nothing_behind(tmp_path, folder):
    with pytest.raises(CorpusError):
        prepare_small(tmp_path / "sets" / "train", all_cut(folder))
    assert list((tmp_path / "sets").iterdir()) == []


def test_a_crash_of_the_swap_leaves_the_old_set(tmp_path, monkeypatch, folder):
    target = tmp_path / "sets" / "train"
    prepare_small(target, folder)
    before = {p.name: p.read_bytes() for p in target.iterdir()}
    replace = os.replace

    def failing(old, new):
        if Path(old).name == "train.partial":
            raise OSError(13, "Permission denied")
        replace(old, new)

    monkeypatch.setattr(os, "replace", failing)
    with pytest.raises(OSError, match="Permission denied"):
        prepare_small(target, make_corpus(tmp_path / "more", {"x": [("SH", 20)]}))
    assert {p.name: p.read_bytes() for p in target.iterdir()} == before
    assert [p.name for p in target.parent.iterdir()] == ["train"]


def test_utterances_without_an_alignment_are_named(tmp_path, folder):
    (folder / "phones.ctm").unlink()
    aligned = make_corpus(tmp_path / "aligned", {"x": [("SH", 20)]})
    corpora = [corpus_of(folder, alignments=False), corpus_of(aligned)]
    problems = prepare_set(tmp_path / "set", corpora, phones=PHONES, front_end=FRONT_END)
    assert [p.partition(": has no")[0] for p in problems] == [f"beeps: {u}" for u in UTTERANCES]
    assert all("has no phone alignment" in problem for problem in problems)
    assert [e.id for e in PreparedSet(tmp_path / "set").entries] == ["x"]


def test_a_set_says_what_its_classes_are(tmp_path, folder):
    prepare_small(tmp_path / "set", folder)
    assert PreparedSet(tmp_path / "set").phones == PHONES.names
    index = json.loads((tmp_path / "set/index.json").read_text())
    del index["phones"]
    (tmp_path / "set/index.json").write_text(json.dumps(index))
    assert PreparedSet(tmp_path / "set").phones == ()  # of an early version


def change_index(folder: Path, **changes) -> None:
    index = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps({**index, **changes}))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def swap_entries(folder: Path) -> None:
    entries = json.loads((folder / "index.json").read_text())["utterances"]
    change_index(folder, utterances=entries[::-1])


def drop_entry(folder: Path) -> None:
    entries = json.loads((folder / "index.json").read_text())["utterances"]
    change_index(folder, utterances=entries[:-1])


def spoil_runs(folder: Path) -> None:
    runs = np.load(folder / "runs.npy")
    runs[1, 1] += 1
    np.save(folder / "runs.npy", runs)


DAMAGE = {
    "no index": lambda f: (f / "index.json").unlink(),
    "no frames": lambda f: (f / "frames.npy").unlink(),
    "no runs": lambda f: (f / "runs.npy").unlink(),
    "no folder": shutil.rmtree,
    "index of no JSON": lambda f: (f / "index.json").write_text("{"),
    "index of no UTF-8": lambda f: (f / "index.json").write_bytes(b"\xff"),
    "index of a list": lambda f: (f / "index.json").write_text("[]"),
    "index of nothing": lambda f: (f / "index.json").write_text("{}"),
    "no utterances": lambda f: change_index(f, utterances=[]),
    "strange utterances": lambda f: change_index(f, utterances=[{"id": "x"}]),
    "numbers for utterances": lambda f: change_index(f, utterances=[3]),
    "utterances out of order": swap_entries,
    "an utterance lost": drop_entry,
    "a hole in the labels": spoil_runs,
    "frames cut off": lambda f: cut(f / "frames.npy"),
    "runs cut off": lambda f: cut(f / "runs.npy"),
    "empty frames": lambda f: (f / "frames.npy").write_bytes(b""),
    "empty runs": lambda f: (f / "runs.npy").write_bytes(b""),
    "a zip file": lambda f: (f / "runs.npy").write_bytes(b"PK\x03\x04" + bytes(50)),
    "a pickle": lambda f: np.save(f / "runs.npy", np.array([{}, 1], dtype=object)),
    "frames of one dimension": lambda f: np.save(f / "frames.npy", np.zeros(264, np.float16)),
    "other frames": lambda f: np.save(f / "frames.npy", np.zeros((3, 24), np.float16)),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_set_is_refused_by_name(tmp_path, folder, how):
    target = tmp_path / "set"
    prepare_small(target, folder)
    DAMAGE[how](target)
    with pytest.raises(CorpusError) as caught:
        PreparedSet(target)
    message = message_of(caught)
    assert message.startswith(f"{target}: ") and "run stage prepare" in message


def test_an_interruption_ends_the_work_soon(tmp_path, monkeypatch):
    many = make_corpus(tmp_path / "many", {f"u{i}": [("AA", 5)] for i in range(60)})
    done, compute = [], frames.file_frames

    def counting(path, front_end):
        done.append(path)
        return compute(path, front_end)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(frames, "file_frames", counting)
    monkeypatch.setattr(
        prepared, "PreparedUtterance", interrupted
    )  # as soon as the first result is taken
    with pytest.raises(KeyboardInterrupt):
        prepare_small(tmp_path / "set", many)
    assert len(done) < 30


def utterance(name: str, text: str | None) -> Utterance:
    return Utterance(name, Path(f"{name}.wav"), "s", text=text)


def test_held_out_is_decided_by_the_text_alone():
    texts = [f"SENTENCE NUMBER {i}" for i in range(4000)]
    for share in (0.03, 0.25):
        chosen = [held_out(utterance("a", text), share) for text in texts]
        assert chosen == [held_out(utterance(f"b{i}", t), share) for i, t in enumerate(texts)]
        # within four standard deviations of a binomial
        assert abs(np.mean(chosen) - share) < 4 * np.sqrt(share * (1 - share) / len(texts))
    few, more = ({t for t in texts if held_out(utterance("a", t), share)} for share in (0.03, 0.25))
    assert few < more  # a larger share keeps what a smaller one held out
    assert not any(held_out(utterance("a", t), 0.0) for t in texts)
    assert all(held_out(utterance("a", t), 1.0) for t in texts)


def test_held_out_stays_the_same_for_ever():
    """The first 8 bytes of SHA-256, most significant first, as a fraction."""
    for text in ("THE QUICK BROWN FOX", "naïve café", "X"):
        fraction = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16) / 16**16
        assert held_out(utterance("a", text), fraction + 1e-9)
        assert not held_out(utterance("a", text), fraction - 1e-9)
    held = [i for i in range(60) if held_out(utterance("a", f"TEXT {i}"), 0.1)]
    assert held == [12, 17, 24, 40, 46]


def test_a_sentence_is_the_same_only_when_it_is_written_the_same():
    """A change of this would change which sentences every model before it was trained on."""
    for other in ("The quick brown fox", "THE  QUICK BROWN FOX", "THE QUICK BROWN FOX "):
        share = hashlib.sha256(other.encode()).digest()[:8]
        fraction = int.from_bytes(share, "big") / 2**64
        assert held_out(utterance("a", other), fraction + 1e-9)
        assert not held_out(utterance("a", other), fraction - 1e-9)


def test_without_a_text_the_id_decides():
    names = [f"u{i}" for i in range(300)]
    by_id = [held_out(utterance(name, None), 0.5) for name in names]
    assert by_id == [held_out(utterance(name, ""), 0.5) for name in names]
    assert by_id == [held_out(utterance("other", name), 0.5) for name in names]
    assert 0 < sum(by_id) < 300
