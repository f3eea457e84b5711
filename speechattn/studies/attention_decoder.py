"""A decoder that attends to the encoder's vectors and writes one label after the other; and pooling.

Step t has the state s_t = LSTM([y_(t-1), c_(t-1)], s_(t-1)) and weighs the encoder's vectors h_j by

    a_t = softmax over j of  w . tanh(W s_t + V h_j + U f_tj)        c_t = sum over j of a_tj h_j

where f_t is a convolution over a_(t-1) and over the sum of all weights so far: scores depend on the
places that the decoder has attended to, so that it continues from there (location-aware attention:
Chorowski et al., 2015; the sum: Shen et al., 2018). The label comes from s_t and c_t; one of them,
the end, is the decoder's own, and begins strings too.

The poolings make one vector of a whole sequence: by attention with learned queries, or as the mean.
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
from speechattn.studies.head_config import DecoderHead


class State(NamedTuple):
    """What a step leaves to the next, for every string.

    Attributes:
        hidden, cell: of the LSTM, shape (strings, width).
        context: c, shape (strings, width of the vectors).
        looked: a and the sum of all a so far, shape (strings, 2, vectors).
    """

    hidden: Tensor
    cell: Tensor
    context: Tensor
    looked: Tensor


class AttentionDecoder(nn.Module):
    """The decoder.

    Args:
        width_in: of the encoder's vectors.
        num_labels: classes, the end not counted; it is class ``num_labels``.
        config: its shape.
    """

    def __init__(self, width_in: int, num_labels: int, config: DecoderHead):
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
        """Scores of every label and the end, given the true labels before (teacher forcing).

        Args:
            vectors: the encoder's, shape (batch, vectors, width_in).
            labels: shape (batch, longest string), negative beyond the end of each.
            lengths: vectors of each sequence, shape (batch,), when they differ.

        Returns:
            Shape (batch, longest string + 1, num_labels + 1), before the softmax.
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
        """Cross-entropy added up over the labels and the end of every string; see :meth:`forward`."""
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
    """The decoder on the vectors of one batch; :meth:`advance` serves a beam search on one sequence.

    Args:
        decoder: whose weights.
        vectors: shape (batch, vectors, width_in).
        lengths: vectors of each sequence, shape (batch,), when they differ; what lies beyond may be
            anything.

    Raises:
        ValueError: if a sequence has no vectors, or the lengths do not fit.
    """

    def __init__(self, decoder: AttentionDecoder, vectors: Tensor, lengths: Tensor | None = None):
        batch, count, _ = vectors.shape
        self._decoder, self._beyond = decoder, None
        if lengths is not None:
            check_lengths(lengths, batch, count)
            vectors = without_padding(vectors, lengths)
            self._beyond = ~valid_frames(lengths, count)
        if count == 0 or (lengths is not None and (lengths < 1).any()):
            raise ValueError("vectors: a sequence without any; there is nothing to attend to")
        self._vectors, self._keys = vectors, decoder.from_vector(vectors)
        width = decoder.cell.hidden_size
        nothing = vectors.new_zeros(batch, width)
        looked = vectors.new_zeros(batch, 2, count)
        looked[:, :, 0] = 1  # as if it came from the beginning
        self.state = State(nothing, nothing, vectors.new_zeros(batch, vectors.shape[2]), looked)

    def step(self, embedded: Tensor, state: State) -> State:
        """The state after one label more; embedded: shape (strings, width)."""
        decoder = self._decoder
        entered = torch.cat([embedded, state.context], -1)
        hidden, cell = decoder.cell(entered, (state.hidden, state.cell))
        located = decoder.from_looked(decoder.convolve(state.looked).transpose(1, 2))
        sums = self._keys + decoder.from_state(hidden)[:, None] + located
        energy = decoder.energy(torch.tanh(sums))[:, :, 0].float()
        if self._beyond is not None:
            energy = energy.masked_fill(self._beyond, -torch.inf)
        weights = energy.softmax(-1)
        context = torch.einsum("bt,btw->bw", weights, self._vectors)
        looked = torch.stack([weights, state.looked[:, 1] + weights], 1)
        return State(hidden, cell, context, looked)

    @torch.inference_mode()
    def advance(self, labels: Tensor, origin: Tensor) -> Tensor:
        """As :func:`speechattn.studies.ctc.beam_search` asks for it."""
        decoder, device = self._decoder, self._vectors.device
        before = State(*(part[origin.to(device)] for part in self.state))
        self.state = self.step(decoder.embed(labels.to(device)), before)
        seen = torch.cat([self.state.hidden, self.state.context], -1)
        return log_posteriors(decoder.classify(seen))


class AttentionPooling(nn.Module):
    """Every head weighs the vectors by a learned query and adds up its part of them.

    c_h = sum over t of a_ht x_ht, with a_h = softmax over t of u_h . x_ht / sqrt(d); the heads'
    parts of the vectors lie side by side (India, Safari and Hernando, 2019: Self multi-head
    attention for speaker recognition).

    Args:
        width: of the vectors.
        heads: must divide it.

    Raises:
        ValueError: if they do not.
    """

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        as_int("width", width, 1)
        if width % as_int("heads", heads, 1):
            raise ValueError(f"heads: {heads}; they must divide the width, {width}")
        self.query = nn.Parameter(torch.zeros(heads, width // heads))  # at first, the mean

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Pool.

        Args:
            x: shape (batch, vectors, width).
            lengths: vectors of each sequence, shape (batch,), when they differ; at least 1 each.

        Returns:
            Shape (batch, width).

        Raises:
            ValueError: if a sequence has no vector.
        """
        x = _checked(x, lengths)
        parts = x.unflatten(-1, (len(self.query), -1))
        weights = self.weights(parts, lengths)
        return torch.einsum("bth,bthd->bhd", weights, parts).flatten(1)

    def weights(self, parts: Tensor, lengths: Tensor | None) -> Tensor:
        """a, shape (batch, vectors, heads), of vectors (batch, vectors, heads, d)."""
        scores = (parts * self.query).sum(-1) / math.sqrt(self.query.shape[1])
        if lengths is not None:
            beyond = ~valid_frames(lengths, parts.shape[1])[:, :, None]
            scores = scores.masked_fill(beyond, -torch.inf)
        return scores.softmax(1)


class MeanPooling(nn.Module):
    """The mean of the vectors."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As :meth:`AttentionPooling.forward`."""
        x = _checked(x, lengths)
        if lengths is None:
            return x.mean(1)
        return x.sum(1) / lengths.to(x.device)[:, None]


def _checked(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Vectors, zeros beyond the lengths; raises ValueError if a sequence has none."""
    if lengths is not None:
        check_lengths(lengths, *x.shape[:2])
        x = without_padding(x, lengths)
    if x.shape[1] == 0 or (lengths is not None and (lengths < 1).any()):
        raise ValueError("x: a sequence without vectors; there is nothing to pool")
    return x
