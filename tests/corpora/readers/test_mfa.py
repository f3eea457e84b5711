"""Trees of TextGrids as MFA writes them: one speaker or several, beside the audio or apart."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.published import (
    CAT_LABELS,
    CAT_PHONES,
    CAT_WORDS,
    labels,
    textgrid,
    write_text,
    write_tone,
)

from speechattn.corpora.readers import detect_format, read_published

GRID = textgrid({"words": CAT_WORDS, "phones": CAT_PHONES})
IPA = {"DH": "ð", "AH0": "ə", "K": "kʰ", "AE1": "æ", "T": "ʔ", "": ""}


@pytest.mark.parametrize("apart", [False, True])
def test_one_speaker_a_folder(tmp_path, apart):
    audio, grids = tmp_path / "audio", tmp_path / ("grids" if apart else "audio")
    for speaker in ("ann", "bob"):
        write_tone(audio / speaker / "001.flac")
        write_text(grids / speaker / "001.TextGrid", GRID)
    assert detect_format(grids) == "mfa"
    corpus = read_published(audio, "mfa", alignments=grids if apart else None)
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.speaker, u.text, u.is_whole) for u in corpus] == [
        ("ann-001", "ann", "the cat", True), ("bob-001", "bob", "the cat", True)
    ]  # fmt: skip
    assert labels(corpus.utterances[0]) == CAT_LABELS


def test_ipa_labels_short_form_utf16(tmp_path):
    write_tone(tmp_path / "s" / "s_1.wav")
    tiers = {"words": CAT_WORDS, "phones": [(IPA[p], s, e) for p, s, e in CAT_PHONES]}
    write_text(tmp_path / "s" / "s_1.TextGrid", textgrid(tiers, short=True), "utf-16")
    corpus = read_published(tmp_path)
    assert labels(corpus.utterances[0]) == CAT_LABELS and corpus.utterances[0].id == "s_1"
    kept = read_published(tmp_path, phones="mfa_english")
    assert labels(kept.utterances[0]) == ["SIL", "ð", "ə", "kʰ", "æ", "ʔ", "SIL"]


def conversation(root: Path) -> Path:
    """Two speakers in three seconds: one says "the cat" twice, the other once between."""

    def moved(tier, *shifts):
        spoken = [(x, round(s + d, 2), round(e + d, 2)) for d in shifts for x, s, e in tier if x]
        filled, end = [], 0.0
        for label, start, stop in [*spoken, ("", 3.0, 3.0)]:
            filled += [("", end, start)] if start > end else []
            filled += [(label, start, stop)] if label else []
            end = stop
        return filled

    tiers = {
        "ann lee - words": moved(CAT_WORDS, 0, 2), "ann lee - phones": moved(CAT_PHONES, 0, 2),
        "bob - words": moved(CAT_WORDS, 1), "bob - phones": moved(CAT_PHONES, 1),
    }  # fmt: skip
    write_tone(root / "talk.wav", 3.0)
    write_text(root / "talk.TextGrid", textgrid(tiers, 3.0))
    return root


def test_several_speakers_are_cut_into_utterances(tmp_path):
    corpus = read_published(conversation(tmp_path))
    assert (corpus.problems, corpus.notes) == ((), ())
    assert [(u.id, u.speaker, u.text, u.start, u.end) for u in corpus] == [
        ("ann_lee-talk-00000200", "ann_lee", "the cat", pytest.approx(0.05), pytest.approx(0.95)),
        ("ann_lee-talk-00002200", "ann_lee", "the cat", pytest.approx(2.05), pytest.approx(2.95)),
        ("bob-talk-00001200", "bob", "the cat", pytest.approx(1.05), pytest.approx(1.95)),
    ]
    for utterance in corpus:
        assert labels(utterance) == CAT_LABELS[:-1]
        assert utterance.alignment[0].end == pytest.approx(0.15)
        assert [(w.label, w.start) for w in utterance.words] == [("the", 0.15), ("cat", 0.35)]


def test_everything_that_is_wrong_is_named_at_once(tmp_path):
    for name in ("good", "unaligned", "nophones", "gap", "unknown"):
        write_tone(tmp_path / "s" / f"{name}.wav")
    for name in ("good", "lost"):
        write_text(tmp_path / "s" / f"{name}.TextGrid", GRID)
    write_text(
        tmp_path / "s" / "nophones.TextGrid", textgrid({"words": CAT_WORDS, "ipa": CAT_PHONES})
    )
    write_text(tmp_path / "s" / "gap.TextGrid", textgrid({"phones": CAT_PHONES[2:]}))
    write_text(
        tmp_path / "s" / "unknown.TextGrid", textgrid({"phones": [("K", 0, 0.5), ("K9", 0.5, 1)]})
    )
    corpus = read_published(tmp_path)
    assert [u.id for u in corpus] == ["s-gap", "s-good"]
    assert labels(corpus.utterances[0]) == ["SIL", *CAT_LABELS[2:]]
    said = "\n".join(corpus.problems)
    for part in (
        "lost.TextGrid: no recording has its name",
        "unaligned.wav: no TextGrid of its name",
        "nophones.TextGrid: no tier 'phones' or 'SPEAKER - phones' (tiers: 'words', 'ipa')",
        "unknown.TextGrid:20: unknown phone 'K9'",
    ):
        assert part in said, part
    assert len(corpus.problems) == 4
    assert (
        "gap.TextGrid:16: tier 'phones': 'AH0': nothing says what lies from 0 to" in corpus.notes[0]
    )
