"""The command ``align`` on real speech, against the alignments of another program."""

from __future__ import annotations

import numpy as np
import pytest
from support.boundaries import agreement

from speechattn.cli.main import main
from speechattn.decoder.lm.lexicon import POCKETSPHINX, Lexicon
from speechattn.phones import arpabet

pytestmark = pytest.mark.corpora
UTTERANCES = 40


def test_words_and_phones_lie_where_another_aligner_finds_them(corpora, tmp_path, capsys):
    pytest.importorskip("pocketsphinx")
    corpus = corpora / "librispeech"
    lexicon = Lexicon([POCKETSPHINX], arpabet())
    texts = dict(line.split(maxsplit=1) for line in (corpus / "text").read_text().splitlines())
    audio = dict(line.split(maxsplit=1) for line in (corpus / "wav.scp").read_text().splitlines())
    names = (corpus / "splits/test").read_text().split()
    chosen = [name for name in names if not lexicon.missing(texts[name])]
    chosen = chosen[:: len(chosen) // UTTERANCES][:UTTERANCES]
    text = tmp_path / "text"
    text.write_text("".join(f"{name} {texts[name]}\n" for name in chosen))
    paths = [str(corpus / audio[name]) for name in chosen]
    out = str(tmp_path / "out")
    options = ["--text", str(text), "--output-dir", out, "--format", "ctm", "--device", "cpu"]
    assert main(["align", *paths, *options]) == 0, capsys.readouterr().err
    count, words, phones = agreement(tmp_path / "out", corpus)
    assert count == UTTERANCES and not words.unmatched
    for score, least in ((words, 0.74), (phones, 0.83)):
        assert abs(float(np.median(score.differences))) < 0.005  # seconds, early or late
        assert score.within(0.02) > least
