"""What a search takes for log posteriors: logarithms of probabilities, and no NaN."""

from __future__ import annotations

import numpy as np

BLOCK_FRAMES = 8192  # frames checked or copied at a time
LARGEST_LOG_POSTERIOR = 1e-3  # nats; rounding may leave a little more than 0


def check_log_posteriors(frames: np.ndarray, classes: int | None = None, first: int = 0) -> None:
    """Raise a ValueError unless an array holds log posteriors.

    Args:
        frames: shape (frames, classes).
        classes: how many there are; None for any number.
        first: number of the first frame, for messages.
    """
    if frames.ndim != 2 or classes not in (None, frames.shape[1]):
        wanted = "classes" if classes is None else classes
        raise ValueError(f"log posteriors have shape {frames.shape}; give (frames, {wanted})")
    for start in range(0, len(frames), BLOCK_FRAMES):
        highest = frames[start : start + BLOCK_FRAMES].max(initial=-np.inf)  # NaN if there is one
        if np.isnan(highest):
            rows = np.isnan(frames[start : start + BLOCK_FRAMES]).any(axis=1)
            raise ValueError(
                f"log posteriors of frame {first + start + int(np.argmax(rows))} contain NaN; "
                "check the model's weights"
            )
        if highest > LARGEST_LOG_POSTERIOR:
            raise ValueError(
                f"a log posterior is {highest:.4g}, above 0; give logarithms of probabilities"
            )
