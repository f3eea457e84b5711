"""The attention benchmark: every method right, every row there, mistakes in one line."""

from __future__ import annotations

import csv
import io
import math
import os
import re

import pytest
import torch

from speechattn.bench.attention import benchmark
from speechattn.bench.attention import memory as attention_memory
from speechattn.bench.attention import peers as attention_peers
from speechattn.bench.attention import report as attention_report
from speechattn.bench.attention import timing as attention_timing
from speechattn.bench.attention.memory import main, peak_memory
from speechattn.bench.attention.peers import METHODS, OURS, Case, Method, NotOfferedError
from speechattn.bench.attention.timing import Exact, make_inputs, measure, reference
from speechattn.cli.main import main as command
from speechattn.errors import SpeechattnError

FAST = [
    method for method in METHODS if "Flex" not in method.name
]  # Flex is compiled for half a minute


def case_of(length=100, left=8, right=8, heads=2, dim=16, dtype=torch.float32, backward=False):
    return Case(length, left, right, heads, dim, dtype, backward)


def named(part: str) -> Method:
    return next(method for method in METHODS if part in method.name)


def cases_of(monkeypatch, *words: str) -> list[Case]:
    """What the command would measure."""
    measured = []
    monkeypatch.setattr(
        benchmark, "measure", lambda cases, *_, **__: measured.extend(cases) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        command(["bench", "attention", *words])
    return measured


@pytest.mark.parametrize("method", [m for m in FAST if m.same], ids=lambda m: m.name)
@pytest.mark.parametrize(
    "case",
    [
        case_of(96, backward=True),
        case_of(101, backward=True),
        case_of(5),
        case_of(200, 64, 64),
        case_of(130, 20, 0, backward=True),
        case_of(130, 0, 7),
        case_of(100, dtype=torch.bfloat16, backward=True),
        case_of(203, 16, 16, dtype=torch.bfloat16, backward=True),
    ],
    ids=str,
)
def test_methods_are_right(method, case):
    if "local-attention" in method.name:
        pytest.importorskip("local_attention")
    try:
        compute = method.prepare(case)
    except NotOfferedError as reason:
        assert "local" in method.name or "Longformer" in method.name, reason
        assert case.left != case.right
        return
    *qkv, gradient = make_inputs(case)
    if method.heads_first:
        leaves = [x.transpose(1, 2).contiguous().requires_grad_() for x in qkv]
        out = compute(*leaves).transpose(1, 2)
    else:
        leaves = [x.requires_grad_() for x in qkv]
        out = compute(*leaves)
    outputs = [out.detach()]
    if case.backward:
        gradients = torch.autograd.grad(out, leaves, gradient)
        outputs += [g.transpose(1, 2) if method.heads_first else g for g in gradients]
    tolerance = 1e-5 if case.dtype == torch.float32 else 0.05
    for ours, exact in zip(outputs, reference(case, [*qkv, gradient]), strict=True):
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=tolerance)


@pytest.mark.skipif(
    not os.environ.get("SPEECHATTN_SLOW"),
    reason="compiles for half a minute; set SPEECHATTN_SLOW=1",
)
def test_flex_attention_is_right():
    case = case_of(300, 32, 16)
    (found,) = measure([case], 1, methods=[named("Flex")])[0]
    assert found.error < 1e-5, found.note


def test_errors_are_found_in_stretches(monkeypatch):
    monkeypatch.setattr(attention_timing, "CHECKED_ROWS", 64)
    monkeypatch.setattr(attention_timing, "CHECKED_STRETCHES", 4)
    case = case_of(500, 10, 6, backward=True)
    inputs = make_inputs(case)
    outputs, exact = reference(case, inputs), Exact(case, inputs)
    assert exact.largest_error(outputs) < 1e-12
    for place in (0, 499):
        for number in range(4):
            wrong = [x.clone() for x in outputs]
            wrong[number][0, place, 1, 3] += 0.5
            assert exact.largest_error(wrong) == pytest.approx(0.5)
    outputs[0][0, 0, 0, 0] = math.nan
    assert exact.largest_error(outputs) > 1e300


def test_flops_are_those_of_the_pairs():
    case = case_of(10_000, 4, 3, heads=2, dim=16)
    pairs = 10_000 * 8
    assert case.flops == 2 * (2 * 16 + 2 * 16) * pairs
    assert case_of(10_000, 4, 3, backward=True).flops == 3.5 * case.flops


