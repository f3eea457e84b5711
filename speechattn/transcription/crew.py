"""Who transcribes: this process alone, or as many workers as suit the machine."""

from __future__ import annotations

from speechattn.cores import may_have_cuda, usable_cores
from speechattn.transcription.severalfiles import TOGETHER
from speechattn.transcription.transcriber import Setup, environment
from speechattn.transcription.workers.pool import Alone, Workers

WORKERS_ON_CUDA = 4  # at most, of one GPU


def pick_crew(setup: Setup, workers: int, jobs: int, resume: bool = False) -> Alone | Workers:
    """Who transcribes: this process, or workers.

    A run that is resumed may have been ended by a recording that brought its process down. So it
    has workers, be it one: what happens again costs that recording alone.

    Args:
        setup: what each needs.
        workers: their number; 0 for what suits the machine.
        jobs: number of recordings; there are no more workers than that.
        resume: whether the run goes on with another.
    """
    if not workers:
        # On CUDA the others decode and write while one computes.
        most = WORKERS_ON_CUDA if _on_cuda(setup.device) else usable_cores()
        workers = max(1, min(most, usable_cores() // max(1, setup.threads)))
    workers = min(workers, jobs)
    if workers <= 1 and not resume:
        return Alone(setup, TOGETHER)
    return Workers(setup, max(1, workers), environment(setup.threads), TOGETHER)


def _on_cuda(device: str) -> bool:
    if device == "auto" and may_have_cuda():
        import torch

        return torch.cuda.is_available()
    return device.startswith("cuda")
