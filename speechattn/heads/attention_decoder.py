"""Attention decoder, which writes one label after another, and pooling of a sequence to a vector.

Step t has the state s_t = LSTM([y_(t-1), c_(t-1)], s_(t-1)) and weighs the encoder's vectors h_j by

    a_t = softmax over j of  w . tanh(W s_t + V h_j + U f_tj)        c_t = sum over j of a_tj h_j

where f_t is a convolution over a_(t-1) and over the sum of all earlier weights. The scores depend
on where the decoder has attended, so that it continues from there (location-aware attention:
Chorowski et al., 2015; the sum: Shen et al., 2018). The next label is predicted from s_t and c_t.
Beside the classes there is one more label, the end, which also stands before every string.

The poolings turn a sequence into one vector: by attention with learned queries, or by the mean.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from speechattn.attention.masks import valid_frames, without_padding
from speechattn.checks import as_int, check_lengths
from speechattn.encoder.encoder import log_posteriors
from speechattn.encoder.layers import SequenceDropout
from speechattn.heads.config import DecoderHead


class State(NamedTuple):
    """State of the decoder after a step, for every string.

    Attributes:
        hidden, cell: state of the LSTM, shape (strings, width).
        context: c, shape (strings, width of the vectors).
        looked: a, and the sum of all a so far, shape (strings, 2, vectors).
    """

    hidden: Tensor
    cell: Tensor
    context: Tensor
    looked: Tensor


class AttentionDecoder(nn.Module):
    """Attention decoder; see the module for its equations.

    Args:
        width_in: width of the encoder's vectors.
        num_labels: number of classes without the end, which is class ``num_labels``.
        config: shape of the decoder.
    """

    def __init__(self, width_in: int, num_labels: int, config: DecoderHead) -> None:
        super().__init__()
        self.end = num_labels
        self.embed = nn.Embedding(num_labels + 1, config.width)
        self.cell = nn.LSTMCell(config.width + width_in, config.width)
        self.from_state = nn.Linear(config.width, config.attention, bias=False)
        self.from_vector = nn.Linear(width_in, config.attention)
        self.convolve = nn.Conv1d(
            2, config.channels, config.kernel, padding=config.kernel // 2, bias=False
        )
        self.from_looked = nn.Linear(config.channels, config.attention, bias=False)
        self.energy = nn.Linear(config.attention, 1, bias=False)
        self.dropout = SequenceDropout(config.dropout)
        self.classify = nn.Linear(config.width + width_in, num_labels + 1)

    def forward(self, vectors: Tensor, labels: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the scores of all labels and the end after each true prefix (teacher forcing).

        Args:
            vectors: vectors of the encoder, shape (batch, vectors, width_in).
            labels: shape (batch, longest string), negative after the end of a string.
            lengths: vectors of each sequence, shape (batch,), when they differ.

        Returns:
            Scores before the softmax, shape (batch, longest string + 1, num_labels + 1).
        """
        session = DecoderSession(self, vectors, lengths)
        begin = labels.new_full((len(labels), 1), self.end)
        before = torch.cat([begin, labels.masked_fill(labels < 0, self.end)], 1)
        embedded = self.dropout(self.embed(before))
        state, seen = session.state, []
        for step in embedded.unbind(1):
            state = session.step(step, state)
            seen.append(torch.cat([state.hidden, state.context], -1))
        return self.classify(self.dropout(torch.stack(seen, 1)))

    def loss(
        self, vectors: Tensor, labels: Tensor, lengths: Tensor | None, smoothing: float = 0.0
    ) -> Tensor:
        """Return the cross-entropy, summed over the labels and the end of every string.

        See :meth:`forward`.
        """
        scores = self(vectors, labels, lengths)
        ended = F.pad(labels.masked_fill(labels < 0, -1), (0, 1), value=-1)
        ended = ended.scatter(1, (labels >= 0).sum(1, keepdim=True), self.end)
        return F.cross_entropy(
            scores.flatten(0, 1).float(),
            ended.flatten(),
            ignore_index=-1,
            label_smoothing=smoothing,
            reduction="sum",
        )


