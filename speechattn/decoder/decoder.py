"""Viterbi decoder: from frame posteriors to phones with times, as the frames come in.

The score of a segmentation into phones p1 ... pn of d1 ... dn frames, in nats, is the sum of

- ``log_posterior - prior_scale * log_prior`` of its phone, for every frame;
- ``bigram_scale`` times ``log_initial[p1]``, ``log_bigram[p, q]`` for each pair of neighbours, and
  ``log_final[pn]``; where the phone model has n-grams, the log probability of each phone after the
  up to n - 1 phones before it takes the place of ``log_bigram[p, q]``
  (:mod:`speechattn.decoder.lm.ngrams`);
- where the phone model has words (:mod:`speechattn.decoder.lm.word_lm`), ``word_scale`` times the
  log probability of each word after those before takes the place of that. Phones that are no word
  are spelled: they cost ``word_scale * unknown_word`` once, and then what the n-grams say;
- ``duration_scale * ((d - m) * log_stay[p] + log_leave[p])`` for each phone, m its minimum;
- ``-insertion_penalty`` for each phone after the first.

The decoder finds the best segmentation with no phone shorter than its minimum (Viterbi 1967).
With a ``beam`` it drops after every frame the hypotheses that score lower than the best one by
more; the best of those that could end there stays. Where many are left, the beam is narrower
(:func:`speechattn.decoder.viterbi.beam_for`). The result may then not be the best.

Edge cases, by definition:

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
from speechattn.decoder.lm.word_network import Network
from speechattn.decoder.options import DecoderOptions, Evidence, with_confidences
from speechattn.decoder.records import (
    BEGIN,
    COUNTERS,
    END,
    FRAME,
    FREE,
    LACKS,
    NO_TOKEN,
    NODE_COLUMNS,
    NODES,
    PARENT,
    READY,
    SHORT,
    SLOT_COLUMNS,
    SPOKEN,
    START,
    STATE,
    TOKEN_COLUMNS,
    TOKENS,
    Automaton,
    History,
    PhoneScores,
    Tokens,
    WordScores,
)
from speechattn.decoder.scores import BLOCK_FRAMES, check_log_posteriors
from speechattn.segments import FrameSegment

ROOM_NODES = 4096  # at first; grows only while hypotheses disagree about a long past
ROOM_TOKENS = 512  # at first; grows where more hypotheses are kept apart
# Of each phone model: slots for all states, all FREE, that no decoder uses at the moment.
_IDLE_SLOTS: WeakKeyDictionary[PhoneModel, list[np.ndarray]] = WeakKeyDictionary()


class Decoder:
    """Decodes one recording after another, each pushed in pieces of any size.

    How a recording is cut into pieces does not change the result, only when it is known. Memory
    does not grow with the recording as long as the phone model allows every pair of phones.

    Args:
        model: phone model of P phones.
        options: weights, the default ones if None.
    """

    _head: np.ndarray  # frames before the search begins

    def __init__(self, model: PhoneModel, options: DecoderOptions | None = None) -> None:
        # Imported within functions, because Numba takes most of a second, and here, lest a chunk of
        # a stream wait for it. As attributes, its functions would keep a stream from being pickled.
        from speechattn.decoder import viterbi  # noqa: F401

        options = options or DecoderOptions()
        self._model, self._options = model, options
        self._beam = math.inf if options.beam is None else float(options.beam)
        self._ends = options.duration_scale * model.log_leave
        self._final = _scaled(model.log_final, options.bigram_scale)
        self._scores = PhoneScores(
            log_prior=options.prior_scale * model.log_prior,
            leave=self._ends - options.insertion_penalty,
            stay=options.duration_scale * model.log_stay,
            min_frames=model.min_frames,
            initial=_scaled(model.log_initial, options.bigram_scale),
        )
        if model.ngrams is None:
            # Scaled here and not as it is read, for what is impossible stays so even at 0.
            bigram = _scaled(model.log_bigram, options.bigram_scale)
            self._automaton = Automaton(*Tables.of_bigram(bigram), scale=1.0)
        else:
            self._automaton = Automaton(*model.ngrams.tables, scale=float(options.bigram_scale))
        words = model.words if options.word_scale > 0 else None
        self._network = words.network if words is not None else Network.empty()
        self._words = WordScores(
            scale=float(options.word_scale),
            unknown=float(options.word_scale * options.unknown_word),
            silence=words.silence if words is not None else 0,
            first_state=len(self._automaton.best),  # the words' states follow the n-grams'
            most_jumps=words.most_jumps if words is not None else 0,
        )
        self._reset()

    @property
    def num_frames(self) -> int:
        """Frames of the present recording pushed so far."""
        return int(self._count[FRAME]) + len(self._head)

    @property
    def num_pending(self) -> int:
        """Size of the history of what is not final yet, in segments."""
        return int(self._count[NODES])

    def boundaries(self) -> np.ndarray:
        """Return the frames where a segment that is not final yet may begin or end.

        To sum something up over segments, it is enough to remember the sum at these frames.

        Returns:
            int64, sorted: the boundaries of all hypotheses that are left, and the newest frame's
            end.
        """
        if not self._started:
            return np.arange(self.num_frames + 1)
        edges = self._history.nodes[: self.num_pending, START : END + 1]
        starts = self._tokens.token[: self._num_tokens, BEGIN]
        return np.unique(np.concatenate([[self.num_frames], starts, edges], axis=None))

    def push(self, log_posteriors: np.ndarray) -> list[FrameSegment]:
        """Take in the next frames of the recording.

        Args:
            log_posteriors: natural logarithms of the posteriors, shape (frames, P).

        Returns:
            Segments that follow those returned before and can no longer change. Confidences are
            computed from the mean posteriors of their frames
            (:mod:`speechattn.decoder.options`).

        Raises:
            ValueError: for another shape, NaN, or values above 0; nothing is taken in then.
        """
        frames = np.asarray(log_posteriors)
        check_log_posteriors(frames, self._model.num_phones, self.num_frames)
        if not self._started:
            # Whether minima must be shortened is known only once the longest one has gone by.
            longest = int(self._model.min_frames.max())
            self._head = np.concatenate([self._head, frames[:longest].astype(np.float32)])
            frames = frames[longest:]
            if len(self._head) + len(frames) < longest:
                return []
            head = self._take_head()
            self._start(self._model.min_frames)
            return self._advance(head) + self._advance(frames)
        return self._advance(frames)

    def finish(self) -> list[FrameSegment]:
        """End the recording.

        Returns:
            The segments not returned before; with them, the segments cover all frames pushed. The
            decoder is then ready for another recording.
        """
        segments = []
        if len(self._head):
            head = self._take_head()
            self._start(np.minimum(self._model.min_frames, len(head)))
            segments += self._advance(head)
        if self._started:
            token, slot = self._tokens.token[: self._num_tokens], self._tokens.slot
            ready = np.flatnonzero(token[:, LACKS] == 0)
            phones = token[ready, SPOKEN]
            scores = self._tokens.score[ready] + self._ends[phones]
            ended = scores + self._final[phones]
            scores = scores if np.isneginf(ended).all() else ended
            segments += self._trace_back(int(ready[np.argmax(scores)]))
            slot[token[:, STATE], READY] = FREE
            _IDLE_SLOTS.setdefault(self._model, []).append(slot)
        self._reset()
        return segments

    def partial(self) -> list[FrameSegment]:
        """Return the best hypothesis so far after the segments returned; it may still change.

        Returns:
            Segments up to the newest frame, the last one perhaps shorter than its minimum; none
            before the longest minimum has gone by.
        """
        if not self._started:
            return []
        return self._trace_back(int(np.argmax(self._tokens.score[: self._num_tokens])))

    @property
    def _num_tokens(self) -> int:
        return int(self._count[TOKENS])

    def _reset(self) -> None:
        self._started = False
        self._head = np.empty((0, self._model.num_phones), np.float32)
        self._count = np.zeros(COUNTERS, np.int64)
        self._evidence = Evidence(self._model.silence)

    def _take_head(self) -> np.ndarray:
        head = self._head
        self._head = head[:0]
        return head

    def _start(self, min_frames: np.ndarray) -> None:
        """Set up the search.

        Args:
            min_frames: shortest duration of each phone, shape (P,).
        """
        num_phones = self._model.num_phones
        self._started = True
        self._scores = self._scores._replace(min_frames=np.ascontiguousarray(min_frames))
        room = max(ROOM_TOKENS, num_phones)
        token = np.empty((room, TOKEN_COLUMNS), np.int64)
        self._tokens = Tokens(token, np.empty(room), np.empty(room), self._borrow_slots())
        room = max(ROOM_NODES, 4 * num_phones)
        nodes = np.empty((room, NODE_COLUMNS), np.int64)
        self._history = History(nodes, np.empty(room), np.zeros(num_phones), self._count)

    def _borrow_slots(self) -> np.ndarray:
        """Return the slots of a decoder that has finished, whose memory is there, or new ones."""
        num_states = self._words.first_state + self._network.num_states
        idle = _IDLE_SLOTS.get(self._model)
        if idle:
            slots = idle.pop()
            if len(slots) == num_states:  # both with words, or both without
                return slots
        return np.zeros((num_states, SLOT_COLUMNS), np.int32)

    def _advance(self, frames: np.ndarray) -> list[FrameSegment]:
        """Decode checked frames, return the segments that became final."""
        from speechattn.decoder import viterbi

        segments = []
        for start in range(0, len(frames), BLOCK_FRAMES):
            # A copy, because the compiled code knows one type only: writable, dense, 32 bits.
            block = np.array(frames[start : start + BLOCK_FRAMES], dtype=np.float32, order="C")
            while len(block):
                used = viterbi.advance(
                    *(block, self._automaton, self._network, self._words, self._scores),
                    *(self._beam, self._tokens, self._history),
                )
                block = block[used:]
                if self._count[SHORT]:
                    self._count[SHORT] = 0
                    token, score, before = map(_doubled, self._tokens[:3])
                    self._tokens = Tokens(token, score, before, self._tokens.slot)
                segments += self._collect()
        return segments

    def _collect(self) -> list[FrameSegment]:
        """Return the segments that all hypotheses share; make room for more nodes."""
        from speechattn.decoder import viterbi

        final = np.empty((self.num_pending, NODE_COLUMNS), np.int64)
        final_confidence = np.empty(self.num_pending)
        number = viterbi.collect(self._tokens.token, self._history, final, final_confidence)
        while 2 * self.num_pending + self._num_tokens > len(self._history.nodes):
            nodes, confidence = map(_doubled, self._history[:2])
            self._history = self._history._replace(nodes=nodes, confidence=confidence)
        rows = zip(final[:number, :PARENT].tolist(), final_confidence[:number].tolist())
        segments = [FrameSegment(p, start, end, sure) for (p, start, end), sure in rows]
        return with_confidences(segments, self._evidence, self._options)

    def _trace_back(self, token: int) -> list[FrameSegment]:
        """Return the pending segments of a token, in order of time."""
        end, nodes = self.num_frames, self._history.nodes
        _, phone, _, start, k, _ = self._tokens.token[token].tolist()
        seen = self._history.seen[phone] - self._tokens.before[token]
        segments = [FrameSegment(phone, start, end, float(seen) / (end - start))]
        while k != NO_TOKEN:
            phone, start, end, parent = nodes[k].tolist()
            segments.append(FrameSegment(phone, start, end, float(self._history.confidence[k])))
            k = parent
        return with_confidences(segments[::-1], copy.copy(self._evidence), self._options)


def decode(
    log_posteriors: np.ndarray, model: PhoneModel, options: DecoderOptions | None = None
) -> list[FrameSegment]:
    """Decode a whole recording.

    Args:
        log_posteriors: natural logarithms of the posteriors, shape (frames, P).
        model: phone model of P phones.
        options: weights, the default ones if None.

    Returns:
        Segments that cover frames 0 to ``frames``; none if there are no frames.

    Raises:
        ValueError: as :meth:`Decoder.push`.
    """
    decoder = Decoder(model, options)
    return decoder.push(log_posteriors) + decoder.finish()


def _scaled(log_probability: np.ndarray, scale: float) -> np.ndarray:
    """Return ``scale`` times a log probability; -inf stays -inf even if ``scale`` is 0."""
    finite = np.where(np.isneginf(log_probability), 0.0, log_probability)
    return np.where(np.isneginf(log_probability), -np.inf, scale * finite)


def _doubled(array: np.ndarray) -> np.ndarray:
    """Return the array with as much room again behind it."""
    return np.concatenate([array, np.empty_like(array)])
