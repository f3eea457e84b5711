"""From frame posteriors to phones with times: Viterbi search, as the frames come in.

The score of a segmentation into phones p1 ... pn of d1 ... dn frames, in nats, is the sum of

- ``log_posterior - prior_scale * log_prior`` of its phone, for every frame;
- ``bigram_scale`` times ``log_initial[p1]``, ``log_bigram[p, q]`` for each pair of neighbours, and
  ``log_final[pn]``; where the phone model has n-grams, the log probability of each phone after the
  up to n - 1 phones before it takes the place of ``log_bigram[p, q]``
  (:mod:`speechattn.decoder.lm.ngrams`);
- where the phone model has words (:mod:`speechattn.decoder.lm.word_lm`), ``word_scale`` times the log probability
  of each after those before takes the place of that, but for what is spelled: phones that are no
  word cost ``word_scale * unknown_word`` once, and then what the n-grams say;
- ``duration_scale * ((d - m) * log_stay[p] + log_leave[p])`` for each phone, m its minimum;
- ``-insertion_penalty`` for each phone after the first.

The decoder finds the best segmentation with no phone shorter than its minimum (Viterbi 1967).
With a ``beam`` it gives up after every frame the readings that score lower than the best one by
more; the best of those that could end there stays. What it finds may then not be the best, which
with a beam of some 12 nats is rare. Edge cases, by definition:

- In a recording of fewer frames than the longest minimum, minima count as at most its length, so
  that every phone is possible; a single frame gets its best phone.
- If ``log_final`` forbids every phone the recording can end with, it is left out.
- Log posteriors below -1000, -inf included, count as -1000.
"""

from __future__ import annotations

import copy
import math
from weakref import WeakKeyDictionary

import numpy as np

from speechattn.decoder.lm.ngrams import Tables
from speechattn.decoder.lm.phone_model import PhoneModel
from speechattn.decoder.lm.word_lm import Network
from speechattn.decoder.options import DecoderOptions, Evidence, with_confidences
from speechattn.segments import FrameRun

BLOCK_FRAMES = 8192  # frames checked and copied at a time
ROOM = 4096  # history nodes at first; grows only while hypotheses disagree about a long past
TOKENS = 512  # at first; grows where more hypotheses are kept apart
LARGEST_LOG_POSTERIOR = 1e-3  # nats; rounding may leave a little more than 0
# Of each phone model: slots for all states (speechattn.decoder.viterbi.advance), all NO_TOKEN, in nobody's use.
_IDLE_SLOTS: WeakKeyDictionary[PhoneModel, list[np.ndarray]] = WeakKeyDictionary()


