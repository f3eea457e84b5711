"""Augmentation: training batches as if spoken by others, elsewhere, into other microphones.

All of it happens to log-mel frames, where a batch costs milliseconds: a gain is an offset, a filter
a curve over the bins, noise is added as energy, a room smears energy over time (the envelope of its
impulse response: Lebart et al., 2001), another vocal tract shifts the frequency axis (vocal tract
length perturbation: Jaitly & Hinton, 2013), another tempo resamples the time axis, and stretches of
time and frequency are masked (SpecAugment: Park et al., 2019).

Levels are means of energy over all frames and bins, so a ratio of an utterance to its noise is the
signal-to-noise ratio as it is usually measured, but for the weight that the mel scale gives to low
frequencies.

Imports torchaudio where its compiled extension does not load.

The wheel on the package index is linked against CUDA; beside a CPU-only torch ``import torchaudio``
fails in the one module that loads the extension. What this project uses of it (masking, Kaldi
compliance, resampling) is plain Python and works once that module is replaced by an empty one.
"""

from __future__ import annotations

import importlib
import math
import sys
import types
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from speechattn.audio.features import ENERGY_FLOOR, FrontEndConfig
from speechattn.segments import SHIFT_MS
from speechattn.training.config import AugmentationConfig

NEPERS_PER_DB = math.log(10) / 10  # natural logarithm of energy
QUIET = math.log(ENERGY_FLOOR)  # the lowest log energy there is
RIPPLES = 4  # cosines that make up a random filter
BAND_EDGES_HZ = (3200.0, 7000.0)  # above one of these a band-limited utterance has nothing
LOW_EDGES_HZ = (100.0, 350.0)  # nor, half of the time, below one of these: a telephone
ROOM_FRAMES = 80  # of a room's response that count, the direct sound included
DIRECT_DB = (-2.0, 12.0)  # ratio of direct to reverberant energy


