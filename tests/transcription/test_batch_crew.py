"""Who transcribes."""

from __future__ import annotations

from speechattn.transcription import batch
from speechattn.transcription.batch import choose_pool
from speechattn.transcription.outputs import OutputOptions
from speechattn.transcription.transcriber import TranscriberSpec
from speechattn.transcription.workers.pool import InProcessPool, ProcessPool


def test_the_crew(monkeypatch):
    monkeypatch.setattr(batch, "usable_cores", lambda: 8)
    monkeypatch.setattr(batch, "may_have_cuda", lambda: False)

    def size(workers=0, jobs=100, device="auto", threads=1):
        picked = choose_pool(TranscriberSpec("m", device, threads, OutputOptions()), workers, jobs)
        return 1 if isinstance(picked, InProcessPool) else picked._count

    assert size() == 8 and size(jobs=3) == 3 and size(jobs=0) == 1
    assert size(threads=2) == 4 and size(threads=16) == 1 and size(threads=0) == 8
    assert size(workers=5) == 5 and size(workers=5, jobs=2) == 2 and size(workers=1) == 1
    assert size(device="cuda") == 4 and size(device="cuda", workers=2) == 2
    assert isinstance(
        choose_pool(TranscriberSpec("m", "cpu", 3, OutputOptions()), 2, 9), ProcessPool
    )
    # What brought the process down may do so again.
    resumed = choose_pool(TranscriberSpec("m", "cpu", 1, OutputOptions()), 1, 9, resume=True)
    assert isinstance(resumed, ProcessPool) and resumed._count == 1