class Decoder:
    """Decodes one recording after another, each pushed in pieces of any size.

    How a recording is cut into pieces does not change the result, only when it is known. Memory
    does not grow with the recording as long as the phone model allows every pair of phones.

    Args:
        model: phone model of P phones.
        options: weights, the default ones if None.
    """

    def __init__(self, model: PhoneModel, options: DecoderOptions | None = None) -> None:
        # Here and not above: it imports Numba, which takes most of a second.
        from speechattn.decoder import token_passing, viterbi

        options = options or DecoderOptions()
        self._names, self._pass_tokens = token_passing, viterbi.advance
        self._collect_nodes = viterbi.collect
        self._model, self._options = model, options
        self._beam = math.inf if options.beam is None else float(options.beam)
        self._log_prior = options.prior_scale * model.log_prior
        self._stay = options.duration_scale * model.log_stay
        self._ends = options.duration_scale * model.log_leave
        self._leave = self._ends - options.insertion_penalty
        self._initial = _scaled(model.log_initial, options.bigram_scale)
        self._final = _scaled(model.log_final, options.bigram_scale)
        if model.ngrams is None:
            # Scaled here and not as it is read, for what is impossible stays so even at 0.
            bigram = _scaled(model.log_bigram, options.bigram_scale)
            self._tables, self._scale = Tables.of_bigram(bigram), 1.0
        else:
            self._tables, self._scale = model.ngrams.tables, float(options.bigram_scale)
        known = model.words is not None and options.word_scale > 0
        self._network = model.words.network if known else Network.empty()
        price = options.word_scale * options.unknown_word
        silence, most = (model.words.silence, model.words.most_jumps) if known else (0, 0)
        settings = options.word_scale, price, silence, self._num_spelled, most
        self._words = np.array(settings, dtype=np.float64)
        self._reset()

    @property
    def num_frames(self) -> int:
        """Frames of the present recording pushed so far."""
        return int(self._count[self._names.FRAME]) + len(self._head)

    @property
    def num_pending(self) -> int:
        """Size of the history kept for what is not final yet, in segments."""
        return int(self._count[self._names.NODES])

    def boundaries(self) -> np.ndarray:
        """Frames where a run that is not final yet may begin or end, int64, sorted.

        Those of all readings that are left, the newest frame's end among them. Who sums something
        up over runs need remember it at these frames only.
        """
        if not self._started:
            return np.arange(self.num_frames + 1)
        places = self._nodes[: self.num_pending, 1:3]  # start and end
        starts = self._token[: self._num_tokens, self._names.BEGIN]
        return np.unique(np.concatenate([[self.num_frames], starts, places], axis=None))

    def push(self, log_posteriors: np.ndarray) -> list[FrameRun]:
        """Take in the next frames of the recording.

        Args:
            log_posteriors: natural logarithms of the posteriors, shape (frames, P).

        Returns:
            Runs that follow those returned before and can no longer change. Confidences come
            out of the mean posteriors of their frames (:mod:`speechattn.decoder.options`).

        Raises:
            ValueError: for another shape, NaN, or values above 0; nothing is taken in then.
        """
        frames = np.asarray(log_posteriors)
        self._check(frames)
        if not self._started:
            # Whether minima must be shortened is known only once the longest one has gone by.
            longest = int(self._model.min_frames.max())
            self._head = np.concatenate([self._head, frames[:longest].astype(np.float32)])
            frames = frames[longest:]
            if len(self._head) + len(frames) < longest:
                return []
            head, self._head = self._head, self._head[:0]
            self._start(self._model.min_frames)
            return self._advance(head) + self._advance(frames)
        return self._advance(frames)

    def finish(self) -> list[FrameRun]:
        """End the recording.

        Returns:
            The runs not returned before; with them, the runs cover all frames pushed. The decoder
            is then ready for another recording.
        """
        runs = []
        if len(self._head):
            head, self._head = self._head, self._head[:0]
            self._start(np.minimum(self._model.min_frames, len(head)))
            runs += self._advance(head)
        if self._started:
            token = self._token[: self._num_tokens]
            ready = np.flatnonzero(token[:, self._names.LACKS] == 0)
            phones = token[ready, self._names.SPOKEN]
            scores = self._score[ready] + self._ends[phones]
            ended = scores + self._final[phones]
            scores = scores if np.isneginf(ended).all() else ended
            runs += self._trace_back(int(ready[np.argmax(scores)]))
            self._slot[token[:, self._names.STATE], self._names.HELD] = self._names.NO_TOKEN
            _IDLE_SLOTS.setdefault(self._model, []).append(self._slot)
        self._reset()
        return runs

    def partial(self) -> list[FrameRun]:
        """The best reading so far of what no returned run covers; it may still change.

        Returns:
            Runs from where those returned end to the newest frame, the last one perhaps shorter
            than its minimum; none before the longest minimum has gone by.
        """
        if not self._started:
            return []
        return self._trace_back(int(np.argmax(self._score[: self._num_tokens])))

    @property
    def _num_spelled(self) -> int:
        """States of the n-grams; those of the words follow."""
        return len(self._tables.best)

    @property
    def _num_tokens(self) -> int:
        return int(self._count[self._names.TOKENS])

    def _reset(self) -> None:
        num_phones = self._model.num_phones
        self._started = False
        self._head = np.empty((0, num_phones), np.float32)  # frames before the search begins
        self._count = np.zeros(4, np.int64)
        self._evidence = Evidence(self._model.silence)

    def _start(self, min_frames: np.ndarray) -> None:
        """Set up the search; the arrays are described in :func:`speechattn.decoder.viterbi.advance`."""
        num_phones = self._model.num_phones
        self._started = True
        self._min_frames = np.ascontiguousarray(min_frames)
        self._seen = np.zeros(num_phones)
        room = max(TOKENS, num_phones)
        self._token = np.empty((room, 6), np.int64)
        self._score, self._before = np.empty(room), np.empty(room)
        self._slot = self._borrow_slots()
        room = max(ROOM, 4 * num_phones)
        self._nodes, self._confidence = np.empty((room, 4), np.int64), np.empty(room)

    def _borrow_slots(self) -> np.ndarray:
        """Those of a decoder that has come to an end, or new ones: to fill them takes a while."""
        num_states = self._num_spelled + self._network.num_states
        try:
            slots = _IDLE_SLOTS[self._model].pop()
        except LookupError:
            slots = ()
        if len(slots) == num_states:  # of the words or without them, as here
            return slots
        return np.full((num_states, 2), self._names.NO_TOKEN, np.int32)

    def _check(self, frames: np.ndarray) -> None:
        num_phones = self._model.num_phones
        if frames.ndim != 2 or frames.shape[1] != num_phones:
            raise ValueError(
                f"log posteriors have shape {frames.shape}; give (frames, {num_phones})"
            )
        for start in range(0, len(frames), BLOCK_FRAMES):
            highest = frames[start : start + BLOCK_FRAMES].max()  # NaN if there is one
            if np.isnan(highest):
                rows = np.isnan(frames[start : start + BLOCK_FRAMES]).any(axis=1)
                frame = self.num_frames + start + int(np.argmax(rows))
                raise ValueError(
                    f"log posteriors of frame {frame} contain NaN; check the model's weights"
                )
            if highest > LARGEST_LOG_POSTERIOR:
                raise ValueError(
                    f"a log posterior is {highest:.4g}, above 0; give logarithms of probabilities"
                )

    def _advance(self, frames: np.ndarray) -> list[FrameRun]:
        """Decode checked frames, return the runs that became final."""
        runs = []
        for start in range(0, len(frames), BLOCK_FRAMES):
            # A copy, because the compiled code knows one type only: writable, dense, 32 bits.
            block = np.array(frames[start : start + BLOCK_FRAMES], dtype=np.float32, order="C")
            while len(block):
                used = self._pass_tokens(
                    *(block, *self._tables, self._scale, *self._network, self._words),
                    *(self._log_prior, self._leave, self._stay, self._min_frames, self._initial),
                    *(self._beam, self._token, self._score, self._before, self._slot),
                    *(self._seen, self._nodes, self._confidence, self._count),
                )
                block = block[used:]
                if self._count[self._names.SHORT]:
                    self._count[self._names.SHORT] = 0
                    tokens = self._token, self._score, self._before
                    self._token, self._score, self._before = map(_doubled, tokens)
                runs += self._collect()
        return runs

    def _collect(self) -> list[FrameRun]:
        """Runs that all hypotheses share; makes room for more nodes."""
        final = np.empty((self.num_pending, 4), np.int64)
        final_confidence = np.empty(self.num_pending)
        number = self._collect_nodes(
            self._token, self._nodes, self._confidence, self._count, final, final_confidence
        )
        while 2 * self.num_pending + self._num_tokens > len(self._nodes):
            self._nodes, self._confidence = map(_doubled, (self._nodes, self._confidence))
        places = zip(final[:number, :3].tolist(), final_confidence[:number].tolist())
        runs = [FrameRun(*place, confidence) for place, confidence in places]
        return with_confidences(runs, self._evidence, self._options)

    def _trace_back(self, token: int) -> list[FrameRun]:
        """The pending runs of a token, in order of time."""
        end = self.num_frames
        _, phone, _, start, k, _ = self._token[token].tolist()
        seen = self._seen[phone] - self._before[token]
        runs = [FrameRun(phone, start, end, float(seen) / (end - start))]
        while k != self._names.NO_TOKEN:
            phone, start, end, parent = self._nodes[k].tolist()
            runs.append(FrameRun(phone, start, end, float(self._confidence[k])))
            k = parent
        return with_confidences(runs[::-1], copy.copy(self._evidence), self._options)


def decode(
    log_posteriors: np.ndarray, model: PhoneModel, options: DecoderOptions | None = None
) -> list[FrameRun]:
    """Decode a whole recording.

    Args:
        log_posteriors: natural logarithms of the posteriors, shape (frames, P).
        model: phone model of P phones.
        options: weights, the default ones if None.

    Returns:
        Runs that cover frames 0 to ``frames``; none if there are no frames.

    Raises:
        ValueError: as :meth:`Decoder.push`.
    """
    decoder = Decoder(model, options)
    return decoder.push(log_posteriors) + decoder.finish()


def _scaled(log_probability: np.ndarray, scale: float) -> np.ndarray:
    """``scale`` times a log probability, where what is impossible stays so even if scale is 0."""
    finite = np.where(np.isneginf(log_probability), 0.0, log_probability)
    return np.where(np.isneginf(log_probability), -np.inf, scale * finite)


def _doubled(array: np.ndarray) -> np.ndarray:
    """With as much room again behind it."""
    return np.concatenate([array, np.empty_like(array)])
