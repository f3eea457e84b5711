from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.corpora.synth.corpus import VARIANTS, plan, read_prompts, speakers
from speechattn.corpora.synth.espeak import espeak
from speechattn.corpora.synth.espeak_phones import PhonemeTable, phone_spans
from speechattn.errors import CorpusError, UsageError
from speechattn.phones import arpabet


def test_prompts_are_short_sentences_in_one_split_each():
    prompts = read_prompts()
    assert list(prompts) == ["train", "dev", "test"]
    lines = [line for split in prompts.values() for line in split]
    assert len(lines) == len(set(lines)) == 600
    assert all(4 <= len(line.split()) <= 12 and line.isascii() for line in lines)


def test_every_phone_occurs_in_every_split():
    table, missing = PhonemeTable(), {}
    for split, lines in read_prompts().items():
        found = Counter()
        for line in lines[:110]:
            speech = espeak().synthesize(line, "en-us", "m3", rate=200)
            found.update(s.phone for s in phone_spans(speech, "en-us", table))
        missing[split] = set(arpabet().names) - set(found)
    assert missing == {"train": set(), "dev": set(), "test": set()}


@pytest.mark.parametrize("text", ["Hello there.\n", "# test:\nTwice.\nTwice.\n"])
def test_bad_prompts(tmp_path, text):
    path = tmp_path / "prompts.txt"
    path.write_text(text)
    with pytest.raises(CorpusError, match="prompts.txt:"):
        read_prompts(path)


def test_speakers_are_real_voices_in_one_split_each():
    everyone = [p for split in VARIANTS for p in speakers(split, 3)]
    assert len({p.id for p in everyone}) == len(everyone) == 2 * sum(map(len, VARIANTS.values()))
    variants = [v for split in VARIANTS.values() for v in split]
    assert len(set(variants)) == len(variants) and set(variants) <= set(espeak().variants())
    american = [p for p in everyone if p.accent == "en-us"]
    assert len(american) == len(everyone) / 2
    assert speakers("test", 3) != speakers("test", 4)


@settings(max_examples=25)
@given(
    train=st.integers(1, 300), dev=st.integers(0, 440), test=st.integers(0, 60), seed=st.integers(0)
)
def test_plan(train, dev, test, seed):
    jobs = plan({"train": train, "dev": dev, "test": test}, seed)
    assert Counter(j.split for j in jobs) == Counter({"train": train, "dev": dev, "test": test})
    assert len({j.id for j in jobs}) == len(jobs)
    assert len({(j.speaker.id, j.text) for j in jobs}) == len(jobs)
    assert all(j.id.startswith(j.speaker.id + "_") for j in jobs)
    for a, b in (("train", "dev"), ("train", "test"), ("dev", "test")):
        one, other = ([j for j in jobs if j.split == split] for split in (a, b))
        assert not {j.text for j in one} & {j.text for j in other}
        assert not {j.speaker.variant for j in one} & {j.speaker.variant for j in other}
    uses = Counter(j.text for j in jobs if j.split == "train")
    assert max(uses.values()) <= 1 + train // len(read_prompts()["train"]) + 1


def test_plan_can_be_exhausted():
    most = len(speakers("dev", 0)) * len(read_prompts()["dev"])
    assert len(plan({"dev": most}, 0)) == most
    with pytest.raises(UsageError, match=str(most)):
        plan({"dev": most + 1}, 0)
    with pytest.raises(UsageError, match="-1"):
        plan({"dev": -1}, 0)


def test_other_seed_other_corpus():
    one, other = (plan({"train": 12}, seed) for seed in (0, 1))
    assert {j.id for j in one} != {j.id for j in other}
