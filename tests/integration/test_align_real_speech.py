"""The command ``align`` on real speech, against the alignments of another program."""

from __future__ import annotations

import json

import numpy as np
import pytest

from speechattn.bench.boundaries import Agreement, read_spans
from speechattn.cli.main import main
from speechattn.segments import Segment

pytestmark = pytest.mark.corpora
UTTERANCES = 40


@pytest.fixture(scope="module")
def records(corpora, tmp_path_factory) -> dict[str, dict]:
    """What is written about some utterances, by their ids; one text has a word that is wrong."""
    corpus, folder = corpora / "librispeech", tmp_path_factory.mktemp("align")
    texts = dict(line.split(maxsplit=1) for line in (corpus / "text").read_text().splitlines())
    audio = dict(line.split(maxsplit=1) for line in (corpus / "wav.scp").read_text().splitlines())
    names = (corpus / "splits/test").read_text().split()
    chosen = names[:: len(names) // UTTERANCES][:UTTERANCES]
    text = folder / "text"
    text.write_text("".join(f"{name} {texts[name]}\n" for name in chosen))
    paths = [str(corpus / audio[name]) for name in chosen]
    out = ["--output-dir", str(folder / "out"), "--format", "json", "--device", "cpu"]
    assert main(["align", *paths, "--text", str(text), *out, "--quiet"]) == 0
    lines = (folder / "out" / "transcripts.jsonl").read_text().splitlines()
    return {(found := json.loads(line))["file"].partition(".")[0]: found for line in lines}


def _spans(records: list[dict]) -> list[Segment]:
    return [Segment(each["label"], each["start"], each["end"]) for each in records]


def test_words_and_phones_lie_where_another_aligner_finds_them(corpora, records):
    corpus = corpora / "librispeech"
    for kind, least in (("words", 0.78), ("phones", 0.86)):
        theirs, both = read_spans(corpus, kind, "SIL"), Agreement()
        for name, record in records.items():
            both.add([span for span in _spans(record[kind]) if span.label != "SIL"], theirs[name])
        assert abs(float(np.median(both.differences))) < 0.004  # seconds, early or late
        assert both.within() > least
        if kind == "words":
            assert both.unmatched <= 0.01 * len(both.differences)


def test_few_places_of_right_texts_are_reported(records):
    words = sum(len(record["words"]) for record in records.values())
    reported = [each for record in records.values() for each in record.get("differences", ())]
    assert len(reported) < 0.025 * words
