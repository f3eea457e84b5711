"""Measure the search: CPU time a frame, hypotheses and phone errors by beam.

    python docs/measure_search.py ../shared/corpora [SET] [UTTERANCES]

The English model's posteriors of recordings up to 20 s are searched with several beams. SET is
``librispeech/dev``, all utterances, if not given. Put the table into docs/benchmarks.md.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

import numpy as np
import torch

from speechattn.bench.conditions_measure import evenly
from speechattn.corpora.corpus import read_entry
from speechattn.decoder.decoder import Decoder
from speechattn.evaluation.metrics import phone_errors
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.inference.transcription import TranscribeOptions
from speechattn.text import table

MODEL = "english"
BEAMS = (12.0, 14.0, 16.0, 18.0, 20.0)  # nats
PIECE = 10  # frames after which hypotheses are counted

Example = tuple[list[int], np.ndarray]  # folded phones of the reference, log posteriors


def examples(recognizer: Recognizer, corpora: Path, name: str, limit: int) -> list[Example]:
    """Return the short recordings of a set."""
    phones, found = recognizer.phones, []
    for utterance in evenly(read_entry(corpora, name, phones=phones).utterances, limit):
        prepared = recognizer.prepare(utterance.path, TranscribeOptions(posteriors=False))
        posteriors = recognizer.encode_short(prepared)
        prepared.close()
        if posteriors is not None and utterance.alignment:
            labels = [segment.label for segment in utterance.alignment]
            found.append(
                (folded(recognizer, [phones.names.index(one) for one in labels]), posteriors)
            )
    return found


def folded(recognizer: Recognizer, numbers: list[int]) -> list[int]:
    """Return phones folded to 39, without silence."""
    phones = recognizer.phones
    names = [phones.names[number] for number in numbers if phones.names[number] != phones.silence]
    return [phones.names.index(phones.fold.get(name, name)) for name in names]


def row(recognizer: Recognizer, beam: float, chosen: list[Example]) -> tuple[str, ...]:
    """Search everything twice: once on the clock, once to count hypotheses."""
    model, options = recognizer.checkpoint.phone_model, recognizer.checkpoint.decoding
    decoder = Decoder(model, dataclasses.replace(options, beam=beam))
    began = time.process_time()
    found = [decoder.push(posteriors) + decoder.finish() for _, posteriors in chosen]
    seconds = time.process_time() - began
    errors = said = frames = 0
    for (reference, posteriors), segments in zip(chosen, found):
        errors += sum(phone_errors(reference, folded(recognizer, [one.phone for one in segments])))
        said, frames = said + len(reference), frames + len(posteriors)
    counts = []
    for _, posteriors in chosen:
        for start in range(0, len(posteriors), PIECE):
            decoder.push(posteriors[start : start + PIECE])
            counts.append(decoder._num_tokens)
        decoder.finish()
    return (
        f"{beam:g}",
        f"{1e6 * seconds / frames:.1f}",
        f"{np.mean(counts):.0f}",
        f"{100 * errors / said:.2f}",
    )


def main(corpora: Path, name: str = "librispeech/dev", limit: int = 0) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    recognizer = load_model(MODEL, "cpu", precision="auto")
    chosen = examples(recognizer, corpora, name, limit)
    row(recognizer, BEAMS[0], chosen[:1])  # compiles
    rows = [row(recognizer, beam, chosen) for beam in BEAMS]
    print(f"{name}, {len(chosen)} recordings\n")
    print(table(("beam (nats)", "µs a frame", "hypotheses", "PER (%)"), rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3], *map(int, sys.argv[3:4]))
