"""The encoder of a published Whisper model (Radford et al., 2022) as the beginning of a training.

Whisper's encoder is of the kind ``attention`` but for four things. Each is replaced by what
training then makes its own:

- Its frames are other log-mel energies than ours. A matrix from ours to its, fitted on noise of
  many colours, goes into the first convolution.
- Its positions are vectors added to the input, ours a number for each distance, which a stream can
  count for ever. These numbers begin as what its positions add to the scores on average, and the
  vector of one position is added to every input.
- It sees 30 s at once, ours a window.
- Its vectors lie 20 ms apart. An encoder with a larger ``stack``, for speed, begins with the mean
  of what its second convolution gives for the vectors of a stack.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from speechattn.attention.multihead import MultiHeadAttention
from speechattn.audio.features import FrontEnd, FrontEndConfig
from speechattn.corpora.prepared import PreparedSet
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.encoder import PhoneClassifier
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.encoder.layers import FeedForward, Residual, Subsampling
from speechattn.errors import ConfigError, ModelError
from speechattn.segments import SAMPLE_RATE, SHIFT_SAMPLES
from speechattn.training.sources.whisper_file import find_weights, read_weights

# What an encoder needs to take Whisper's weights.
NEEDED = {
    "subsampling": "convolution",
    "activation": "gelu",
    "positions": "distance",
    "conv_kernel": 0,
    "scores": "dot",
    "weights": "softmax",
}
RECORDINGS, MOST_FRAMES = 120, 700  # of the training set, for statistics
MELS = 80
STACK, MOST_STACK = 2, 8  # frames of its vectors, and of those that a recipe may make of them
FFT_SIZE = 400  # samples of Whisper's windows
FLOOR = 1e-10  # of its energies
CENTRE = SHIFT_SAMPLES // 2  # samples by which our frames' centres lie later
NOISES, NOISE_SECONDS = 60, 5  # that the matrix between frames is fitted on
RIDGE = 1e-3
PLACE = 200  # whose vector of position all inputs have
EQUAL = 1e-6  # deviation of an input that never changes


def whisper_classifier(
    name: str,
    encoder: AnyEncoderConfig,
    front_end: FrontEndConfig,
    num_phones: int,
    train: PreparedSet,
) -> PhoneClassifier:
    """Return the classifier that a recipe with ``whisper`` begins with.

    Args:
        name: as for :func:`find_weights`.
        encoder: of the recipe.
        front_end: of the recipe.
        num_phones: classes.
        train: its training set, whose frames give statistics.

    Raises:
        ConfigError: if there is no such model, or the encoder cannot have its weights.
        ModelError: if its weights do not fit.
    """
    files = find_weights(name)
    if (
        not isinstance(encoder, EncoderConfig)
        or encoder.stack not in range(STACK, MOST_STACK + 1, STACK)
        or any(getattr(encoder, key) != value for key, value in NEEDED.items())
    ):
        needed = ", ".join(f"{key}: {value}" for key, value in NEEDED.items())
        needed = f"stack: {STACK}, or a multiple of it up to {MOST_STACK}, {needed}"
        raise ConfigError(f"whisper: {name}: the encoder of the recipe needs {needed}")
    chosen = np.random.default_rng(0).permutation(len(train.entries))[:RECORDINGS]
    recordings = [train.frames(train.entries[i])[:MOST_FRAMES] for i in chosen]
    torch.manual_seed(0)
    return encoder_from_whisper(
        read_weights(files),
        encoder,
        num_phones,
        front_end,
        [torch.from_numpy(np.array(frames)) for frames in recordings],
    )


def encoder_from_whisper(
    weights: dict[str, np.ndarray],
    config: EncoderConfig,
    num_phones: int,
    front_end: FrontEndConfig,
    recordings: Sequence[Tensor],
) -> PhoneClassifier:
    """Return a classifier with Whisper's encoder; the classifier itself is random.

    Args:
        weights: as :func:`read_weights` gives them.
        config: of Whisper's width, heads, feedforward and blocks, and with what ``NEEDED`` says.
        num_phones: classes.
        front_end: of the frames.
        recordings: frames of speech, shape (frames, dim) each, for the statistics of frames and the
            average of scores.

    Raises:
        ModelError: if a weight is missing or of another shape than ``config`` has.
    """
    model = PhoneClassifier(front_end.dim, num_phones, config)
    frames = torch.cat(list(recordings))
    model.mean.copy_(frames.mean(0))
    model.std.copy_(frames.std(0).clamp_min(EQUAL))
    matrix, offset = frame_matrix(front_end)
    load = _Loader(weights)
    with torch.no_grad():
        entry = model.layers[0]
        assert isinstance(entry, Subsampling)
        first = load("conv1/weight")  # (width, mels, taps)
        scaled = torch.einsum("omt,md->otd", first, matrix * model.std)
        _set(entry.first.weight, scaled.flatten(1))
        moved = first.sum(2) @ (matrix @ model.mean + offset)
        _set(entry.first.bias, load("conv1/bias") + moved)
        _set(entry.second.weight, _stacked(load("conv2/weight").transpose(1, 2), entry.stack))
        _set(entry.second.bias, load("conv2/bias"))
        for number, layer in enumerate(model.layers[1:]):
            assert isinstance(layer, Residual)
            _load_block(layer, load, f"layer_{number // 2}")
        _set(model.norm.weight, load("layer_norm/gamma"))
        _set(model.norm.bias, load("layer_norm/beta"))
        places = load("position_encodings/encodings")[:: entry.stack // STACK]
        _set(entry.offset, places[PLACE])
        _fit_distances(model, places, recordings)
    return model.eval()


def _stacked(kernel: Tensor, stack: int) -> Tensor:
    """Return the kernel whose result is the mean of what one gives for all vectors of a stack.

    Args:
        kernel: for every ``STACK`` frames, shape (width, taps, width).
        stack: frames of a stack, a multiple of ``STACK``.

    Returns:
        Shape (width, taps of :class:`Subsampling` * width).
    """
    wide = kernel.new_zeros(len(kernel), 2 * stack - 1, kernel.shape[2])
    for first in range(stack - STACK, 2 * stack - STACK, STACK):
        wide[:, first : first + kernel.shape[1]] += kernel * (STACK / stack)
    return wide.flatten(1)


def _load_block(layer: Residual, load: _Loader, name: str) -> None:
    inner = layer.layer
    if isinstance(inner, MultiHeadAttention):
        part, linears = f"{name}/self_attention", (inner.project, inner.join)
    else:
        assert isinstance(inner, FeedForward)
        part, linears = f"{name}/ffn", (inner.expand, inner.contract)
    _set(layer.norm.weight, load(f"{part}/layer_norm/gamma"))
    _set(layer.norm.bias, load(f"{part}/layer_norm/beta"))
    for number, linear in enumerate(linears):
        _set(linear.weight, load(f"{part}/linear_{number}/weight"))
        _set(linear.bias, load(f"{part}/linear_{number}/bias"))


class _Loader:
    def __init__(self, weights: dict[str, np.ndarray]) -> None:
        self._weights = weights

    def __call__(self, name: str) -> Tensor:
        if (values := self._weights.get(f"encoder/{name}")) is None:
            raise ModelError(f"encoder/{name}: there is no such weight in the Whisper model")
        return torch.from_numpy(values.astype(np.float32))


def _set(parameter: Tensor, values: Tensor) -> None:
    if parameter.shape != values.shape:
        raise ModelError(
            f"Whisper model: weights of shape {list(values.shape)}, where the recipe's encoder has "
            f"{list(parameter.shape)}; give the recipe its width, heads, feedforward and blocks"
        )
    parameter.copy_(values)


def frame_matrix(front_end: FrontEndConfig) -> tuple[Tensor, Tensor]:
    """Fit Whisper's frames as a linear function of ours, on noise of many colours and levels.

    Returns:
        The matrix, shape (mels, dim), and the offset, shape (mels,).
    """
    random = np.random.default_rng(0)
    ours, theirs = [], []
    for _ in range(NOISES):
        samples = torch.from_numpy(_noise(random)).float()
        x, y = FrontEnd(front_end)(samples), whisper_frames(samples[CENTRE:])
        count = min(len(x), len(y)) - 2
        ours.append(x[2:count])
        theirs.append(y[2:count])
    x, y = torch.cat(ours).double(), torch.cat(theirs).double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    x, y = x - mean_x, y - mean_y
    gram = x.T @ x
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    matrix = torch.linalg.solve(gram + ridge, x.T @ y).T
    return matrix.float(), (mean_y - matrix @ mean_x).float()


def _noise(random: np.random.Generator) -> np.ndarray:
    """Return noise whose colour and level change every 50 ms, with peaks as of formants."""
    piece = SAMPLE_RATE // 20
    parts = []
    for _ in range(NOISE_SECONDS * 20):
        hertz = np.fft.rfftfreq(piece, 1 / SAMPLE_RATE)
        gain_db = random.uniform(-70, -20) - random.uniform(-2, 12) * np.log2(1 + hertz / 500)
        for _ in range(4):
            centre, width = random.uniform(200, 7000), random.uniform(80, 600)
            gain_db += random.uniform(0, 25) * np.exp(-(((hertz - centre) / width) ** 2))
        spectrum = np.fft.rfft(random.standard_normal(piece)) * 10 ** (gain_db / 20)
        parts.append(np.fft.irfft(spectrum, piece))
    return np.concatenate(parts)


def whisper_frames(samples: Tensor) -> Tensor:
    """Return Whisper's log-mel frames, shape (frames, 80), without its floor below the loudest."""
    window = torch.hann_window(FFT_SIZE)
    spectrum = torch.stft(samples, FFT_SIZE, SHIFT_SAMPLES, window=window, return_complex=True)
    energy = slaney_filters() @ spectrum[:, :-1].abs().square()
    return (energy.clamp_min(FLOOR).log10().T + 4) / 4


