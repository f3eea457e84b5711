"""Time: the sample rate, the frame shift, and the arithmetic between seconds, samples and frames.

Every other module takes these numbers from here. Frame ``t`` stands for the 10 ms that begin at
``t * SHIFT_SAMPLES``; the 25 ms window from which it is computed is centred on them
(Kaldi's ``snip_edges=False``), so there are exactly 100 frames a second.
"""

from __future__ import annotations

SAMPLE_RATE = 16_000  # Hz, of everything behind the audio door
WINDOW_MS = 25.0  # ms of samples a frame is computed from
SHIFT_MS = 10.0  # ms from one frame to the next

WINDOW_SAMPLES = int(SAMPLE_RATE * WINDOW_MS / 1000)  # 400
SHIFT_SAMPLES = int(SAMPLE_RATE * SHIFT_MS / 1000)  # 160
FRAMES_PER_SECOND = SAMPLE_RATE // SHIFT_SAMPLES  # 100


def num_frames(num_samples: int) -> int:
    """Frames of a signal of ``num_samples`` samples at 16 kHz: ``(n + shift // 2) // shift``."""
    return (num_samples + SHIFT_SAMPLES // 2) // SHIFT_SAMPLES


def frame_to_seconds(frame: int) -> float:
    """Start of a frame in seconds (its end is the start of the next one)."""
    return frame / FRAMES_PER_SECOND


def seconds_to_frame(seconds: float) -> int:
    """The frame boundary nearest to a time in seconds."""
    return round(seconds * FRAMES_PER_SECOND)
