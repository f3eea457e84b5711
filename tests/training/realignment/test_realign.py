"""Realignment: phones come to lie where a model hears them, and what does not fit is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.commands import HERTZ, PHONES, RATE, make_corpus, message_of

from speechattn.corpora.alignment import frame_labels, reference_runs
from speechattn.corpora.corpus import read_corpus
from speechattn.errors import CorpusError
from speechattn.inference.recognizer import load_model
from speechattn.segments import SHIFT_SAMPLES, num_frames
from speechattn.training.realignment.realign import LOWEST_SCORE, realign

TRUTH = {
    "u0": [("SIL", 9), ("AA", 10), ("B", 7), ("B", 5), ("SH", 12), ("SIL", 8)],
    "u1": [("B", 6), ("AA", 9), ("SIL", 10), ("SH", 8)],
    "u2": [("SIL", 7), ("SH", 9), ("AA", 11), ("SIL", 12)],
}


class Ear:
    """A recognizer that knows the tones of made recordings when it hears them."""

    phones = PHONES

    def log_posteriors(self, blocks):
        samples = np.concatenate(list(blocks))
        frames = num_frames(len(samples))
        samples = np.resize(samples, frames * SHIFT_SAMPLES).reshape(frames, SHIFT_SAMPLES)
        power = np.abs(np.fft.rfft(samples)) ** 2
        tones = [power[:, round(HERTZ[name] * SHIFT_SAMPLES / RATE)] for name in PHONES.names[1:]]
        scores = np.stack([np.full(frames, 5.0), *tones], 1)
        heard = np.full((frames, len(PHONES)), 0.01)
        heard[np.arange(frames), scores.argmax(1)] = 0.97
        yield from np.array_split(np.log(heard).astype(np.float32), 2)


def ctm(utterances: dict) -> str:
    lines = []
    for name, alignment in utterances.items():
        start = 0
        for phone, frames in alignment:
            lines.append(f"{name} 1 {start / 100:.2f} {frames / 100:.2f} {phone}\n")
            start += frames
    return "".join(lines)


def shifted(alignment: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """Boundaries a few frames from where they were, the end where it was."""
    lengths = [frames for _, frames in alignment]
    lengths[0], lengths[-1] = lengths[0] - 3, lengths[-1] + 3
    return [(phone, frames) for (phone, _), frames in zip(alignment, lengths)]


@pytest.fixture
def folder(tmp_path) -> Path:
    made = make_corpus(tmp_path / "tones", TRUTH)
    (made / "phones.ctm").write_text(ctm({u: shifted(a) for u, a in TRUTH.items()}))
    return made


def labels(alignment) -> list[int]:
    return [PHONES.index[phone] for phone, frames in alignment for _ in range(frames)]


def read(folder: Path, alignments: bool = True):
    return read_corpus(folder, phones=PHONES, alignments=alignments)


def machine(folder: Path, strings: dict[str, str]):
    """The corpus with the strings of a machine in place of alignments."""
    (folder / "phones.ctm").unlink()
    (folder / "phones.machine").write_text("".join(f"{u} {s}\n" for u, s in strings.items()))
    return read(folder, alignments=False)


def assert_true(corpus, *names: str) -> None:
    """The utterances have the phones that were spoken, where they were spoken."""
    assert [utterance.id for utterance in corpus] == list(names)
    for utterance in corpus:
        truth = TRUTH[utterance.id]
        frames = sum(count for _, count in truth)
        runs = reference_runs(utterance.alignment, frames, PHONES)
        assert runs[-1].end == frames == round(100 * utterance.alignment[-1].end)
        assert [PHONES.names[run.phone] for run in runs] == [phone for phone, _ in truth]
        found = frame_labels(utterance.alignment, frames, PHONES)
        np.testing.assert_array_equal(found, labels(truth))


def test_phones_of_an_alignment_are_placed_where_they_are_heard(folder):
    corpus = read(folder)
    before = [u.alignment for u in corpus]
    found = realign(corpus, Ear())
    assert_true(found, "u0", "u1", "u2")
    assert found.problems == () and [u.alignment for u in corpus] == before
    assert all(a.alignment != b for a, b in zip(found, before))
    assert [u.text for u in found] == [u.text for u in corpus]


def test_a_machine_is_believed_where_it_is_not_clearly_wrong(folder):
    strings = {"u0": "SIL AA B B SH", "u1": "B SH SH", "u2": "SH AA B"}
    found = realign(machine(folder, strings), Ear())
    assert_true(found, "u0", "u1", "u2")  # one substituted, one left out
    assert found.problems == ()


def test_what_does_not_fit_is_left_out_and_named(folder):
    (folder / "phones.ctm").write_text(ctm({**TRUTH, "u2": [("B", 13)] * 3}))
    corpus = read(folder)
    corpus.utterances[1].path.unlink()
    found = realign(corpus, Ear())
    assert_true(found, "u0")
    first, second = found.problems
    assert first.startswith("tones: u1: ") and "u1.wav" in first
    assert second.startswith("tones: u2: its phones do not fit the audio (score -")
    assert float(second.rpartition("score ")[2].rstrip(")")) < LOWEST_SCORE


def test_strings_that_say_nothing_are_named(folder):
    strings = {"u0": "AA B B SH", "u1": "B OY", "u2": "SIL"}
    found = realign(machine(folder, strings), Ear())
    assert_true(found, "u0")
    assert found.problems == (
        "tones: u1: unknown phone 'OY'; use those of the model",
        "tones: u2: no phones to align; list them or leave the utterance out",
    )
    (folder / "phones.machine").write_text("u0 AA B B SH\nu0 AA\nu1 B AA SH\n")
    found = realign(read(folder, alignments=False), Ear())
    assert_true(found, "u0", "u1")
    assert "u0 is listed more than once" in found.notes[0] and len(found.notes) == 1
    assert found.problems[0].startswith("tones: u2: no phones") and len(found.problems) == 1


def test_a_recording_too_short_for_its_phones_is_named(folder):
    crowded = {**TRUTH, "u1": [("B", 1), ("SH", 1)] * 16 + [("AA", 1)]}
    (folder / "phones.ctm").write_text(ctm(crowded))
    found = realign(read(folder), Ear())
    assert_true(found, "u0", "u2")
    assert found.problems == ("tones: u1: too short for its 33 phones",)


def test_problems_of_the_corpus_stay(folder):
    (folder / "phones.ctm").write_text(ctm({"u0": TRUTH["u0"], "u1": [("ZZ", 33)]}))
    corpus = read(folder)
    assert len(corpus.problems) == 2
    assert realign(corpus, Ear()).problems == corpus.problems


def test_without_any_phones_the_missing_file_is_named(folder):
    (folder / "phones.ctm").unlink()
    with pytest.raises(CorpusError) as caught:
        realign(read(folder, alignments=False), Ear())
    assert message_of(caught).startswith(f"{folder / 'phones.machine'}: no such file")


def test_a_corpus_of_which_nothing_fits_is_refused(folder):
    (folder / "text").write_text("u0 A\nu0 B\n")  # a problem that has nothing to do with it
    with pytest.raises(CorpusError) as caught:
        realign(machine(folder, {"u0": "SIL", "u1": "SIL", "u2": "SIL"}), Ear())
    message = message_of(caught)
    assert message.startswith(f"{folder}: no utterance could be realigned")
    assert message.endswith(
        "the first problem: tones: u0: no phones to align; list them or leave the utterance out"
    )


def test_a_real_model_places_every_phone(folder, tiny_model_dir, monkeypatch):
    """Random weights know nothing, but the alignment covers the recording in order."""
    monkeypatch.setattr("speechattn.training.realignment.realign.LOWEST_SCORE", -100.0)
    found = realign(read(folder), load_model(tiny_model_dir, "cpu"))
    assert len(found) == 3
    for utterance in found:
        frames = sum(count for _, count in TRUTH[utterance.id])
        runs = reference_runs(utterance.alignment, frames, PHONES)
        spoken = [phone for phone, _ in TRUTH[utterance.id] if phone != "SIL"]
        heard = [PHONES.names[run.phone] for run in runs]
        assert [phone for phone in heard if phone != "SIL"] == spoken