def slaney_filters() -> Tensor:
    """Return mel filters of equal area (Slaney 1998), shape (80, 201): linear up to 1 kHz."""
    below, ratio = 3 / 200, 27 / math.log(6.4)  # mels a hertz; mels a factor of e above 1 kHz
    top = 15 + ratio * math.log(SAMPLE_RATE / 2 / 1000)
    mels = torch.linspace(0, top, MELS + 2, dtype=torch.float64)
    edges = torch.where(mels < 15, mels / below, 1000 * torch.exp((mels - 15) / ratio))
    hertz = torch.linspace(0, SAMPLE_RATE / 2, FFT_SIZE // 2 + 1, dtype=torch.float64)
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (hertz - low) / (centre - low), (high - hertz) / (high - centre)
    return (rising.minimum(falling).clamp_min(0) * 2 / (high - low)).float()


@torch.no_grad()
def _fit_distances(model: PhoneClassifier, places: Tensor, recordings: Sequence[Tensor]) -> None:
    """Set the numbers of distances to what Whisper's positions add to the scores on average."""
    states = []
    for frames in recordings:
        x = model._enter(model.normalise(frames[None]))
        entry = model.layers[0]
        x = entry(x, None)
        states.append([x - entry.offset + places[PLACE - len(x[0]) // 2 :][: x.shape[1]], x])
    for layer in model.layers[1:]:
        assert isinstance(layer, Residual)
        inner = layer.layer
        if isinstance(inner, MultiHeadAttention):
            assert inner.bias is not None
            reach = inner.bias.reach[0]
            means = [
                _mean_scores(inner, [layer.norm(s[kind]) for s in states], reach) for kind in (0, 1)
            ]
            apart = means[0] - means[1]
            inner.bias.table.copy_(apart - apart.mean(1, keepdim=True))
        for state in states:
            for kind in (0, 1):
                state[kind] = state[kind] + _full(layer, state[kind], with_bias=kind == 1)


def _scores(layer: MultiHeadAttention, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores of all pairs, shape (heads, queries, keys), and the values."""
    vectors = layer.project(x)[0].unflatten(-1, (3 * layer.heads, layer.head_width))
    q, k, v = vectors.transpose(0, 1).split(layer.heads)
    return q @ k.transpose(1, 2) / math.sqrt(layer.head_width), v


def _distances(count: int) -> Tensor:
    return torch.arange(count) - torch.arange(count)[:, None]


def _mean_scores(layer: MultiHeadAttention, inputs: list[Tensor], reach: int) -> Tensor:
    """Return the mean score of each distance up to ``reach``, shape (heads, 2 * reach + 1).

    Of each query, only differences between its scores count.
    """
    total, count = torch.zeros(layer.heads, 2 * reach + 1), torch.zeros(2 * reach + 1)
    for x in inputs:
        score, _ = _scores(layer, x)
        apart = _distances(score.shape[1])
        near = apart.abs() <= reach
        score = score - (score * near).sum(2, keepdim=True) / near.sum(1)[:, None]
        index = (apart[near] + reach).expand(layer.heads, -1)
        total.scatter_add_(1, index, score[:, near])
        count += torch.bincount(index[0], minlength=2 * reach + 1)
    return total / count.clamp_min(1)


def _full(residual: Residual, x: Tensor, with_bias: bool) -> Tensor:
    """Return what a layer adds, with attention over everything; Whisper's GELU as it is there."""
    layer, normed = residual.layer, residual.norm(x)
    if isinstance(layer, FeedForward):
        return layer.contract(F.gelu(layer.expand(normed)))
    assert isinstance(layer, MultiHeadAttention)
    score, v = _scores(layer, normed)
    if with_bias and layer.bias is not None:
        score = score + layer.bias(_distances(score.shape[1])[..., None])
    return layer.join((score.softmax(-1) @ v).transpose(0, 1).flatten(1))[None]
