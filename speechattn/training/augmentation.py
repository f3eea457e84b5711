"""Augmentation: training batches as if spoken by others, elsewhere, into other microphones.

Everything is done to log-mel frames, where a batch takes milliseconds. A gain is an offset. A
filter is a curve over the bins. Noise is added as energy. A room smears energy over time (the
envelope of its impulse response: Lebart et al., 2001). Another vocal tract shifts the frequency
axis (vocal tract length perturbation: Jaitly & Hinton, 2013). Another tempo resamples the time
axis. Parts of time and frequency are masked (SpecAugment: Park et al., 2019).

Levels are means of energy over all frames and bins. The ratio of an utterance to its noise is thus
the signal-to-noise ratio as it is usually measured, except that the mel scale gives more weight to
low frequencies.
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
from speechattn.training.config_sections import AugmentationConfig

NEPERS_PER_DB = math.log(10) / 10  # natural logarithm of energy
QUIET = math.log(ENERGY_FLOOR)  # the lowest log energy there is
RIPPLES = 4  # cosines that make up a random filter
BAND_EDGES_HZ = (3200.0, 7000.0)  # above one of these a band-limited utterance has nothing
LOW_EDGES_HZ = (100.0, 350.0)  # nor, half of the time, below one of these: a telephone
ROOM_FRAMES = 80  # of a room's response that count, the direct sound included
DIRECT_DB = (-2.0, 12.0)  # ratio of direct to reverberant energy


class Augmenter:
    """Random changes of batches of log-mel frames.

    Args:
        config: strength and probability of each change.
        front_end: front end of the frames, for the frequency of each bin.
        generator: source of randomness.
        noises: log-mel frames of recorded noises, shape (frames, bins) each. Each is used half of
            the time; the other half is stationary noise of a random colour.
    """

    def __init__(
        self,
        config: AugmentationConfig,
        front_end: FrontEndConfig,
        generator: torch.Generator,
        noises: Sequence[np.ndarray] = (),
    ) -> None:
        self.config = config
        self.front_end = front_end
        self.generator = generator
        self.noises = noises
        self._mask = import_torchaudio().functional.mask_along_axis_iid

    def __call__(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Augment a batch, except for its masks (:meth:`mask`) and its tempo (:meth:`tempo`).

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
        """Mask parts of time and frequency of an augmented batch (SpecAugment).

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
        """Draw the positions at which an utterance is read for another tempo.

        Args:
            frames: frames of the utterance.

        Returns:
            Ascending positions from 0 to below ``frames``, float, shape (new frames,).
        """
        change = (2 * torch.rand(1, generator=self.generator).item() - 1) * self.config.speed
        count = max(1, round(frames / (1 + change)))
        return torch.arange(count) * (max(0, frames - 1) / max(1, count - 1))

    def shuffled(self, labels: Tensor) -> Tensor | None:
        """Draw a new order for the frames of an utterance, in pieces cut where a phone ends.

        The context of a piece then says nothing about it. A model that sees the same sentences
        again and again learns their sounds and not the sentences.

        Args:
            labels: of its frames, shape (frames,).

        Returns:
            Indices of all frames, shape (frames,); None if the order stays.
        """
        share, shortest = self.config.shuffle_probability, self.config.shuffle_frames
        if not share or self._uniform(1).item() >= share:
            return None
        # Pieces are one to two times as long as the shortest, and go on to where a phone ends.
        changes = (torch.diff(labels).nonzero()[:, 0] + 1).tolist()
        starts, next_start = [0], self._piece(shortest)
        for frame in changes:
            if frame >= next_start:
                starts.append(frame)
                next_start = frame + self._piece(shortest)
        ends = [*starts[1:], len(labels)]
        order = torch.randperm(len(starts), generator=self.generator).tolist()
        return torch.cat([torch.arange(starts[i], ends[i]) for i in order])

    def coded(self) -> bool:
        """Draw whether an utterance is heard through a codec."""
        share = self.config.codec_probability
        return share > 0 and self._uniform(1).item() < share

    def silenced(self) -> bool:
        """Draw whether an utterance is replaced by noise; cepstra never are."""
        share = self.config.silence_probability if self.front_end.kind == "fbank" else 0.0
        return share > 0 and self._uniform(1).item() < share

    def _uniform(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self.generator)

    def _normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator)

    def _below(self, count: int) -> int:
        return int(torch.randint(count, (1,), generator=self.generator))

    def _piece(self, shortest: int) -> int:
        return shortest + self._below(shortest)

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
        """Draw smooth curves over the bins, of deviation about 1, shape (batch, bins)."""
        order = torch.arange(1, RIPPLES + 1)
        phase = torch.arange(bins) / bins * math.pi
        waves = torch.cos(order[:, None] * phase)  # (ripples, bins)
        return self._normal(batch, RIPPLES) / order.sqrt() @ waves

    def noise(self, frames: int, bins: int) -> Tensor:
        """Draw noise for one utterance: a recorded one, or stationary noise of a random colour.

        Args:
            frames: frames of the utterance.
            bins: mel bins.

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
        """Draw noise for a padded batch, at random signal-to-noise ratios."""
        low, high = self.config.noise_snr_db
        snr = (low + (high - low) * self._uniform(len(x))) * NEPERS_PER_DB
        noise = torch.stack([self.noise(*x.shape[1:]) for _ in x])
        return noise + (_level(x, within) - snr[:, None, None])

    def _room(self, x: Tensor, within: Tensor) -> Tensor:
        """Smear energy over the following frames, as the echoes of a room do.

        The energy of the echo falls by 60 dB in the reverberation time. The ratio of the direct
        sound to the sum of the echo is drawn from ``DIRECT_DB``.
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
        delay = torch.arange(frames)[:, None] - torch.arange(frames)  # rows: frame of the echo
        within_response = (delay >= 0) & (delay < ROOM_FRAMES)
        smear = response[:, delay.clamp(0, ROOM_FRAMES - 1)] * within_response
        x = x.clone()
        # Energies relative to the loudest one fit float32; the floor lies 138 dB below it.
        dry = x.masked_fill(~within, -torch.inf)[chosen]
        peak = dry.amax((1, 2), keepdim=True)
        energy = torch.exp(dry - peak)
        x[chosen] = (smear @ energy).clamp_min(ENERGY_FLOOR**2).log() + peak
        return x

    def _band_limit(self, x: Tensor, within: Tensor) -> Tensor:
        """Remove what lies above a random edge and, half of the time, below another one."""
        batch, hertz = len(x), self._bin_hertz(x.shape[2])
        low, high = BAND_EDGES_HZ
        removed = hertz > low + (high - low) * self._uniform(batch, 1)
        low, high = LOW_EDGES_HZ
        below = hertz < low + (high - low) * self._uniform(batch, 1)
        removed = removed | below & (self._uniform(batch, 1) < 0.5)
        # The residue is anything between the quietest part and what a digital filter leaves.
        quietest = x.masked_fill(~within, torch.inf).amin((1, 2), keepdim=True)
        floor = quietest - self._uniform(batch, 1, 1) * (quietest - QUIET).clamp_min(0)
        chosen = self._chosen(batch, self.config.band_limit_probability)
        return torch.where(chosen & removed[:, None], torch.minimum(x, floor), x)

    def _specaugment(self, x: Tensor, mean: Tensor) -> Tensor:
        """Replace parts of time and of frequency by the utterance's mean.

        A mask has from 0 to ``widest - 1`` frames or bins, with equal probability. Its start is
        drawn over the frames of the padded batch. In an utterance shorter than the longest one,
        some masks therefore fall on padding and hide nothing.

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
    """Return the mean log energy of each utterance without padding, shape (batch, 1, 1)."""
    return (x * within).sum((1, 2), keepdim=True) / (within.sum((1, 2), keepdim=True) * x.shape[2])


def _level(x: Tensor, within: Tensor) -> Tensor:
    """Return the log of each utterance's mean energy without padding, shape (batch, 1, 1)."""
    total = x.masked_fill(~within, -torch.inf).logsumexp((1, 2), keepdim=True)
    return total - (within.sum((1, 2), keepdim=True) * x.shape[2]).log()


def import_torchaudio() -> types.ModuleType:
    """Import torchaudio, with or without its compiled extension.

    All that this package uses of torchaudio is ``functional.mask_along_axis_iid``, here, for
    SpecAugment. The tests also use its Kaldi-compatible front end as a reference. Both are plain
    Python.

    The wheel on the package index is linked against CUDA. Beside a CPU-only PyTorch, ``import
    torchaudio`` raises an OSError in the one module that loads the extension. It works once that
    module is replaced by an empty one, which is done here after such an error.
    """
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules["torchaudio._extension"] = _without_extension()
        return importlib.import_module("torchaudio")


def _without_extension() -> types.ModuleType:
    """Make a stand-in for the module that loads the extension, with the names it exports."""
    module = types.ModuleType("torchaudio._extension")
    names = {
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_RIR_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "_check_cuda_version": lambda: None,
        "fail_if_no_align": lambda function: function,
    }
    vars(module).update(names)
    return module
