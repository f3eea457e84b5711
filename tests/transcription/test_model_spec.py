"""Loading a model: what is made while functions are compiled."""

from __future__ import annotations

import contextlib

import pytest

from speechattn.decoder.lm.word_lm import WordNgrams
from speechattn.transcription import model_spec
from speechattn.transcription.model_spec import ModelSpec


@pytest.mark.parametrize(
    "compiling, to_decode, made", [(True, True, 1), (True, False, 0), (False, True, 0)]
)
def test_the_network_of_words_is_made_while_functions_are_compiled(
    compiling, to_decode, made, monkeypatch
):
    networks: list[WordNgrams] = []
    network = WordNgrams.network.func

    def counted(words: WordNgrams) -> object:
        networks.append(words)
        return network(words)

    monkeypatch.setattr(model_spec, "compiled", lambda: contextlib.nullcontext(compiling))
    monkeypatch.setattr(WordNgrams, "network", property(counted))
    ModelSpec("english", "cpu", precision="int8").load(to_decode=to_decode)
    assert len(networks) == made