def test_rows_for_what_is_not_run(monkeypatch):
    monkeypatch.setattr(attention_peers, "FULL_LIMIT", 50)
    monkeypatch.setattr(attention_peers, "MASK_LIMIT", 50)
    monkeypatch.setattr(attention_peers.importlib.util, "find_spec", lambda name: None)

    def broken(case):
        raise RuntimeError("no\ncompiler")

    def wrong(case):
        return lambda q, k, v: v

    methods = [*FAST, Method("broken", broken), Method("wrong", wrong)]
    found, peaks = measure([case_of(60)], 2, methods=methods)
    notes = {m.method: m.note for m in found}
    assert list(notes) == [m.name for m in methods]
    assert notes["SDPA, full"] == notes["SDPA, band mask"] == "skipped (quadratic)"
    assert notes["local-attention (exact)"] == "not installed: pip install local-attention"
    assert notes["broken"].startswith("failed: RuntimeError: no") and "\n" not in notes["broken"]
    assert notes["wrong"] == "WRONG ANSWER" and notes[OURS] == ""
    run = {m.method: m for m in found if m.samples}
    assert set(run) == {OURS, "bmm blocks of 64", "Longformer chunks", "wrong"}
    assert all(len(m.samples) == 2 and m.seconds > 0 for m in run.values())
    assert run[OURS].error < 1e-5 and math.isnan(found[-2].seconds)
    assert peaks[torch.float32] > 1e8


class Clock:
    """A clock that only goes when somebody computes: so many seconds a call."""

    def __init__(self, **seconds):
        self.now, self.seconds, self.calls = 0.0, seconds, []

    def perf_counter(self):
        return self.now

    process_time = perf_counter

    def method(self, name, **options):
        def prepare(case):
            def compute(q, k, v):
                self.calls.append((name, case.length))
                self.now += self.seconds[name] * (case.length / 10) ** options.get("power", 1)
                return v

            return compute

        return Method(OURS if name == "ours" else name, prepare, same=False, **options)


def test_what_is_slow_has_fewer_rounds_and_is_left_out_where_longer(monkeypatch):
    clock = Clock(ours=1.0, fast=0.05, slow=1.0, square=0.02)
    monkeypatch.setattr(attention_timing, "time", clock)
    monkeypatch.setattr(attention_timing, "gemm_peak", lambda dtype: 1e9)
    methods = [clock.method(name) for name in ("ours", "fast", "slow")]
    methods.append(clock.method("square", power=2))
    cases = [case_of(length) for length in (10, 30, 120)]
    found, _ = measure([*cases, case_of(120, backward=False, left=5)], 9, methods=methods)
    rows = {(m.case.length, m.case.left, m.method): m for m in found}
    rounds = {key: len(m.samples) for key, m in rows.items()}
    assert rounds[10, 8, OURS] == rounds[10, 8, "slow"] == 2
    assert rounds[10, 8, "fast"] == 9 and rounds[30, 8, "fast"] == 4  # 0.5 s / 0.15 s
    assert rows[30, 8, "slow"].note == "skipped (about 3 s a call)" and rounds[30, 8, "slow"] == 0
    assert rounds[30, 8, "square"] == 3 and rounds[120, 8, "square"] == 0  # 0.18 s; then 2.88 s
    assert rounds[30, 8, OURS] == rounds[120, 8, OURS] == 1  # our own is always measured
    assert rounds[120, 5, "slow"] == 1  # nothing is known of another window
    assert ("slow", 30) not in clock.calls


def test_our_own_failure_is_no_row():
    def broken(case):
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        measure([case_of()], 1, methods=[Method(OURS, broken)])


def test_flex_has_no_backward():
    with pytest.raises(NotOfferedError, match="no backward on CPU"):
        named("Flex").prepare(case_of(backward=True))


def test_memory_is_looked_at_first():
    with pytest.raises(NotOfferedError, match="GiB of memory"):
        named("Longformer").prepare(case_of(10**9, 128, 128))


