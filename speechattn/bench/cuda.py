"""``speechattn bench cuda``: is the CUDA path right, and how fast is it? At most eight minutes.

1. Right: truncated attention on CUDA beside the CPU in float32, outputs and gradients of queries,
   keys, values and the bias; with lengths; streamed; the encoder as a whole and in chunks.
2. An hour of sound through a model.
3. 200 steps of training, beside the same steps on the CPU at the beginning.
4. Fast: attention over the windows of the README beside fused attention to everything,
   FlexAttention as PyTorch's documents use it, and FlashAttention's sliding window, in turn.

With ``dry`` everything is small and "CUDA" is the CPU: to see that the script works.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from speechattn.attention.functional import truncated_attention
from speechattn.bench.attention.peers import Case, Compute, NotOfferedError
from speechattn.bench.cuda_peers import PEERS
from speechattn.bench.output import prepare_folder, write_files
from speechattn.bench.process import machine_facts
from speechattn.bench.streaming import made_up_sound
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.errors import SpeechattnError
from speechattn.inference.recognizer import load_model
from speechattn.segments import SAMPLE_RATE
from speechattn.text import table

FRONT_END_DIM, NUM_PHONES = 80, 40
# Largest difference from float32 on a CPU, relative to the largest number; TF32 is off.
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 2e-2}
# PyTorch's names, now and before version 2.6, for the number of kinds of arguments that it compiles
# a function for; and a number that is not reached.
COMPILER_LIMITS, KINDS = ("recompile_limit", "cache_size_limit"), 200


@dataclass(frozen=True)
class Size:
    """How much is done.

    Attributes:
        device: that is checked.
        windows: frames to either side.
        frames: of a sequence whose time is taken.
        checked_frames: of a sequence whose numbers are compared.
        repeats: of a time.
        minutes: of the sound that is transcribed.
        steps: of training.
        compared_steps: of them that the CPU does as well.
    """

    device: str = "cuda"
    windows: tuple[int, ...] = (16, 32, 64, 128)
    frames: int = 30_720
    checked_frames: int = 700
    repeats: int = 20
    minutes: float = 60.0
    steps: int = 200
    compared_steps: int = 3


DRY = Size("cpu", (16,), 512, 200, 2, 0.1, 4, 2)


def bench_cuda(
    *,
    model: str,
    dry: bool = False,
    output_dir: str | Path | None = None,
    publish: Callable[[str], None],
    report: Callable[[str], None],
) -> bool:
    """Check and time the CUDA path; see the module.

    Args:
        model: name or folder of the model that transcribes.
        dry: small, on the CPU.
        output_dir: folder for ``cuda.md``; None to write no file.
        publish: receives the parts of the report, in Markdown, as they are ready.
        report: receives a line for the user before each part.

    Returns:
        Whether all numbers agree.

    Raises:
        SpeechattnError: without a CUDA device.
    """
    size = DRY if dry else Size()
    if not dry and not torch.cuda.is_available():
        raise SpeechattnError("no CUDA device is found; --dry runs the same checks on the CPU")
    if output_dir is not None:
        prepare_folder(Path(output_dir))
    began = time.perf_counter()
    facts = machine_facts(("torch",))
    facts["device"] = "the CPU (dry)" if dry else torch.cuda.get_device_name()
    parts: list[str] = []

    def add(*texts: str) -> None:
        """Publish a part as soon as it is there: a machine may be lent for minutes only."""
        parts.append("".join(text + "\n\n" for text in texts))
        publish(parts[-1])

    add("# CUDA benchmark", table(("", ""), facts.items()))
    with _exact_and_compiled(size):
        report("the numbers")
        checks = check_attention(size) + check_encoder(size)
        rows = [(name, f"{error:.1e}", "yes" if right else "NO") for name, error, right in checks]
        add("## The numbers", table(("", "difference from the CPU", "right"), rows))
        report(f"{size.minutes:g} minutes of sound")
        add("## Transcription", transcribe(size, model))
        report(f"{size.steps} steps of training")
        add("## Training", train(size))
        report("the times of attention")  # most of all, since others are compiled
        add("## Attention", *time_attention(size))
    add(f"Everything took {time.perf_counter() - began:.0f} s.")
    if output_dir is not None:
        write_files(Path(output_dir), {"cuda.md": "".join(parts)})
    return all(right for _, _, right in checks)


@contextlib.contextmanager
def _exact_and_compiled(size: Size) -> Iterator[None]:
    """Keep float32 convolutions from being rounded (TF32), and FlexAttention from giving up.

    PyTorch compiles a function for a few kinds of arguments only, and then no longer: FlexAttention
    would compute all pairs.
    """
    if size.device != "cuda":
        yield
        return
    from torch import _dynamo

    limit = next(name for name in COMPILER_LIMITS if hasattr(_dynamo.config, name))
    exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
    with exact, _dynamo.config.patch({limit: KINDS}):
        yield


# --- the numbers ----------------------------------------------------------------------------------

Check = tuple[str, float, bool]


def _compared(name: str, found: Tensor, right: Tensor, dtype: torch.dtype) -> Check:
    error = float((found.float().cpu() - right).abs().max() / right.abs().max())
    return name, error, error <= TOLERANCE[dtype]


def check_attention(size: Size) -> list[Check]:
    """Compare attention and its gradients with those of the CPU."""
    checks = []
    for side in size.windows:
        for dtype in TOLERANCE:
            label = f"±{side}, {str(dtype).removeprefix('torch.')}"
            checks += _check_window(size, side, dtype, label)
    return checks


def _check_window(size: Size, side: int, dtype: torch.dtype, label: str) -> list[Check]:
    generator = torch.Generator().manual_seed(side)
    shape = 2, size.checked_frames, 4, 64
    # Rounded first, so that both sides begin with the same numbers.
    inputs = [torch.randn(shape, generator=generator).to(dtype).float() for _ in range(3)]
    inputs.append(torch.randn(4, 2 * side + 1, generator=generator).to(dtype).float())
    lengths = torch.tensor([size.checked_frames, size.checked_frames // 2 + 3])
    grad = torch.randn(shape, generator=generator).to(dtype).float()

    def run(device: str, kind: torch.dtype) -> list[Tensor]:
        q, k, v, bias = (x.to(device, kind, copy=True).requires_grad_() for x in inputs)
        out = truncated_attention(q, k, v, side, side, lengths=lengths.to(device), bias=bias)
        out.backward(grad.to(device, kind))
        return [out.detach(), *(x.grad for x in (q, k, v, bias) if x.grad is not None)]

    names = ("outputs", "gradient of q", "gradient of k", "gradient of v", "gradient of the bias")
    pairs = zip(names, run(size.device, dtype), run("cpu", torch.float32))
    checks = [_compared(f"{label}: {name}", a, b, dtype) for name, a, b in pairs]

    q, k, v = (x[:1].to(size.device, dtype) for x in inputs[:3])
    first = size.checked_frames // 3
    late = truncated_attention(q[:, first:], k, v, side, side, offset=first)
    whole = truncated_attention(q, k, v, side, side)[:, first:].float().cpu()
    return [*checks, _compared(f"{label}: in a stream", late, whole, dtype)]


def _classifier(layers: int = 4) -> PhoneClassifier:
    torch.manual_seed(0)
    config = EncoderConfig(width=256, heads=4, feedforward=1024, blocks=layers, window=(32, 32))
    return PhoneClassifier(FRONT_END_DIM, NUM_PHONES, config)


@torch.inference_mode()
def check_encoder(size: Size) -> list[Check]:
    """Compare an encoder with that of the CPU, as a whole and in chunks."""
    model = _classifier().eval()
    frames = torch.randn(size.checked_frames, FRONT_END_DIM, generator=torch.manual_seed(1))
    right = model(frames[None])[0]
    model, frames = model.to(size.device), frames.to(size.device)
    stream = model.stream()
    chunks = list(frames.split(50))
    streamed = [stream.push(each, last=each is chunks[-1]) for each in chunks]
    return [
        _compared("encoder: as a whole", model(frames[None])[0], right, torch.float32),
        _compared("encoder: in chunks", torch.cat(streamed), right, torch.float32),
    ]


# --- times ----------------------------------------------------------------------------------------


def _seconds(call: Callable[[], object], size: Size) -> float:
    """Return the median time of a call, after two that are not counted."""
    times = []
    for _ in range(size.repeats + 2):
        _wait(size)
        began = time.perf_counter()
        call()
        _wait(size)
        times.append(time.perf_counter() - began)
    return float(np.median(times[2:]))


def _wait(size: Size) -> None:
    if size.device == "cuda":
        torch.cuda.synchronize()


def time_attention(size: Size) -> list[str]:
    """Time attention forward, and forward with backward, beside others."""
    lines = []
    for backward in (False, True):
        for side in size.windows:
            case = Case(size.frames, side, side, 4, 64, torch.bfloat16, backward)
            what = "forward and backward" if backward else "forward"
            ours = _time_one(size, case, _ours)
            row = [f"±{side}", what, f"{1000 * float(ours):.3f}" if _is_time(ours) else str(ours)]
            for _, prepare in PEERS:
                found = _time_one(size, case, prepare)
                known = _is_time(found) and _is_time(ours)
                row.append(f"{float(found) / float(ours):.2f}" if known else str(found))
            lines.append(row)
    header = ("window", "", "ours (ms)", *(f"{name}, x ours" for name, _ in PEERS))
    note = f"{size.frames} frames, 4 heads of 64, bf16; medians of {size.repeats}."
    return [note, table(header, lines)]


def _is_time(found: float | str) -> bool:
    return isinstance(found, float)


def _ours(case: Case) -> Compute:
    def compute(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        return truncated_attention(q, k, v, case.left, case.right)

    return compute


def _time_one(size: Size, case: Case, prepare: Callable[[Case], Compute]) -> float | str:
    """Return seconds, or why there are none."""
    shape = 1, case.heads, case.length, case.dim
    q, k, v = (
        torch.randn(shape, device=size.device, dtype=case.dtype).requires_grad_(case.backward)
        for _ in range(3)
    )
    try:
        compute = prepare(case)
        gradient = torch.randn_like(compute(q, k, v).detach())

        def call() -> None:
            out = compute(q, k, v)
            if case.backward:
                torch.autograd.grad(out, (q, k, v), gradient)

        return _seconds(call, size)
    except NotOfferedError as reason:
        return str(reason)
    except Exception as error:  # one that fails must not end the others
        return type(error).__name__


def transcribe(size: Size, model: str) -> str:
    """Transcribe a long recording twice; the first time compiles."""
    recognizer = load_model(model, size.device)
    sound = made_up_sound(round(60 * size.minutes))
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        recognizer.transcribe(sound, sample_rate=SAMPLE_RATE, posteriors=False)
        seconds.append(time.perf_counter() - began)
    speed = len(sound) / SAMPLE_RATE / seconds[1]
    return (
        f"{size.minutes:g} minutes of made-up sound, {recognizer.precision}: {seconds[0]:.1f} s, "
        f"the second time {seconds[1]:.1f} s ({speed:.0f} times real time)."
    )


def _steps(size: Size, device: str, steps: int) -> tuple[list[float], float]:
    """Train on made-up frames whose labels can be learned; return the losses and the seconds."""
    model = _classifier(2).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    random = np.random.default_rng(0)
    truth = random.normal(size=(FRONT_END_DIM, NUM_PHONES)).astype(np.float32)
    losses: list[Tensor] = []
    began = time.perf_counter()
    for _ in range(steps):
        x = random.normal(size=(8, 400, FRONT_END_DIM)).astype(np.float32)
        frames, labels = torch.from_numpy(x).to(device), torch.from_numpy((x @ truth).argmax(-1))
        lengths = torch.tensor([400, 390, 380, 300, 200, 100, 400, 50], device=device)
        scores = model(frames, lengths)
        seen = torch.arange(400, device=device) < lengths[:, None]
        loss = nn.functional.cross_entropy(scores[seen], labels.to(device)[seen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses).tolist(), time.perf_counter() - began


def train(size: Size) -> str:
    """Train, and compare the first losses with the CPU's."""
    losses, seconds = _steps(size, size.device, size.steps)
    right, _ = _steps(replace(size, device="cpu"), "cpu", size.compared_steps)
    apart = max(abs(a - b) for a, b in zip(losses, right))
    return (
        f"{size.steps} steps of 8 x 400 frames in {seconds:.1f} s, with compiling: the loss falls "
        f"from {losses[0]:.3f} to {losses[-1]:.3f}. The first {size.compared_steps} losses differ "
        f"from the CPU's by {apart:.0e} at most."
    )
