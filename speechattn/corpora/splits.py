"""Sentences that are held out of training; a digest of the text decides, the same every time."""

from __future__ import annotations

import dataclasses
import hashlib

from speechattn.corpora.corpus import Corpus, Utterance


def held_out(utterance: Utterance, share: float) -> bool:
    """Whether an utterance is held out of training; it depends on the text alone.

    All recordings of one sentence are on the same side if their texts are identical: case,
    punctuation and white space count.

    Args:
        utterance: its text decides, or its id if it has no text.
        share: share of sentences that are held out, 0 to 1.
    """
    return chosen(utterance.text or utterance.id, share)


def chosen(text: str, share: float) -> bool:
    """Whether a text is among a share of all texts; a digest of the text decides."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def split_off(sets: dict[str, list[Corpus]], dev: float, test: float) -> None:
    """Move a share of the training sentences to dev, and another to test, in place.

    If a share is so small that no sentence falls to a set that is empty otherwise, it gets one.

    Args:
        sets: the corpora of ``train``, ``dev`` and ``test``.
        dev, test: shares, together below 1; with 0, a set stays as it is.
    """
    for name, low, high in (("dev", 0.0, dev), ("test", dev, dev + test)):
        if low == high:
            continue
        train = sets["train"]
        utterances = [utterance for corpus in train for utterance in corpus]
        chosen = {u.text or u.id for u in utterances if held_out(u, high) and not held_out(u, low)}
        sentences = list(dict.fromkeys(u.text or u.id for u in utterances))
        if not chosen and not sets[name] and len(sentences) > 1:
            chosen = {sentences[0]}
        for number, corpus in enumerate(train):
            kept = tuple(u for u in corpus if (u.text or u.id) not in chosen)
            moved = tuple(u for u in corpus if (u.text or u.id) in chosen)
            train[number] = dataclasses.replace(corpus, utterances=kept)
            # Its problems and notes are reported once, for train.
            sets[name].append(dataclasses.replace(corpus, utterances=moved, problems=(), notes=()))
