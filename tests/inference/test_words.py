"""Words of recordings: beside the same phones, in one piece, in blocks and in a stream."""

from __future__ import annotations

import io
import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from praatio import textgrid
from pympi import Eaf
from support.commands import message_of
from support.models import save_worded_model

from speechattn.cli.main import main
from speechattn.decoder.words import WORD_POWER
from speechattn.errors import ConfigError, UsageError
from speechattn.inference import reading
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.transcription.folder import transcribe_folder

RATE = 16_000


@pytest.fixture(scope="module")
def folder(tiny_model_dir, tmp_path_factory):
    return save_worded_model(tiny_model_dir, tmp_path_factory.mktemp("words") / "model")


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder, "cpu")


def noise(seconds=6.0, seed=3):
    loud = np.where(np.arange(round(seconds * RATE)) // 2500 % 3, 0.2, 0.01)
    samples = loud * np.random.default_rng(seed).standard_normal(len(loud))
    return samples.astype(np.float32)


def test_words_stand_beside_the_same_phones(model):
    plain = model.transcribe(noise(), sample_rate=RATE, alternatives=2)
    found = model.transcribe(noise(), sample_rate=RATE, alternatives=2, words=True)
    assert found.phones == plain.phones and plain.words is None
    assert len(found.words) > 5 and {"<unk>"} < {word.label for word in found.words}
    within = [phone for word in found.words for phone in found.phones_of(word)]
    assert within == [phone for phone in found.phones if phone.label != "SIL"]
    for word in found.words:
        phones = found.phones_of(word)
        assert (word.start, word.end) == (phones[0].start, phones[-1].end)
        mean = np.mean([phone.confidence for phone in phones])
        power = 1 if word.label == "<unk>" else WORD_POWER
        assert word.confidence == pytest.approx(mean**power)
    mean = np.mean([phone.confidence for phone in within])
    assert found.confidence == pytest.approx(mean)


def test_blocks_and_streams_give_the_same_words(model, monkeypatch):
    samples = noise()
    whole = model.transcribe(samples, sample_rate=RATE, words=True)
    monkeypatch.setattr(reading, "BLOCK_SECONDS", 0.7)
    blocks = model.transcribe(samples, sample_rate=RATE, words=True)
    assert (blocks.words, blocks.phones) == (whole.words, whole.phones)
    stream, found = model.stream(words=True), []
    for start in range(0, len(samples), 3000):
        found += stream.push(samples[start : start + 3000]).words
        guess = [*found, *stream.partial_words()]
        assert not guess or guess[-1].end <= stream.duration
    assert 0 < len(found) < len(whole.words)
    assert found + stream.finish().words == whole.words


def test_a_stream_goes_on_in_its_copy(model):
    samples, stream = noise(), model.stream(words=True)
    stream.push(samples[: 3 * RATE])
    found = []
    for one in (pickle.loads(pickle.dumps(stream)), stream):
        found.append([one.push(samples[3 * RATE :]).words, one.finish().words])
    assert found[0] == found[1] and any(found[0])


def test_a_stream_gives_no_words_unless_asked(model):
    stream = model.stream()
    assert stream.push(noise(1.0)).words is None and stream.finish().words is None
    with pytest.raises(ValueError, match="words=True"):
        stream.partial_words()


@pytest.mark.parametrize("size", [800, 16_000])
@pytest.mark.parametrize("words", [False, True])
def test_a_stream_gives_the_forms_of_the_dictionary(model, size, words):
    whole = model.transcribe(noise(), sample_rate=RATE, words=True, forms="dictionary")
    stream = model.stream(words=words, forms="dictionary")
    results = [stream.push(piece) for piece in np.split(noise(), range(size, 6 * RATE, size))]
    results.append(stream.finish())
    phones = [(one.label, one.start, one.end) for result in results for one in result.segments]
    assert phones == [(one.label, one.start, one.end) for one in whole.phones]
    if words:
        found = [(one.label, one.start, one.end) for each in results for one in each.words]
        assert found == [(one.label, one.start, one.end) for one in whole.words]
    else:
        assert all(result.words is None for result in results)


def test_forms_of_the_dictionary_stay_within_their_words(model):
    heard = model.transcribe(noise(), sample_rate=RATE, words=True)
    listed = model.transcribe(noise(), sample_rate=RATE, words=True, forms="dictionary")
    assert [(w.label, w.start, w.end) for w in listed.words] == [
        (w.label, w.start, w.end) for w in heard.words
    ]
    assert listed.phones[-1].end == heard.duration
    bare = model.transcribe(noise(), sample_rate=RATE, forms="dictionary")
    assert bare.words is None and bare.phones == listed.phones
    with pytest.raises(UsageError, match="forms"):
        model.transcribe(noise(), sample_rate=RATE, forms="spoken")


def test_models_that_cannot_are_refused(model, folder, tiny_model_dir):
    with pytest.raises(ConfigError) as caught:
        load_model(tiny_model_dir, "cpu").transcribe(noise(1.0), sample_rate=RATE, words=True)
    assert "knows none" in message_of(caught)
    for settings in ({"reading": "phones"}, {"reading": "none"}, {"lm_scale": 0.0}):
        with pytest.raises(ConfigError, match="no weight"):
            load_model(folder, "cpu", **settings).stream(words=True)
    old = model.checkpoint
    words = replace(old.phone_model.words, names=None)  # as in a model of format 7
    old = replace(old, phone_model=replace(old.phone_model, words=words))
    with pytest.raises(ConfigError, match="not how they are written"):
        Recognizer(old, model.device).stream(words=True)


def test_reading_says_what_the_decoder_knows(folder):
    options = load_model(folder, "cpu").checkpoint.decoding
    for name in ("words", "phones", "none"):
        found = load_model(folder, "cpu", reading=name).checkpoint.decoding
        assert found == options.for_reading(name)
    with pytest.raises(ConfigError, match="nothing to weigh"):
        load_model(folder, "cpu", reading="none", lm_scale=1.0)
    with pytest.raises(ConfigError, match="letters"):
        load_model(folder, "cpu", reading="letters")


def test_the_command_writes_words_and_the_same_phones(folder, model, tmp_path, capsys):
    for name, seed in (("a", 3), ("b", 4)):
        soundfile.write(tmp_path / f"{name}.wav", noise(2.0, seed), RATE, subtype="FLOAT")
    inputs = [str(tmp_path / f"{name}.wav") for name in "ab"]
    command = ["transcribe", *inputs, "--model", str(folder), "--quiet", "--device", "cpu"]
    command += ["--precision", "fp32", "--workers", "1"]
    formats = "textgrid,ctm,json,csv,eaf,lab,audacity,srt"
    plain = formats.removesuffix(",srt")
    assert main([*command, "--output-dir", str(tmp_path / "1"), "--format", plain]) == 0
    assert main([*command, "--output-dir", str(tmp_path / "2"), "--format", formats]) == 0
    out = tmp_path / "2"
    assert (out / "a.ctm").read_bytes() == (tmp_path / "1/a.ctm").read_bytes()
    assert (out / "a.txt").read_bytes() == (tmp_path / "1/a.txt").read_bytes()
    expected = model.transcribe(tmp_path / "a.wav", words=True)
    said = [(word.start, word.end, word.label) for word in expected.words]

    grid = textgrid.openTextgrid(str(out / "a.TextGrid"), includeEmptyIntervals=False)
    assert grid.tierNames == ("words", "phones")
    assert [tuple(entry) for entry in grid.getTier("words").entries] == said
    document = Eaf(str(out / "a.eaf"))
    assert set(document.get_tier_names()) == {"words", "phones"}
    annotations = sorted(document.get_annotation_data_for_tier("words"))
    rounded = [(round(1000 * start), round(1000 * end), label) for start, end, label in said]
    assert annotations == rounded
    lines = (out / "a.words.ctm").read_text().splitlines()
    assert [line.split()[4] for line in lines] == [label for _, _, label in said]
    assert len((out / "a.words.txt").read_text().splitlines()) == len(said)
    assert (out / "a.words.lab").exists()
    record = json.loads((out / "a.json").read_text())
    assert [word["label"] for word in record["words"]] == [label for _, _, label in said]
    phones = [label for word in record["words"] for label in word["phones"]]
    assert phones == [p["label"] for p in record["phones"] if p["label"] != "SIL"]
    first = json.loads((out / "transcripts.jsonl").read_text().splitlines()[0])
    assert first["words"] == record["words"]

    # What was written is complete: nothing is done again. A file of words that is gone is.
    again = [*command, "--output-dir", str(out), "--format", formats, "--resume"]
    before = (out / "b.words.ctm").stat().st_mtime_ns
    (out / "a.words.ctm").unlink()
    assert main(again) == 0
    assert (out / "a.words.ctm").read_text().splitlines() == lines
    assert (out / "b.words.ctm").stat().st_mtime_ns == before

    capsys.readouterr()
    for choice in ("--reading none", "--lm-scale 0"):  # said once, at the start
        for where in ([], ["--output-dir", str(tmp_path / "3")]):
            assert main([*command, "--words", "--format", "json", *choice.split(), *where]) == 2
            assert capsys.readouterr().err.count(f"needs words, and {choice} reads none") == 1

    results = list(transcribe_folder(inputs, model=folder, device="cpu", words=True))
    assert results[0].transcription.words == expected.words


def test_the_stream_prints_a_line_for_each_word(folder, model, monkeypatch, capsys):
    samples = (20_000 * noise(3.0)).clip(-32768, 32767).astype("<i2")
    source = io.TextIOWrapper(io.BytesIO(samples.tobytes()))
    monkeypatch.setattr("sys.stdin", source)
    options = ["--model", str(folder), "--device", "cpu", "--precision", "fp32"]
    assert main(["stream", "--words", *options]) == 0
    found = model.transcribe(samples[None] / np.float32(32768), sample_rate=RATE, words=True)
    expected = [
        f"{word.start:.2f} {word.end:.2f} {word.label} {word.confidence:.3f} "
        + " ".join(phone.label for phone in found.phones_of(word))
        for word in found.words
    ]
    assert capsys.readouterr().out.splitlines() == expected
