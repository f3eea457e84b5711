"""Recognizer of models that label whole recordings: one label each, or a string of labels.

Such models know nothing of times. What they find is one segment as long as the recording, whose
label is the label, or the string with spaces between its labels. All output formats can hold it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np
import torch

from speechattn.audio.features import FrontEnd
from speechattn.audio.source import LocalSource
from speechattn.errors import ConfigError, ModelError
from speechattn.heads.ctc import Hypothesis
from speechattn.heads.models import LabelModel, StringModel
from speechattn.inference.describe import encoder_summary
from speechattn.inference.head_checkpoint import HeadCheckpoint
from speechattn.inference.reading import (
    Audio,
    OnPosteriors,
    OnSamples,
    PassMonitor,
    open_recording,
    transcribe_each,
    with_frames,
)
from speechattn.inference.transcription import Prepared, TranscribeOptions, Transcription
from speechattn.options import FORMS, READINGS
from speechattn.phones import PhoneSet, arpabet
from speechattn.segments import Segment

if TYPE_CHECKING:
    from speechattn.inference.recognizer import Recognizer

ONE_LABEL, STRING = "one label for each recording", "a string of labels for each recording"


@dataclass(frozen=True)
class LabelSet(PhoneSet):
    """Labels of any kind, in which no silence need be; see :class:`~speechattn.phones.PhoneSet`."""

    silence: str = ""

    def __post_init__(self) -> None:
        pass  # a word or a sentence may be a label

    def labels(self, kind: str = "arpabet") -> tuple[str, ...]:
        """See :meth:`speechattn.phones.PhoneSet.labels`; only ARPAbet phones have IPA."""
        if kind != "ipa":
            return self.names
        ipa = arpabet().ipa
        for name in self.names:
            if name not in ipa:
                raise ConfigError(
                    f"labels: no IPA for {name!r}; this model does not write ARPAbet phones, use "
                    "its own labels"
                )
        return tuple(ipa[name] for name in self.names)


class SequenceRecognizer:
    """A loaded model of labels, or of strings of labels.

    It has the methods of :class:`~speechattn.inference.recognizer.Recognizer`. A transcription has
    one segment, whose confidence is the probability of the label; of a string, the geometric mean
    of the probabilities of its labels. Other strings have their share of the probability of all
    that the search kept. What needs posteriors of frames is refused.

    Args:
        sequence: the model.
        device: where it computes.

    Attributes:
        sequence: the model.
        device: name of the device where it computes.
        precision: ``"fp32"``.
        gains_by_threads: as of :class:`~speechattn.inference.recognizer.Recognizer`.
    """

    gains_by_threads = False

    def __init__(self, sequence: HeadCheckpoint, device: str | torch.device) -> None:
        self.sequence, self.device, self.precision = sequence, str(device), "fp32"
        self._front_end = FrontEnd(sequence.front_end)
        self.phones = LabelSet(sequence.labels)

    @property
    def checkpoint(self) -> NoReturn:
        """Not there: only models of phones with times have one.

        Raises:
            ModelError: always.
        """
        raise ModelError(self._refusal("will do here"))

    def free_loaded_weights(self) -> None:
        """Nothing: the weights in use are those that were loaded."""

    @property
    def look_ahead_ms(self) -> None:
        """None: the whole recording is needed."""
        return None

    def stream(self, **_: Any) -> NoReturn:
        """Not possible.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(self._refusal("can stream"))

    def log_posteriors(self, blocks: object) -> NoReturn:
        """Not possible.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(self._refusal("has posteriors of frames"))

    def _refusal(self, what: str) -> str:
        kind = ONE_LABEL if isinstance(self.sequence.model, LabelModel) else STRING
        return f"{self.sequence.name}: writes {kind}, without times; only a model of phones {what}"

    def transcribe(
        self,
        audio: Audio,
        *,
        sample_rate: int | None = None,
        channel: int | str | None = None,
        posteriors: bool = False,
        labels: str = "arpabet",
        alternatives: int = 0,
        words: bool = False,
        forms: str = FORMS[0],
        on_posteriors: OnPosteriors | None = None,
        on_samples: OnSamples | None = None,
    ) -> Transcription | list[Transcription]:
        """Label a recording; see :meth:`speechattn.inference.recognizer.Recognizer.transcribe`.

        Args:
            audio: a path or an open binary file, or samples of shape (n,) or (channels, n).
            sample_rate: Hz; needed with samples, refused with a file.
            channel: counted from 0; None mixes all of them; ``"all"`` labels each by itself.
            posteriors, words, forms, on_posteriors: must be as they are by default; there are no
                posteriors and no words.
            labels: ``"arpabet"`` for the model's own, ``"ipa"`` for IPA.
            alternatives: how many other labels or strings to give, the most probable first.
            on_samples: as for :class:`~speechattn.audio.load.AudioFile`.

        Raises:
            AudioError: if the audio cannot be read or trusted.
            UsageError: if an argument is missing or out of range.
            ConfigError: if the model has no IPA for its labels, or cannot do what is asked.
        """
        options = TranscribeOptions(channel, posteriors, labels, alternatives, words, forms)
        asked = {
            "posteriors": posteriors,
            "words": words,
            "forms": options.needs_words,
            "on_posteriors": on_posteriors,
        }
        for name, value in asked.items():
            if value:
                raise ConfigError(self._refusal(f"has what {name} asks for"))
        found = transcribe_each(
            cast("Recognizer", self),  # which has the same methods
            audio,
            options,
            PassMonitor(on_samples=on_samples),
            sample_rate=sample_rate,
        )
        return found if options.every_channel else found[0]

    def check(self, options: TranscribeOptions, *, posteriors: bool = False) -> None:
        """Check that the model can do what is asked.

        Args:
            options: how recordings are to be transcribed.
            posteriors: whether posteriors of frames are wanted, which it does not have.

        Raises:
            ConfigError: if it has no IPA for its labels, or words or posteriors are asked for.
        """
        if posteriors:
            raise ConfigError(self._refusal("has posteriors of frames"))
        self.phones.labels(options.labels)
        if options.needs_words:
            raise ConfigError(self._refusal("has words"))

    def prepare(
        self,
        audio: Audio | LocalSource,
        options: TranscribeOptions,
        *,
        sample_rate: int | None = None,
        on_samples: OnSamples | None = None,
    ) -> Prepared:
        """Read and frame a recording; see the same method of ``Recognizer``.

        Raises:
            AudioError: if the audio cannot be read or trusted, as far as it has been read.
            UsageError: if ``sample_rate`` is missing, or given with a file.
            ConfigError: if the model has no IPA for its labels, or words are asked for.
        """
        self.check(options)
        names = self.phones.labels(options.labels)
        prepared = open_recording(audio, options, names, sample_rate, on_samples)
        return with_frames(prepared, self._front_end)

    def encode_short(self, prepared: Prepared) -> np.ndarray | None:
        """Return what :meth:`encode` gives of one short recording; None of a long one."""
        return None if prepared.frames is None else self.encode([prepared.frames])[0]

    @torch.inference_mode()
    def encode(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute what :meth:`finish` takes, of whole recordings.

        Args:
            recordings: frames of each, shape (frames, dimension of the front end).

        Returns:
            Of a model of labels, their log probabilities, shape (labels,); of a model of strings,
            the encoder's vectors, shape (vectors, width).
        """
        model = self.sequence.model
        encoded = []
        for frames in recordings:
            batch = torch.as_tensor(frames)[None].to(self.device)
            if isinstance(model, LabelModel):
                encoded.append(model(batch)[0].float().log_softmax(-1).cpu().numpy())
            else:
                encoded.append(model.each(batch)[0].cpu().numpy())
        return encoded

    def finish(
        self,
        prepared: Prepared,
        log_posteriors: np.ndarray | None,
        on_posteriors: OnPosteriors | None = None,
    ) -> Transcription:
        """Label a recording; the last of the three steps of :meth:`transcribe`.

        The frames of a long recording are in memory together, 60 MB an hour.

        Args:
            prepared: from :meth:`prepare`; its file is closed.
            log_posteriors: from :meth:`encode` for a short recording; None for a long one.
            on_posteriors: must be None.

        Raises:
            AudioError: if the rest of a long recording cannot be read or trusted.
            ConfigError: if posteriors are asked for.
        """
        if on_posteriors is not None:
            raise ConfigError(self._refusal("has posteriors of frames"))
        try:
            if log_posteriors is None:
                (log_posteriors,) = self.encode([self._frames_of(prepared)])
        finally:
            prepared.close()
        found = self._found(log_posteriors, prepared.names)
        (label, confidence), *others = found
        alternatives = tuple(others[: prepared.options.alternatives])
        segment = Segment(label, 0.0, prepared.duration, confidence, alternatives)
        return Transcription(
            [segment],
            prepared.duration,
            prepared.sample_rate,
            prepared.names,
            channel=prepared.options.one_channel,
        )

    def _frames_of(self, prepared: Prepared) -> np.ndarray:
        stream = self._front_end.stream()
        pieces = [stream.push(block) for block in prepared.blocks]
        return np.concatenate([*pieces, stream.finish()])

    def _found(self, encoded: np.ndarray, names: tuple[str, ...]) -> list[tuple[str, float]]:
        """Return labels or strings, the most probable first, and how probable they are."""
        model = self.sequence.model
        if isinstance(model, LabelModel):
            order = np.argsort(-encoded, kind="stable")
            return [(names[i], math.exp(encoded[i])) for i in order]
        best = self._strings(model, torch.from_numpy(encoded).to(self.device))
        scores = torch.tensor([each.score for each in best], dtype=torch.float64)
        strings = [" ".join(names[i] for i in each.labels) for each in best]
        mean = min(1.0, math.exp(best[0].score / max(1, len(best[0].labels))))
        return list(zip(strings, [mean, *scores.softmax(0).tolist()[1:]]))

    def _strings(self, model: StringModel, vectors: torch.Tensor) -> list[Hypothesis]:
        search = self.sequence.search
        if model.decoder is None:
            return model.ctc_strings(vectors, search.ctc_beam)
        share = search.ctc_share if model.classify is not None else 0.0
        return model.decoder_strings(vectors, search.beam, search.length_power, share)

    def describe(self) -> dict[str, Any]:
        """Describe the model for people: what it writes, its labels, shape, training, card."""
        sequence, model = self.sequence, self.sequence.model
        one = isinstance(model, LabelModel)
        head = model.head
        return {
            "name": sequence.name,
            "writes": ONE_LABEL if one else STRING,
            "weights": model.num_weights,
            "labels": list(sequence.labels),
            **encoder_summary(model.config, sequence.front_end),
            "head": {"kind": head.kind, **head.to_dict()},
            **({} if one else {"search": asdict(sequence.search)}),
            "training": sequence.training,
            "device": str(self.device),
            "card": sequence.card,
        }


def load_sequence(
    folder: Path,
    device: str | torch.device,
    precision: str = "fp32",
    window: tuple[int, int] | None = None,
    lm_scale: float | None = None,
    reading: str = READINGS[0],
) -> SequenceRecognizer:
    """Load a model; see :func:`speechattn.load_model`.

    Raises:
        ModelError: if it is damaged.
        ConfigError: if it was not trained for such a window, or another setting is one that it has
            no use for.
    """
    checkpoint = HeadCheckpoint.load(folder, device)
    only = f"{checkpoint.name}: labels whole recordings"
    if precision not in ("auto", "fp32"):
        raise ConfigError(f"{only}, and in fp32 only; precision {precision!r} is not possible")
    if lm_scale is not None or reading != READINGS[0]:
        name = "reading" if lm_scale is None else "lm_scale"
        raise ConfigError(f"{only}, and has no language model; leave out {name}")
    if window is not None:
        checkpoint.model.config.check_window(window)
        checkpoint.model.set_window(window)
    return SequenceRecognizer(checkpoint, device)
