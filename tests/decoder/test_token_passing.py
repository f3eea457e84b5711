"""What becomes of tokens in a frame, against plain Python over dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechattn.decoder import token_passing
from speechattn.decoder.records import (
    ARRIVAL,
    BEGIN,
    COUNTERS,
    FRAME,
    FREE,
    LACKS,
    LEFT,
    NO_TOKEN,
    NODE,
    NODES,
    READY,
    SPOKEN,
    STATE,
    TOKENS,
    Automaton,
    Frame,
    History,
    PhoneScores,
    Tokens,
)

seeds = st.integers(0, 2**32 - 1)


def random_search(seed: int, num_phones: int = 4, num_states: int = 9, num_tokens: int = 12):
    """Records of a search in its middle: at most one ready token a state, several on their way."""
    rng = np.random.default_rng(seed)
    log_prob = rng.uniform(-4, 0, (num_states, num_phones)).astype(np.float32)
    following = rng.integers(0, num_states, (num_states, num_phones)).astype(np.int32)
    phone = rng.integers(0, num_phones, num_states)  # of each state
    for state in range(num_states):
        following[state] = [rng.choice(np.flatnonzero(phone == q)) if (phone == q).any() else state
                            for q in range(num_phones)]  # fmt: skip
    best = log_prob.max(axis=1).astype(np.float64)
    automaton = Automaton(log_prob, following, best, float(rng.uniform(0.2, 2)))
    leave, stay = rng.uniform(-2, 0, num_phones), rng.uniform(-1, 0, num_phones)
    minimum = rng.integers(1, 4, num_phones)
    phones = PhoneScores(np.zeros(num_phones), leave, stay, minimum, np.zeros(num_phones))
    log_posterior = np.log(rng.dirichlet(np.ones(num_phones)))
    frame = Frame(log_posterior, log_posterior + rng.uniform(0, 1, num_phones))
    room = num_tokens + num_states
    token = np.full((room, 6), NO_TOKEN)
    slot = np.full((num_states, 2), FREE, np.int32)
    for k in range(num_tokens):
        state = rng.integers(num_states)
        lacks = int(rng.integers(0, 3))
        if lacks == 0 and slot[state, READY] != FREE:
            lacks = 1
        if lacks == 0:
            slot[state, READY] = ~k
        token[k, [STATE, SPOKEN, LACKS, BEGIN]] = state, phone[state], lacks, rng.integers(5)
    tokens = Tokens(token, rng.uniform(-9, 0, room), np.zeros(room), slot)
    count = np.zeros(COUNTERS, np.int64)
    count[[FRAME, TOKENS]] = 5, num_tokens
    nodes = np.full((room, 4), NO_TOKEN)
    history = History(nodes, np.zeros(room), rng.uniform(0, 3, num_phones), count)
    return automaton, phones, frame, tokens, history, num_tokens


def arrivals_of(automaton, phones, frame, tokens, num_tokens, beam):
    """State → score and source of its best arrival that the beam lets live."""
    scores, bound = {}, -np.inf
    for k in range(num_tokens):
        _, p, lacks = tokens.token[k, :3]
        after = tokens.score[k] + frame.emission[p] + (phones.stay[p] if lacks == 0 else 0)
        bound = max(bound, after - beam)
    for k in range(num_tokens):
        state, p, lacks = tokens.token[k, :3]
        for q in range(len(phones.stay) if lacks == 0 else 0):
            value = tokens.score[k] + phones.leave[p]
            value += automaton.scale * float(automaton.log_prob[state, q])
            target = automaton.following[state, q]
            if value + frame.emission[q] >= bound and value > scores.get(target, (-np.inf,))[0]:
                scores[target] = value, k
    return scores


@settings(max_examples=100)
@given(seeds, st.sampled_from([np.inf, 6.0, 1.0]))
def test_the_best_arrival_in_each_state_is_found(seed, beam):
    automaton, phones, frame, tokens, _, num_tokens = random_search(seed)
    expected = arrivals_of(automaton, phones, frame, tokens, num_tokens, beam)
    end = token_passing.expand(automaton, phones, frame, beam, tokens, num_tokens)
    rows = range(num_tokens, end)
    found = {tokens.token[e, STATE]: (tokens.score[e], tokens.token[e, NODE]) for e in rows}
    assert found.keys() == expected.keys() and len(found) == len(rows)
    for state, (value, source) in expected.items():
        assert found[state] == (pytest.approx(value, abs=1e-9), source)
    assert (tokens.slot[:, ARRIVAL] == FREE).all()


@given(seeds)
def test_without_room_nothing_is_left_behind(seed):
    automaton, phones, frame, tokens, _, num_tokens = random_search(seed)
    whole = arrivals_of(automaton, phones, frame, tokens, num_tokens, np.inf)
    slot = tokens.slot.copy()
    for room in range(num_tokens, num_tokens + len(whole)):
        short = Tokens(*(x[:room].copy() for x in tokens[:3]), tokens.slot)
        end = token_passing.expand(automaton, phones, frame, np.inf, short, num_tokens)
        assert end == NO_TOKEN and (tokens.slot == slot).all()


@settings(max_examples=100)
@given(seeds)
def test_arrivals_become_tokens_with_one_node_for_each_token_left(seed):
    automaton, phones, frame, tokens, history, num_tokens = random_search(seed)
    end = token_passing.expand(automaton, phones, frame, np.inf, tokens, num_tokens)
    before = tokens.token.copy(), tokens.score.copy()
    expected = []
    for e in range(num_tokens, end):
        state, p, source = before[0][e, [STATE, SPOKEN, NODE]]
        ready = ~tokens.slot[state, READY]
        waits = phones.min_frames[p] * phones.stay[p]
        if ready == NO_TOKEN or before[1][e] > before[1][ready] + waits:
            expected.append((state, p, phones.min_frames[p], 5, before[1][e], source))
    new = token_passing.start_phones(phones, tokens, history, end)
    assert new - num_tokens == len(expected)
    nodes = {}
    for k, (state, p, lacks, begin, score, source) in zip(range(num_tokens, new), expected):
        row = tokens.token[k]
        assert tuple(row[[STATE, SPOKEN, LACKS, BEGIN, LEFT]]) == (state, p, lacks, begin, NO_TOKEN)
        assert tokens.score[k] == score and tokens.before[k] == history.seen[p]
        assert nodes.setdefault(source, row[NODE]) == row[NODE] == before_left(tokens, source)
    assert history.counters[NODES] == len(nodes) == len(set(nodes.values()))
    for source, k in nodes.items():
        phone, start, stop, parent = history.nodes[k]
        assert (phone, start, stop) == (*tokens.token[source, [SPOKEN, BEGIN]], 5)
        assert parent == tokens.token[source, NODE]
        assert history.confidence[k] == pytest.approx(history.seen[phone] / (5 - start))


def before_left(tokens, source):
    """The node of those that leave a token."""
    return tokens.token[source, LEFT]


@settings(max_examples=100)
@given(seeds, st.sampled_from([np.inf, 4.0, 0.5]))
def test_a_frame_leaves_the_best_ready_token_of_each_state(seed, beam):
    _, phones, frame, tokens, history, num_tokens = random_search(seed)
    rows = []  # state, phone, lacks, begin, score after the frame
    for k in range(num_tokens):
        state, p, lacks, begin = (int(x) for x in tokens.token[k, [STATE, SPOKEN, LACKS, BEGIN]])
        score = tokens.score[k] + frame.emission[p] + (phones.stay[p] if lacks == 0 else 0.0)
        rows.append((state, p, lacks, begin, score))
    best = max(row[-1] for row in rows)
    best_ready = max((row[-1] for row in rows if row[2] <= 1), default=-np.inf)
    alive = [r for r in rows if r[-1] >= best - beam or (r[2] <= 1 and r[-1] >= best_ready)]
    ready: dict = {}
    for state, *_, lacks, _begin, score in (row for row in alive if row[2] <= 1):
        ready[state] = max(score, ready.get(state, -np.inf))
    waiting = sorted((r[0], r[2] - 1, r[-1]) for r in alive if r[2] > 1)
    left = token_passing.advance_frame(frame, phones.stay, beam, tokens, history.seen, num_tokens)
    found = [(*tokens.token[k, [STATE, LACKS]].tolist(), tokens.score[k]) for k in range(left)]
    assert {s: pytest.approx(v) for s, lacks, v in found if not lacks} == ready
    assert sorted(row for row in found if row[1]) == [
        (s, lacks, pytest.approx(v)) for s, lacks, v in waiting
    ]
    for state in range(len(tokens.slot)):
        k = ~tokens.slot[state, READY]
        assert (state in ready) == (k != NO_TOKEN)
        assert k == NO_TOKEN or (tokens.token[k, STATE], tokens.token[k, LACKS]) == (state, 0)
