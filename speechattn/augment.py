"""Augmentation: training batches as if spoken by others, elsewhere, into other microphones.

All of it happens to log-mel frames, where a batch costs milliseconds: a gain is an offset, a filter
a curve over the bins, noise is added as energy, another vocal tract shifts the frequency axis
(vocal tract length perturbation: Jaitly & Hinton, 2013), another tempo resamples the time axis, and
stretches of time and frequency are masked (SpecAugment: Park et al., 2019).

The level that noise is measured against is the mean log energy of an utterance, over all its frames
and bins, pauses included. In read speech it lies some 15 dB below the level of the speech: where a
ratio of 10 dB was asked for, speech stood a median of 24 dB (one speaker in a studio) and 28 dB
(many speakers, many pauses) above the noise that was added.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from speechattn.config import AugmentationConfig
from speechattn.frontend import FrontEndConfig
from speechattn.torchaudio_import import import_torchaudio

NEPERS_PER_DB = math.log(10) / 10  # natural logarithm of energy
RIPPLES = 4  # cosines that make up a random filter
BAND_EDGES_HZ = (3200.0, 7000.0)
HUSHED = 6.0  # nepers by which band-limiting lowers a bin below the quietest one


class Augmenter:
    """Changes batches of log-mel frames at random.

    Args:
        config: what to do.
        front_end: which frequency a bin is at.
        generator: where the randomness comes from.
    """

    def __init__(
        self, config: AugmentationConfig, front_end: FrontEndConfig, generator: torch.Generator
    ):
        self.config = config
        self.front_end = front_end
        self.generator = generator
        self._mask = import_torchaudio().functional.mask_along_axis_iid

    def __call__(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Augment a batch; speed is changed by :meth:`tempo`, before the batch is made.

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
        level = _mean(x, within)
        if config.channel_db:
            x = x + self._filter(batch, x.shape[2])[:, None] * config.channel_db * NEPERS_PER_DB
        if config.noise_probability:
            x = self._noise(x, level)
        if config.band_limit_probability:
            x = self._band_limit(x, within)
        if config.gain_db:
            x = x + self._normal(batch, 1, 1) * config.gain_db * NEPERS_PER_DB
        return self._specaugment(x, _mean(x, within))

    def tempo(self, frames: int) -> Tensor:
        """Positions at which an utterance of ``frames`` frames is read for another tempo.

        Returns:
            Ascending positions from 0 to below ``frames``, float, shape (new frames,).
        """
        change = (2 * torch.rand(1, generator=self.generator).item() - 1) * self.config.speed
        count = max(1, round(frames / (1 + change)))
        return torch.arange(count) * (max(0, frames - 1) / max(1, count - 1))

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

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

    def _noise(self, x: Tensor, level: Tensor) -> Tensor:
        """Add stationary noise of a random colour, its energy in every bin exponential.

        Args:
            x: shape (batch, frames, bins).
            level: mean log energy of each utterance, shape (batch, 1, 1). A mean of logarithms
                over pauses too lies below the level of the speech; see the module's docstring.
        """
        low, high = self.config.noise_snr_db
        batch, _, bins = x.shape
        snr = (low + (high - low) * self._uniform(batch)) * NEPERS_PER_DB
        colour = self._filter(batch, bins) * 1.5
        energy = torch.empty(x.shape).exponential_(generator=self.generator)
        noise = level - snr[:, None, None] + colour[:, None] + energy.clamp_min(1e-3).log()
        return torch.where(
            self._chosen(batch, self.config.noise_probability), torch.logaddexp(x, noise), x
        )

    def _band_limit(self, x: Tensor, within: Tensor) -> Tensor:
        low, high = BAND_EDGES_HZ
        edge = low + (high - low) * self._uniform(len(x), 1)
        above = self._bin_hertz(x.shape[2]) > edge
        chosen = self._chosen(len(x), self.config.band_limit_probability)
        quietest = x.masked_fill(~within, torch.inf).amin((1, 2), keepdim=True)
        floor = quietest - HUSHED * self._uniform(len(x), 1, 1)
        return torch.where(chosen & above[:, None], floor, x)

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
