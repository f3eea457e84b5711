"""Frames and labels of utterances that are parts of one recording."""

from __future__ import annotations

from pathlib import Path

from support.published import write_tone

from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora.corpus import Corpus, Utterance
from speechattn.corpora.frames import by_recording, group_frames
from speechattn.phones import PhoneSet
from speechattn.segments import Segment

PHONES = PhoneSet(("SIL", "AA"))
FRONT_END = FrontEnd(FrontEndConfig(num_mel_bins=24))


def items(path: Path, *spans, label: str = "AA"):
    corpus = Corpus(path.parent, None, ())
    return [
        (
            corpus,
            Utterance(f"u{i}", path, "s", alignment=(Segment(label, 0, e - s),), start=s, end=e),
        )
        for i, (s, e) in enumerate(spans)
    ]


def test_utterances_of_a_recording_are_grouped_in_time(tmp_path):
    a, b = tmp_path / "a.wav", tmp_path / "b.wav"
    chosen = items(a, (0, 1), (1, 2), (0.5, 1)) + items(b, (2, 3)) + items(a, (3, 4))
    groups = [[u.start for _, u in group] for group in by_recording(chosen, lambda item: item[1])]
    assert groups == [[0, 1], [0.5], [2], [3]]


def test_one_that_is_wrong_leaves_the_others(tmp_path):
    path = write_tone(tmp_path / "a.wav", 2.0)
    group = items(path, (0, 0.5), (0.5, 9.0), (1.0, 1.5)) + items(path, (1.5, 2.0), label="XX")
    unaligned = Utterance("none", path, "s", start=1.6, end=1.7)
    results = group_frames([*group, (group[0][0], unaligned)], PHONES, FRONT_END)
    assert [r.frames is not None and len(r.frames) for r in results] == [
        50,
        False,
        50,
        False,
        False,
    ]
    assert [r.problem and r.problem.split(": ", 1)[1][:24] for r in results] == [
        None, "the recording ends at 2.", None, "u0: unknown phone 'XX' a", "none: has no phone align",
    ]  # fmt: skip


def test_a_recording_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF")
    results = group_frames(items(path, (0, 0.5), (0.5, 1.0)), PHONES, FRONT_END)
    assert all(str(path) in str(result.problem) for result in results)
