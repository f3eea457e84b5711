"""An encoder of attention with its classifier on NumPy arrays: recordings, and streams.

It computes what :class:`speechattn.encoder.encoder.PhoneClassifier` does in 8 bits, for inference
on CPUs: PyTorch takes longer to be imported than a short recording to be transcribed, and more
memory than the model. A recording gives the same numbers, to the last bit, alone, beside others,
and in chunks of any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from speechattn.encoder.array_layers import (
    ArrayAttention,
    ArrayFeedForward,
    ArraySubsampling,
    linear_of,
    norm_of,
)
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.shape import CLAMP, together


class ArrayEncoder:
    """An encoder with a classifier of frames.

    Args:
        arrays: from :func:`speechattn.encoder.array_weights.ready_arrays`.
        config: of the encoder, with the windows that it is to use.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], config: EncoderConfig) -> None:
        self.config = config
        self.mean, self._std = arrays["mean"], arrays["std"]
        self.subsample: ArraySubsampling | None = None
        first = 0
        if config.subsampling == "convolution":
            self.subsample = ArraySubsampling(arrays, "layers.0", config.stack, config.activation)
            first = 1
        else:
            self._enter = linear_of(arrays, "enter")
        self.blocks: list[tuple[ArrayAttention, ArrayFeedForward]] = []
        for block, window in enumerate(config.windows):
            left, right = (None if side is None else side // config.stack for side in window)
            attention, feedforward = (f"layers.{first + 2 * block + part}" for part in (0, 1))
            self.blocks.append(
                (
                    ArrayAttention(arrays, attention, config.heads, (left, right)),
                    ArrayFeedForward(arrays, feedforward, config.activation),
                )
            )
        self._norm, self._classify = norm_of(arrays, "norm"), linear_of(arrays, "classify")

    def scores(self, recordings: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute the scores of whole recordings.

        Args:
            recordings: frames of each, float32, shape (frames, dimension of the front end).

        Returns:
            Scores before the softmax, float32, shape (frames, phones) each.

        Raises:
            ValueError: if frames contain NaN or infinity, or have another shape.
        """
        stack, found = self.config.stack, []
        rows = [-(-len(frames) // stack) for frames in recordings]
        for part in together(rows):
            found += self._together(recordings[part], rows[part])
        return found

    def _together(self, recordings: Sequence[np.ndarray], rows: Sequence[int]) -> list[np.ndarray]:
        x = np.concatenate(
            [
                self.entered(self._stacked(self.normalise(frames), count))
                for frames, count in zip(recordings, rows)
            ]
        )
        ends = np.cumsum(rows)
        first = ends - rows
        sequences = np.stack([first, rows, first, rows], 1).astype(np.int64)
        if len(x):
            for attend, feed_forward in self.blocks:
                x = feed_forward(attend(x, sequences))
        scores = np.split(self.classified(x), ends[:-1] * self.config.stack)
        return [each[: len(frames)] for each, frames in zip(scores, recordings)]

    def stream(self) -> ArrayStream:
        """Return a stream that takes frames in chunks of any size."""
        return ArrayStream(self)

    def normalise(self, frames: np.ndarray, first: int = 0) -> np.ndarray:
        """Return frames with zero mean and unit deviation, clamped to ``CLAMP`` deviations.

        Args:
            frames: float32, shape (frames, dimension of the front end).
            first: number of the first of them, in a stream.

        Raises:
            ValueError: if they contain NaN or infinity (the message names the frame), or have
                another shape.
        """
        if frames.ndim != 2 or frames.shape[1] != len(self.mean):
            raise ValueError(f"frames: shape {frames.shape}; (frames, {len(self.mean)})")
        frames = np.asarray(frames, np.float32)
        with np.errstate(all="ignore"):
            total = frames.sum(dtype=np.float32)
        if not np.isfinite(total):
            wrong = np.argwhere(~np.isfinite(frames))
            if len(wrong):
                frame, number = wrong[0]
                raise ValueError(
                    f"frames: {frames[frame, number]} at number {number} of frame "
                    f"{first + frame}; the input must be finite numbers"
                )
        with np.errstate(over="ignore"):
            x = (frames - self.mean) / self._std
        return x.clip(-CLAMP, CLAMP, out=x)

    def _stacked(self, x: np.ndarray, rows: int) -> np.ndarray:
        """Return frames in rows of ``stack``, with zeros at the end."""
        stack = self.config.stack
        if rows * stack != len(x):
            x = np.concatenate([x, np.zeros((rows * stack - len(x), x.shape[1]), np.float32)])
        return x.reshape(rows, stack * x.shape[1])

    def entered(self, x: np.ndarray) -> np.ndarray:
        """Return the vectors of stacked frames of a whole recording."""
        if self.subsample is None:
            return self._enter.product(x)
        if not len(x):
            return np.empty((0, self.config.width), np.float32)
        around = np.zeros((1, x.shape[1]), np.float32)
        return self.subsample(np.concatenate([around, x, around]))

    def classified(self, x: np.ndarray) -> np.ndarray:
        """Return the scores of the frames of vectors, shape (vectors * stack, phones)."""
        phones = self._classify.outputs // self.config.stack
        return self._classify.product(self._norm.rows(x)).reshape(-1, phones)


class ArrayStream:
    """The state between two chunks of one recording."""

    def __init__(self, model: ArrayEncoder) -> None:
        self._model = model
        dim = len(model.mean)
        self._waiting = np.empty((0, dim), np.float32)  # normalised, do not fill a stack yet
        self._seen: np.ndarray | None = None  # stacked frames that the next vectors still see
        if model.subsample is not None:
            self._seen = np.zeros((1, dim * model.config.stack), np.float32)
        self._attention = [_AttentionStream(attention) for attention, _ in model.blocks]
        self._received = self._returned = 0
        self._ended = False

    def push(self, frames: np.ndarray, last: bool = False) -> np.ndarray:
        """Process frames and return the scores that are complete.

        Args:
            frames: float32, shape (new frames, dimension of the front end).
            last: whether these frames are the last; everything is returned then.

        Returns:
            float32, shape (complete frames, phones), scores before the softmax.

        Raises:
            ValueError: as :meth:`ArrayEncoder.normalise`, or if the last frames have been pushed
                already. The stream is then unchanged.
        """
        model = self._model
        if self._ended:
            raise ValueError("frames: this stream has had its last ones; make another one")
        x = model.normalise(frames, self._received)
        self._ended = last
        self._received += len(frames)
        x = self._entered(np.concatenate([self._waiting, x]), last)
        for state, (_, feed_forward) in zip(self._attention, model.blocks):
            x = state.push(x, last)
            if len(x):
                x = feed_forward(x)
        scores = model.classified(x)
        if last:
            scores = scores[: self._received - self._returned]
        self._returned += len(scores)
        return scores

    def _entered(self, x: np.ndarray, last: bool) -> np.ndarray:
        """Return the vectors that are complete, of normalised frames."""
        model, stack = self._model, self._model.config.stack
        rows = -(-len(x) // stack) if last else len(x) // stack
        self._waiting = x[rows * stack :]
        x = model._stacked(x[: rows * stack], rows)
        if self._seen is None or model.subsample is None:
            return model.entered(x)
        ends = [np.zeros((1, x.shape[1]), np.float32)] if last else []
        x = np.concatenate([self._seen, x, *ends])
        self._seen = x[-2:]
        if len(x) < 3:
            return np.empty((0, model.config.width), np.float32)
        return model.subsample(x)


class _AttentionStream:
    """The rows that later ones still see, and those that wait for what they see.

    Rows lie in one piece of memory with room for as many again: to join them anew for each chunk
    would copy all of them every time.
    """

    def __init__(self, layer: ArrayAttention) -> None:
        self._layer = layer
        self._projected: np.ndarray | None = None  # with room for more
        self._inputs: np.ndarray | None = None  # of the rows that wait
        self._start = self._end = 0
        self._done = 0  # of the rows that are there

    def push(self, x: np.ndarray, last: bool) -> np.ndarray:
        """Take the next rows, and return those that are complete with what the layer adds."""
        left, right = self._layer.window
        if len(x):
            self._append(self._layer.projected(x))
        if self._inputs is not None and len(self._inputs):
            x = np.concatenate([self._inputs, x])
        count = len(x) if last else 0 if right is None else max(0, len(x) - right)
        self._inputs = x[count:]
        if not count:
            return x[:0]
        assert self._projected is not None  # what is complete has been projected
        rows = self._projected[self._start : self._end]
        y = self._layer.of_rows(x[:count], rows, self._done)
        done = self._done + count
        self._done = done if left is None else min(done, left)
        self._start += done - self._done
        return y

    def _append(self, rows: np.ndarray) -> None:
        kept, new = self._end - self._start, len(rows)
        if self._projected is None or self._end + new > len(self._projected):
            memory = np.empty((2 * (kept + new), rows.shape[1]), rows.dtype)
            if self._projected is not None:
                memory[:kept] = self._projected[self._start : self._end]
            self._projected, self._start, self._end = memory, 0, kept
        self._projected[self._end : self._end + new] = rows
        self._end += new
