"""Encoders with heads that label whole sequences: one label for each, or a string of labels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.checks import as_int
from speechattn.encoder.encoder import Encoder, log_posteriors
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.heads.attention_decoder import (
    AttentionDecoder,
    AttentionPooling,
    DecoderSession,
    MeanPooling,
)
from speechattn.heads.config import AnyHead, CtcHead, DecoderHead, LabelHead, check_head
from speechattn.heads.ctc import Hypothesis, beam_search, ctc_beam_search, ctc_greedy, ctc_loss


class LabelModel(Encoder):
    """Model of one label for each sequence: encoder, pooling, classifier.

    Args:
        input_dim: dimension of the frames.
        num_labels: number of classes.
        config: shape of the encoder.
        head: how the encoder's vectors are pooled.

    Raises:
        ConfigError: if the heads of the pooling do not divide the encoder's width.
        ValueError: if one of the numbers is no whole number from 1 on.
    """

    def __init__(
        self, input_dim: int, num_labels: int, config: AnyEncoderConfig, head: LabelHead
    ) -> None:
        check_head(head, config.width)
        as_int("num_labels", num_labels, 1)
        super().__init__(input_dim, config)
        self.head = head
        self.pool: AttentionPooling | MeanPooling = MeanPooling()
        if head.pooling == "attention":
            self.pool = AttentionPooling(config.width, head.heads)
        self.classify = nn.Linear(config.width, num_labels)

    def forward(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the scores of the labels, before the softmax.

        Args:
            frames: shape (batch, frames, input_dim).
            lengths: frames of each sequence, shape (batch,), when they differ.

        Returns:
            Scores, shape (batch, num_labels).

        Raises:
            ValueError: if :meth:`Encoder.vectors` raises it, or a sequence has no frames.
        """
        vectors = self.vectors(frames, lengths)
        return self.classify(
            self.pool(vectors, None if lengths is None else self.vector_lengths(lengths))
        )

    def outputs(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return what :meth:`loss` takes: the scores of :meth:`forward`."""
        return self(frames, lengths)

    def loss(
        self, outputs: Tensor, labels: Tensor, lengths: Tensor, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the cross-entropy, summed over a batch.

        Args:
            outputs: scores of :meth:`forward`, shape (batch, num_labels).
            labels: shape (batch, 1).
            lengths: frames of each sequence, shape (batch,); not used.
            label_smoothing: share of the target that is spread over all labels.
        """
        return F.cross_entropy(
            outputs.float(), labels[:, 0], label_smoothing=label_smoothing, reduction="sum"
        )


class StringModel(Encoder):
    """Model of label strings: encoder with CTC, an attention decoder, or both.

    Args:
        input_dim: dimension of the frames.
        num_labels: number of classes.
        config: shape of the encoder.
        head: CTC alone, or a decoder and the share of CTC in the loss.

    Raises:
        ValueError: if one of the numbers is no whole number from 1 on.
    """

    def __init__(
        self, input_dim: int, num_labels: int, config: AnyEncoderConfig, head: CtcHead | DecoderHead
    ) -> None:
        as_int("num_labels", num_labels, 1)
        super().__init__(input_dim, config)
        self.head = head
        self.classify = nn.Linear(config.width, num_labels + 1) if head.ctc_weight else None
        self.decoder = None
        if isinstance(head, DecoderHead):
            self.decoder = AttentionDecoder(config.width, num_labels, head)

    def ctc_log_probs(self, vectors: Tensor) -> Tensor:
        """Return log probabilities of labels and blank, (batch, vectors, num_labels + 1).

        Raises:
            ValueError: if the model has no CTC.
        """
        if self.classify is None:
            raise ValueError("head.ctc_weight: 0; this model has no CTC to decode")
        return log_posteriors(self.classify(vectors))

    def outputs(self, frames: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return what :meth:`loss` takes: the encoder's vectors, shape (batch, vectors, width)."""
        return self.vectors(frames, lengths)

    def loss(
        self, outputs: Tensor, labels: Tensor, lengths: Tensor, label_smoothing: float = 0.0
    ) -> Tensor:
        """Return the loss, summed over a batch.

        Args:
            outputs: vectors of the encoder, shape (batch, vectors, width).
            labels: shape (batch, longest string).
            lengths: frames of each sequence, shape (batch,).
            label_smoothing: share of the decoder's target that is spread over all labels.
        """
        counts, share = self.vector_lengths(lengths), self.head.ctc_weight
        vectors = outputs.float()  # the heads are small, so 16 bits would gain nothing
        losses: list[Tensor] = []
        if share:
            log_probs = self.ctc_log_probs(vectors)
            losses.append(share * ctc_loss(log_probs, labels, counts).sum())
        if self.decoder is not None:
            by_decoder = self.decoder.loss(vectors, labels, counts, label_smoothing)
            losses.append((1 - share) * by_decoder)
        return torch.stack(losses).sum()

    @torch.inference_mode()
    def each(self, frames: Tensor, lengths: Tensor | None = None) -> list[Tensor]:
        """Return the encoder's vectors of each sequence of a batch, shape (its vectors, width)."""
        vectors = self.vectors(frames, lengths)
        if lengths is None:
            return list(vectors)
        return [v[:n] for v, n in zip(vectors, self.vector_lengths(lengths).tolist())]

    @torch.inference_mode()
    def ctc_strings(self, vectors: Tensor, beam: int = 0) -> list[Hypothesis]:
        """Decode one sequence by CTC; return its strings, the best first.

        Args:
            vectors: vectors of the encoder, shape (vectors, width).
            beam: width of the prefix beam search; 0 takes the best class of every vector.
        """
        log_probs = self.ctc_log_probs(vectors[None])[0]
        return ctc_beam_search(log_probs, beam) if beam else [ctc_greedy(log_probs)]

    @torch.inference_mode()
    def decoder_strings(
        self,
        vectors: Tensor,
        beam: int = 8,
        length_power: float = 0.0,
        ctc_share: float = 0.0,
    ) -> list[Hypothesis]:
        """Decode one sequence by the attention decoder; return its strings, the best first.

        A string has at most as many labels as there are vectors; no real utterance has more. If no
        string ends within that limit, the result is the best unfinished one, with ``ended`` false.

        Args:
            vectors: vectors of the encoder, shape (vectors, width).
            beam: number of strings kept at every step; 1 takes the best label each time.
            length_power: see :func:`speechattn.heads.ctc.beam_search`.
            ctc_share: share of CTC in the scores that rank the strings found (rescoring: Watanabe
                et al., 2017); 0 for no rescoring.

        Raises:
            ValueError: if the model has no decoder, or no CTC for ``ctc_share``.
        """
        if self.decoder is None:
            raise ValueError("head.kind: ctc; this model has no attention decoder")
        session = DecoderSession(self.decoder, vectors[None])
        found = beam_search(
            session.advance,
            self.decoder.end,
            limit=len(vectors),
            beam=beam,
            length_power=length_power,
        )
        return self._rescored(vectors, found, ctc_share) if ctc_share else found

    def _rescored(self, vectors: Tensor, found: list[Hypothesis], share: float) -> list[Hypothesis]:
        """Add the score of CTC to each hypothesis, in proportion, and sort them anew."""
        log_probs = self.ctc_log_probs(vectors[None])
        rescored = []
        for hypothesis in found:
            labels = torch.tensor([hypothesis.labels], dtype=torch.long, device=vectors.device)
            try:
                by_ctc = -ctc_loss(log_probs, labels, torch.tensor([len(vectors)])).item()
            except ValueError:  # more labels than CTC can align with these vectors
                by_ctc = -float("inf")
            score = (1 - share) * hypothesis.score + share * by_ctc
            rescored.append(Hypothesis(hypothesis.labels, score, hypothesis.ended))
        return sorted(rescored, key=lambda h: h.score, reverse=True)


HeadModel = LabelModel | StringModel


def head_model(
    input_dim: int, num_labels: int, config: AnyEncoderConfig, head: AnyHead
) -> HeadModel:
    """Make the model of a head, with the arguments of its class."""
    if isinstance(head, LabelHead):
        return LabelModel(input_dim, num_labels, config, head)
    return StringModel(input_dim, num_labels, config, head)