class DecoderSession:
    """The decoder at work on the vectors of one batch.

    :meth:`step` serves training. :meth:`advance` serves beam search, on a batch of one sequence.

    Args:
        decoder: the decoder.
        vectors: shape (batch, vectors, width_in).
        lengths: vectors of each sequence, shape (batch,), when they differ; the padding may hold
            anything.

    Raises:
        ValueError: if a sequence has no vectors, or the lengths do not fit.
    """

    def __init__(
        self, decoder: AttentionDecoder, vectors: Tensor, lengths: Tensor | None = None
    ) -> None:
        batch, count, _ = vectors.shape
        self._decoder = decoder
        self._padding: Tensor | None = None
        if lengths is not None:
            check_lengths(lengths, batch, count)
            vectors = without_padding(vectors, lengths)
            self._padding = ~valid_frames(lengths, count)
        if count == 0 or (lengths is not None and (lengths < 1).any()):
            raise ValueError("vectors: a sequence without any; there is nothing to attend to")
        self._vectors, self._keys = vectors, decoder.from_vector(vectors)
        width = decoder.cell.hidden_size
        zeros = vectors.new_zeros(batch, width)
        looked = vectors.new_zeros(batch, 2, count)
        looked[:, :, 0] = 1  # as if it had attended to the first vector
        self.state = State(zeros, zeros, vectors.new_zeros(batch, vectors.shape[2]), looked)

    def step(self, embedded: Tensor, state: State) -> State:
        """Return the state after one more label, given its embedding, shape (strings, width)."""
        decoder = self._decoder
        entered = torch.cat([embedded, state.context], -1)
        hidden, cell = decoder.cell(entered, (state.hidden, state.cell))
        located = decoder.from_looked(decoder.convolve(state.looked).transpose(1, 2))
        sums = self._keys + decoder.from_state(hidden)[:, None] + located
        energy = decoder.energy(torch.tanh(sums))[:, :, 0].float()
        if self._padding is not None:
            energy = energy.masked_fill(self._padding, -torch.inf)
        weights = energy.softmax(-1)
        context = torch.einsum("bt,btw->bw", weights, self._vectors)
        looked = torch.stack([weights, state.looked[:, 1] + weights], 1)
        return State(hidden, cell, context, looked)

    @torch.inference_mode()
    def advance(self, labels: Tensor, origin: Tensor) -> Tensor:
        """Return log probabilities of the next labels, for ``beam_search`` in ``heads.ctc``."""
        decoder, device = self._decoder, self._vectors.device
        before = State(*(part[origin.to(device)] for part in self.state))
        self.state = self.step(decoder.embed(labels.to(device)), before)
        seen = torch.cat([self.state.hidden, self.state.context], -1)
        return log_posteriors(decoder.classify(seen))


class AttentionPooling(nn.Module):
    """Weighted sum of the vectors of a sequence, with weights by a learned query for each head.

        c_h = sum over t of a_ht x_ht,    a_h = softmax over t of u_h . x_ht / sqrt(d)

    x_ht is the part of vector t that belongs to head h (India, Safari and Hernando, 2019: Self
    multi-head attention for speaker recognition).

    Args:
        width: width of the vectors.
        heads: number of heads; it must divide the width.

    Raises:
        ValueError: if it does not.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        as_int("width", width, 1)
        if width % as_int("heads", heads, 1):
            raise ValueError(f"heads: {heads}; they must divide the width, {width}")
        self.query = nn.Parameter(
            torch.zeros(heads, width // heads)
        )  # zero at first, which is the mean

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool each sequence to one vector.

        Args:
            x: shape (batch, vectors, width).
            lengths: vectors of each sequence, shape (batch,), when they differ; at least 1 each.

        Returns:
            Vectors, shape (batch, width).

        Raises:
            ValueError: if a sequence has no vector.
        """
        x = _checked(x, lengths)
        parts = x.unflatten(-1, (len(self.query), -1))
        weights = self.weights(parts, lengths)
        return torch.einsum("bth,bthd->bhd", weights, parts).flatten(1)

    def weights(self, parts: Tensor, lengths: Tensor | None) -> Tensor:
        """Return a, shape (batch, vectors, heads), for parts (batch, vectors, heads, d)."""
        scores = (parts * self.query).sum(-1) / math.sqrt(self.query.shape[1])
        if lengths is not None:
            padding = ~valid_frames(lengths, parts.shape[1])[:, :, None]
            scores = scores.masked_fill(padding, -torch.inf)
        return scores.softmax(1)


class MeanPooling(nn.Module):
    """Mean of the vectors of a sequence."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool each sequence to one vector; see :meth:`AttentionPooling.forward`."""
        x = _checked(x, lengths)
        if lengths is None:
            return x.mean(1)
        return x.sum(1) / lengths.to(x.device)[:, None]


def _checked(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Return the vectors with zeros for padding; raise ValueError if a sequence has none."""
    if lengths is not None:
        check_lengths(lengths, *x.shape[:2])
        x = without_padding(x, lengths)
    if x.shape[1] == 0 or (lengths is not None and (lengths < 1).any()):
        raise ValueError("x: a sequence without vectors; there is nothing to pool")
    return x
