"""Real recordings with their alignments, where the corpora are at hand; skipped where not."""

from __future__ import annotations

import numpy as np
import pytest

from speechattn.audio.features import FrontEnd
from speechattn.corpora.alignment import frame_labels
from speechattn.corpora.corpus import read_corpus
from speechattn.corpora.frames import file_frames
from speechattn.phones import arpabet


@pytest.mark.parametrize("name", ["kathleen", "speechocean762", "kokoro", "asterisk"])
def test_alignments_fit_their_recordings(corpora, name):
    phones, front_end = arpabet(), FrontEnd()
    corpus = read_corpus(corpora / name, phones=phones, split="test")
    assert len(corpus.problems) < 0.01 * len(corpus)
    speech, silence = [], []
    for utterance in corpus.utterances[:20]:
        frames = file_frames(utterance.path, front_end).numpy()
        labels = frame_labels(utterance.alignment, len(frames), phones, name=utterance.id)
        assert len(labels) == len(frames)
        energy = frames.mean(1)
        speech.append(energy[labels != phones.silence_index])
        silence.append(energy[labels == phones.silence_index])
    # Labels and frames on the same clock: what is labelled as speech is louder, by over 6 dB.
    assert np.concatenate(speech).mean() > np.concatenate(silence).mean() + 1.4