class Augmenter:
    """Changes batches of log-mel frames at random.

    Args:
        config: what to do.
        front_end: which frequency a bin is at.
        generator: where the randomness comes from.
        noises: log-mel frames of recorded noises, shape (frames, bins) each, that take turns with
            stationary noise of a random colour.
    """

    def __init__(
        self,
        config: AugmentationConfig,
        front_end: FrontEndConfig,
        generator: torch.Generator,
        noises: Sequence[np.ndarray] = (),
    ):
        self.config = config
        self.front_end = front_end
        self.generator = generator
        self.noises = noises
        self._mask = import_torchaudio().functional.mask_along_axis_iid

    def __call__(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Augment a batch but for its masks (:meth:`mask`) and its speed (:meth:`tempo`).

        Args:
            frames: shape (batch, frames, bins), log-mel.
            lengths: frames of each utterance, shape (batch,).

        Returns:
            A new tensor of the same shape.
        """
        if self.front_end.kind != "fbank":
            return frames  # a gain or a mask means nothing to cepstra
        config, batch = self.config, len(frames)
        x = self._warp(frames) if config.vocal_tract else frames
        within = (torch.arange(x.shape[1]) < lengths[:, None])[:, :, None]
        if config.room_probability:
            x = self._room(x, within)
        if config.channel_db:
            x = x + self._filter(batch, x.shape[2])[:, None] * config.channel_db * NEPERS_PER_DB
        if config.noise_probability:
            chosen = self._chosen(batch, config.noise_probability)
            x = torch.where(chosen, torch.logaddexp(x, self._background(x, within)), x)
        if config.band_limit_probability:
            x = self._band_limit(x, within)
        if config.gain_db:
            x = x + self._normal(batch, 1, 1) * config.gain_db * NEPERS_PER_DB
        return x

    def mask(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Mask stretches of time and frequency of an augmented batch (SpecAugment).

        Args:
            frames: shape (batch, frames, bins).
            lengths: frames of each utterance, shape (batch,).

        Returns:
            A new tensor of the same shape.
        """
        if self.front_end.kind != "fbank":
            return frames
        within = (torch.arange(frames.shape[1]) < lengths[:, None])[:, :, None]
        return self._specaugment(frames, _mean(frames, within))

    def tempo(self, frames: int) -> Tensor:
        """Positions at which an utterance of ``frames`` frames is read for another tempo.

        Returns:
            Ascending positions from 0 to below ``frames``, float, shape (new frames,).
        """
        change = (2 * torch.rand(1, generator=self.generator).item() - 1) * self.config.speed
        count = max(1, round(frames / (1 + change)))
        return torch.arange(count) * (max(0, frames - 1) / max(1, count - 1))

    def shuffled(self, labels: Tensor) -> Tensor | None:
        """A new order for the frames of the next utterance, in pieces cut where a phone ends.

        What stands around a piece then tells nothing about it: a model that sees the same
        sentences again and again learns their sounds and not the sentences.

        Args:
            labels: of its frames, shape (frames,).

        Returns:
            Indices of all frames, shape (frames,); None where the order is to stay.
        """
        share, least = self.config.shuffle_probability, self.config.shuffle_frames
        if not share or self._uniform(1).item() >= share:
            return None
        # Pieces have the least length and up to as much again, or go on to where the phone ends.
        changes = (torch.diff(labels).nonzero()[:, 0] + 1).tolist()
        starts, soonest = [0], self._piece(least)
        for place in changes:
            if place >= soonest:
                starts.append(place)
                soonest = place + self._piece(least)
        ends = [*starts[1:], len(labels)]
        order = torch.randperm(len(starts), generator=self.generator).tolist()
        return torch.cat([torch.arange(starts[i], ends[i]) for i in order])

    def silenced(self) -> bool:
        """Whether the next utterance gives way to noise; cepstra never do."""
        share = self.config.silence_probability if self.front_end.kind == "fbank" else 0.0
        return share > 0 and self._uniform(1).item() < share

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (1,), generator=self.generator))

    def _piece(self, least: int) -> int:
        return least + self._below(least)

    def _chosen(self, batch: int, probability: float) -> Tensor:
        return (self._uniform(batch) < probability)[:, None, None]

    def _bin_hertz(self, bins: int) -> Tensor:
        low, high = (
            1127 * math.log1p(f / 700) for f in (self.front_end.low_freq, self.front_end.upper_edge)
        )
        mel = low + (high - low) * torch.arange(1, bins + 1) / (bins + 1)
        return 700 * torch.expm1(mel / 1127)

    def _warp(self, x: Tensor) -> Tensor:
        """Scale the frequency axis; beyond the highest bin its value is repeated."""
        bins = x.shape[2]
        factor = 1 + (2 * self._uniform(len(x), 1) - 1) * self.config.vocal_tract
        hertz = self._bin_hertz(bins) * factor
        spacing = 1127 * torch.log1p(self._bin_hertz(bins) / 700)
        position = (1127 * torch.log1p(hertz / 700) - spacing[0]) / (spacing[1] - spacing[0])
        position = position.clamp(0, bins - 1)
        low = position.floor().long().clamp(max=bins - 2)
        weight = (position - low)[:, None]
        low = low[:, None].expand(x.shape)
        return x.gather(2, low) * (1 - weight) + x.gather(2, low + 1) * weight

    def _filter(self, batch: int, bins: int) -> Tensor:
        """A smooth random curve over the bins, deviation about 1, shape (batch, bins)."""
        order = torch.arange(1, RIPPLES + 1)
        phase = torch.arange(bins) / bins * math.pi
        waves = torch.cos(order[:, None] * phase)  # (ripples, bins)
        return self._normal(batch, RIPPLES) / order.sqrt() @ waves

    def noise(self, frames: int, bins: int) -> Tensor:
        """Noise for one utterance: a stretch of a recorded one, or stationary of a random colour.

        Returns:
            Log-mel frames of mean energy 1, shape (frames, bins).
        """
        if len(self.noises) and self._uniform(1).item() < 0.5:
            recorded = self.noises[self._below(len(self.noises))]
            start = self._below(len(recorded))
            picked = (start + torch.arange(frames)) % len(recorded)
            x = torch.from_numpy(recorded[picked.numpy()]).float()
        else:
            # Under a fixed colour, the energy in every bin of white noise is exponential.
            energy = torch.empty(frames, bins).exponential_(generator=self.generator)
            x = self._filter(1, bins) * 1.5 + energy.clamp_min(1e-3).log()
        return x - (torch.logsumexp(x, (0, 1)) - math.log(x.numel()))

    def _background(self, x: Tensor, within: Tensor) -> Tensor:
        """Noise for a batch, over its padded length at random ratios below the utterances."""
        low, high = self.config.noise_snr_db
        snr = (low + (high - low) * self._uniform(len(x))) * NEPERS_PER_DB
        noise = torch.stack([self.noise(*x.shape[1:]) for _ in x])
        return noise + (_level(x, within) - snr[:, None, None])

    def _room(self, x: Tensor, within: Tensor) -> Tensor:
        """Smear energy over the frames that follow, as the echoes of a room do.

        The echo's energy falls by 60 dB in the reverberation time; the direct sound stands above
        its sum by a ratio from ``DIRECT_DB``.
        """
        chosen = self._chosen(len(x), self.config.room_probability)[:, 0, 0].nonzero()[:, 0]
        count, frames = len(chosen), x.shape[1]
        low, high = self.config.room_seconds
        seconds = low + (high - low) * self._uniform(count, 1)
        direct_db = DIRECT_DB[0] + (DIRECT_DB[1] - DIRECT_DB[0]) * self._uniform(count, 1)
        time = torch.arange(1, ROOM_FRAMES) * (SHIFT_MS / 1000)
        echo = torch.exp(-6 * math.log(10) * time / seconds)
        echo = echo / echo.sum(1, keepdim=True) * 10 ** (-direct_db / 10)
        response = torch.cat([torch.ones(count, 1), echo], 1)
        late = torch.arange(frames)[:, None] - torch.arange(frames)  # rows: when it is heard
        heard = (late >= 0) & (late < ROOM_FRAMES)
        smear = response[:, late.clamp(0, ROOM_FRAMES - 1)] * heard
        x = x.clone()
        # Energies relative to the loudest one fit float32; the floor lies 138 dB below it.
        dry = x.masked_fill(~within, -torch.inf)[chosen]
        peak = dry.amax((1, 2), keepdim=True)
        energy = torch.exp(dry - peak)
        x[chosen] = (smear @ energy).clamp_min(ENERGY_FLOOR**2).log() + peak
        return x

    def _band_limit(self, x: Tensor, within: Tensor) -> Tensor:
        """Take away what lies above a random edge, and for some what lies below another."""
        batch, hertz = len(x), self._bin_hertz(x.shape[2])
        low, high = BAND_EDGES_HZ
        gone = hertz > low + (high - low) * self._uniform(batch, 1)
        low, high = LOW_EDGES_HZ
        below = hertz < low + (high - low) * self._uniform(batch, 1)
        gone = gone | below & (self._uniform(batch, 1) < 0.5)
        # From barely attenuated to what a digital filter leaves.
        quietest = x.masked_fill(~within, torch.inf).amin((1, 2), keepdim=True)
        floor = quietest - self._uniform(batch, 1, 1) * (quietest - QUIET).clamp_min(0)
        chosen = self._chosen(batch, self.config.band_limit_probability)
        return torch.where(chosen & gone[:, None], torch.minimum(x, floor), x)

    def _specaugment(self, x: Tensor, mean: Tensor) -> Tensor:
        """Mask stretches of time and of frequency with the utterance's mean.

        A stretch has from 0 to ``widest - 1`` frames or bins, evenly. Where it begins is drawn over
        the frames of the padded batch: of an utterance shorter than the longest one a part of the
        masks, as large as its share of padding, falls on padding and hides nothing.

        Args:
            x: shape (batch, frames, bins).
            mean: of each utterance, shape (batch, 1, 1).
        """
        config = self.config
        x = (x - mean)[:, None]  # masked bins take the mean of the utterance
        with torch.random.fork_rng(devices=[]):  # torchaudio draws from the global generator
            torch.manual_seed(torch.randint(2**62, (1,), generator=self.generator).item())
            for count, widest, axis in (
                (config.time_masks, config.time_mask_frames, 2),
                (config.frequency_masks, config.frequency_mask_bins, 3),
            ):
                for _ in range(count if widest else 0):
                    x = self._mask(x, min(widest, x.shape[axis]), 0.0, axis)
        return x[:, 0] + mean


def _mean(x: Tensor, within: Tensor) -> Tensor:
    """Mean log energy of each utterance without its padding, shape (batch, 1, 1)."""
    return (x * within).sum((1, 2), keepdim=True) / (within.sum((1, 2), keepdim=True) * x.shape[2])


def _level(x: Tensor, within: Tensor) -> Tensor:
    """Logarithm of the mean energy of each utterance without its padding, shape (batch, 1, 1)."""
    total = x.masked_fill(~within, -torch.inf).logsumexp((1, 2), keepdim=True)
    return total - (within.sum((1, 2), keepdim=True) * x.shape[2]).log()


def import_torchaudio() -> types.ModuleType:
    """The torchaudio package, with or without its compiled extension."""
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _without_extension()
        return importlib.import_module("torchaudio")


def _without_extension() -> types.ModuleType:
    module = types.ModuleType("torchaudio._extension")
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_RIR_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._check_cuda_version = lambda: None
    module.fail_if_no_align = lambda function: function
    return module