def test_whole_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(attention_timing, "METHODS", FAST)
    monkeypatch.setattr(attention_timing, "SHORTEST_SAMPLE", 0.0)
    monkeypatch.setattr(attention_timing, "GEMM_SHAPES", ((64, 64, 64),))
    threads = torch.get_num_threads()
    words = "--lengths 64,100 --windows 8,4/0 --heads 2 --dim 8 --repeats 2 --backward --threads 1"
    folder = tmp_path / "new" / "out"
    assert command(["bench", "attention", *words.split(), "--output-dir", str(folder)]) == 0
    assert torch.get_num_threads() == threads
    text, messages = capsys.readouterr()
    assert (folder / "attention.md").read_text(encoding="utf-8") == text
    assert text.count("## forward") == 4 and "matrix product, bf16" in text
    rows = list(csv.DictReader(io.StringIO((folder / "attention.csv").read_text())))
    assert len(rows) == messages.count("speechattn: T = ") == 2 * 2 * 2 * 2 * len(FAST)
    assert tuple(rows[0]) == attention_report.COLUMNS
    own = [row for row in rows if row["method"] == OURS]
    assert all(float(row["to_speechattn"]) == 1 and row["samples"] == "2" for row in own)
    for row in own:
        seconds, speed = float(row["seconds"]), float(row["gflops_per_second"])
        steps = 3.5 if "back" in row["pass"] else 1
        pairs = int(row["length"]) * (int(row["left"]) + 1 + int(row["right"]))
        assert speed == pytest.approx(steps * 4 * pairs * 8 * 2 / seconds / 1e9, rel=1e-3)
        limit = 1e-5 if row["dtype"] == "fp32" else 0.1
        assert 0 < float(row["max_abs_error"]) < limit
    assert (folder / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_memory_is_that_of_a_process():
    found = peak_memory(case_of(40_000, heads=8, dim=128))
    if found is None:
        pytest.skip("this system does not tell")
    inputs_and_output = 4 * 40_000 * 8 * 128 * 4
    assert 50 << 20 < found - inputs_and_output < 450 << 20  # Python and PyTorch
    found, _ = measure([case_of(60)], 1, methods=FAST[:2], memory=lambda case: case.length << 20)
    assert [m.memory for m in found] == [60 << 20, None]
    text = attention_report.markdown_report(found, {torch.float32: 1e9}, {})
    assert "| 60 |" in [line for line in text.splitlines() if OURS in line][-1]


def test_what_memory_is_measured_on(monkeypatch):
    computed = []

    def note(q, k, v, left, right):
        computed.append((*q.shape, q.dtype, q.requires_grad, left, right))
        return q + k + v

    monkeypatch.setattr(attention_memory, "truncated_attention", note)
    threads = str(torch.get_num_threads())
    main(["30", "4", "2", "3", "8", "bfloat16", "1", threads])
    main(["30", "4", "2", "3", "8", "float32", "0", threads])
    shape = 1, 30, 3, 8
    assert computed == [
        (*shape, torch.bfloat16, True, 4, 2),
        (*shape, torch.float32, False, 4, 2),
    ]


def test_quick_is_small_and_overridden(monkeypatch):
    assert {(c.length, c.left) for c in cases_of(monkeypatch, "--quick")} == {(512, 32), (2048, 32)}
    cases = cases_of(monkeypatch, "--quick", "--windows", "16/0", "--dtypes", "bf16")
    assert {(c.left, c.right, c.dtype) for c in cases} == {(16, 0, torch.bfloat16)}
    assert len(cases_of(monkeypatch, "--backward")) == 4 * 4 * 2 * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--lengths 5,x", "--lengths 5,x: 'x' is no whole number"),
        ("--lengths 0", "--lengths 0: '0'"),
        ("--windows -4", "--windows -4: '-4'"),
        ("--windows 1/2/3", "'1/2/3' is neither N nor LEFT/RIGHT"),
        ("--heads 1.5", "--heads 1.5"),
        ("--dtypes fp8", "--dtypes: 'fp8' is none of fp32, bf16"),
        ("--dim 0", "--dim 0"),
        ("--repeats 0", "--repeats 0"),
        ("--threads 5000", "--threads 5000"),
        ("--output-dir {file}/x", "--output-dir .*attention"),
    ],
)
def test_mistakes(words, message, tmp_path, capsys):
    file = tmp_path / "attention"
    file.write_text("")
    name, value = words.format(file=file).split()
    assert command(["bench", "attention", f"{name}={value}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("speechattn: error: ") and re.search(message, line)


def test_memory_is_not_that_of_whoever_asks():
    held = bytearray(b"x") * (300 << 20)
    small = peak_memory(case_of(60))
    if small is None:
        pytest.skip("this system does not tell")
    own = peak_memory(case_of(60, backward=True))
    assert len(held) == 300 << 20 and abs(small - own) < 50 << 20
    del held
    assert abs(peak_memory(case_of(60)) - small) < 50 << 20


def test_a_process_that_runs_out_of_memory_is_named():
    with pytest.raises(SpeechattnError, match="memory of attention: .*shorter --lengths"):
        peak_memory(case_of(10**12))
