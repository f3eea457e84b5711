"""Everything that reads a file, with broken files for it."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from hypothesis import strategies as st
from support.bad_inputs import READ, encodings
from support.models import save_tiny_model

from fuzz.runner import Target, one_file
from fuzz.strategies import WORDS, bytes_like, gzipped, json_like, safetensors_like
from speechattn.audio.load import read_audio
from speechattn.audio.resample import resampled_length
from speechattn.cli.bench.values import read_list
from speechattn.corpora.corpus import read_corpus
from speechattn.errors import SpeechattnError
from speechattn.files import resource as packaged
from speechattn.inference.recognizer import load_model
from speechattn.phones import arpabet, read_phone_table
from speechattn.studies import StudyConfigs
from speechattn.training.recipe_file import read_config
from speechattn.transcription.inputs import Recording
from speechattn.transcription.journal import is_done, read_journal, read_records
from speechattn.transcription.run_record import Summary, check_same, read_record

# --- the audio door ---------------------------------------------------------------------------


def _audio() -> Target:
    wholes = [data for kind, _, data, _ in encodings(400) if kind in READ]
    others = [data for kind, _, data, _ in encodings(200) if kind not in READ]

    def run(folder: Path) -> None:
        samples, info = read_audio(folder / "a.wav")
        assert np.isfinite(samples).all() and samples.dtype == np.float32
        assert len(samples) == resampled_length(info.frames, info.sample_rate) >= 80

    examples = st.one_of(bytes_like(wholes), bytes_like(wholes), bytes_like(wholes + others))
    return Target("audio", one_file("a.wav", examples), run)


# --- texts ------------------------------------------------------------------------------------

TABLES = {
    "wav.scp": b"u1 a.wav\nu2 b/b.wav\nu3 c.wav\n",
    "utt2spk": b"u1 s1\nu2 s2\nu3 s1\n",
    "utt2dur": b"u1 0.5\nu2 0.50\nu3 5e-1\n",
    "text": b"u1 HELLO WORLD\nu2\nu3 \xc3\x9cBER\n",
    "splits/test": b"u2\nu1\n",
}
CTM = b";; comment\nu1 1 0.00 0.10 AA\nu1 1 0.10 0.05 B 0.9\nu2 1 0.3 0.2 SIL\nu3 1 0.00 0.50 S\n"


def _corpus() -> Target:
    tables = {name: bytes_like([data], WORDS, 2) for name, data in TABLES.items()}
    ctm = bytes_like([CTM], WORDS, 4)
    plain = st.fixed_dictionaries(tables | {"phones.ctm": ctm})
    packed = st.fixed_dictionaries(tables | {"phones.ctm.gz": gzipped(ctm)})

    def run(folder: Path) -> None:
        (folder / "a.wav").touch()
        for split in (None, "test"):
            corpus = read_corpus(folder, phones=arpabet(), split=split)
            assert corpus.utterances and all(p.isprintable() for p in corpus.problems)

    return Target("corpus", plain | packed, run)


def _phones() -> Target:
    table = packaged("data", "phones.tsv").read_bytes()
    small = b"# c\nAA\t\xc9\x91\tvowel\tAA\todd\nSIL\t\tsilence\tSIL\t\nAO\tx\tvowel\tAA\ty\n"
    words = (*WORDS, b"\tsilence\t", b"AA\t", b"\t\t\t\t\n")

    def run(folder: Path) -> None:
        phones = read_phone_table(folder / "phones.tsv")
        assert phones.names[phones.silence_index] == phones.silence

    return Target("phones", one_file("phones.tsv", bytes_like([small, table], words)), run)


def _recipe() -> Target:
    wholes = [path.read_bytes() for path in packaged("recipes", "").glob("*.yaml")]
    lines = {line for whole in wholes for line in whole.splitlines() if b":" in line}
    keys = sorted({b"\n" + line.split(b":")[0] + b": " for line in lines})
    words = (*WORDS, *keys)

    def run(folder: Path) -> None:
        read_config(folder / "r.yaml", kinds=StudyConfigs())

    return Target("recipe", one_file("r.yaml", bytes_like(wholes, words, 4)), run)


def _listing() -> Target:
    text = b"%s\r\n\n%s" % (os.fsencode(__file__), os.fsencode(os.path.dirname(__file__)))

    def run(folder: Path) -> None:
        assert all(map(os.path.exists, read_list(folder / "list")))

    return Target("list", one_file("list", bytes_like([text], WORDS)), run)


# --- models -----------------------------------------------------------------------------------


def _model() -> Target:
    with tempfile.TemporaryDirectory() as folder:
        save_tiny_model(Path(folder, "m"))
        config = json.loads(Path(folder, "m", "config.json").read_bytes())
        weights = Path(folder, "m", "model.safetensors").read_bytes()
    noise = np.random.default_rng(0).normal(0, 0.1, 4_000).astype(np.float32)
    right = {"config.json": st.just(json.dumps(config).encode()),
             "model.safetensors": st.just(weights)}  # fmt: skip

    def run(folder: Path) -> None:
        model = load_model(folder, "cpu")
        model.describe()
        with suppress(SpeechattnError):  # not every model has IPA
            model.phones.labels("ipa")
        phones = model.transcribe(noise, sample_rate=16_000).phones
        assert phones[0].start == 0 and phones[-1].end == 0.25

    changed_config = st.fixed_dictionaries(right | {"config.json": json_like(config)})
    changed_weights = st.fixed_dictionaries(
        right | {"model.safetensors": safetensors_like(weights)}
    )
    return Target("model", changed_config | changed_weights, run)


# --- what a batch remembers -------------------------------------------------------------------

LINE = (
    b'{"file": "%s.wav", "input": [3, 5], "outputs": {"ctm": [2, 7]}, "record": {"file": "%s.wav", '
)
LINE += b'"duration": 1.5, "status": "ok", "error": null, "kind": null, "warnings": ["clipped: 1"], "phones": []}}\n'
RUN = (
    b'{"speechattn": "0.1", "model": {"name": "m", "sha256": "00"}, "settings": {"channel": null}}'
)


def _batch() -> Target:
    journal = b"".join(LINE % (name, name) for name in (b"a", b"b", b"c"))

    def run(folder: Path) -> None:
        entries, end = read_journal(folder / "journal.jsonl")
        assert 0 <= end <= (folder / "journal.jsonl").stat().st_size
        if (folder / "journal.jsonl").read_bytes() == journal:
            assert len(entries) == 3  # as the journal is written now
        summary = Summary()
        for record in read_records(iter(entries.values())):
            summary.add(record)
        assert str(summary)
        for file, entry in entries.items():
            is_done(Recording(folder / "journal.jsonl", file, {"ctm": folder / "a.ctm"}), entry)
        old = read_record(folder / "run.json")
        check_same(folder / "run.json", old, json.loads(RUN))

    words = (*WORDS, b'"file"', b'"record": {}', b'"input": [', b'"outputs": {"ctm": "x"}')
    files = {"journal.jsonl": bytes_like([journal], words), "run.json": bytes_like([RUN], words, 2)}
    return Target("batch", st.fixed_dictionaries(files), run)


MAKERS = {
    "audio": _audio,
    "corpus": _corpus,
    "phones": _phones,
    "recipe": _recipe,
    "list": _listing,
    "model": _model,
    "batch": _batch,
}
SHARES = {"audio": 5, "model": 2}  # of the batches; 1 for the others
