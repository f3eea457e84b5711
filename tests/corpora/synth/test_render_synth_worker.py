from __future__ import annotations

import io
import json
import resource
import signal
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from speechattn.corpora.synth import render
from speechattn.corpora.synth.corpus import plan
from speechattn.corpora.synth.espeak import espeak
from speechattn.corpora.synth.render import _job, _write_flac, work
from speechattn.errors import CorpusError


def answers(monkeypatch, folder, jobs) -> list[dict]:
    """What :func:`work` says in this process."""
    request = json.dumps({"folder": str(folder), "jobs": [asdict(job) for job in jobs]})
    out = io.BytesIO()
    pipes = {"stdin": io.BytesIO(request.encode() + b"\n"), "stdout": out}
    pipes = {name: SimpleNamespace(buffer=pipe) for name, pipe in pipes.items()}
    monkeypatch.setattr(render, "sys", SimpleNamespace(**pipes))
    before = signal.getsignal(signal.SIGINT)
    try:
        work()
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_jobs_survive_json():
    jobs = plan({"train": 5, "test": 2}, 2**70)
    assert [_job(json.loads(json.dumps(asdict(job)))) for job in jobs] == jobs


def test_work_answers_job_by_job(tmp_path, monkeypatch):
    jobs = plan({"dev": 2}, 1)
    version, *made = answers(monkeypatch, tmp_path, jobs)
    assert version == {"version": espeak().version} and len(made) == 2
    for job, one in zip(jobs, made):
        assert one["path"] == f"audio/{job.speaker.id}/{job.id}.flac"
        assert soundfile.info(tmp_path / one["path"]).frames == one["frames"] * 160
        assert one["phones"][-1][2] == one["frames"]


def test_error_is_the_last_answer(tmp_path, monkeypatch):
    (tmp_path / "audio").touch()
    version, error = answers(monkeypatch, tmp_path, plan({"dev": 2}, 1))
    assert "version" in version and error["error"] == "CorpusError"
    assert "cannot be written" in error["message"]


def test_flac_has_the_samples(tmp_path):
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 1600).astype(np.int16)
    _write_flac(tmp_path / "speaker" / "x.flac", samples)
    found, rate = soundfile.read(tmp_path / "speaker" / "x.flac", dtype="int16")
    assert rate == 16000 and np.array_equal(found, samples)


def test_full_disk_is_noticed(tmp_path):
    """A limit on file sizes stands for the disk; libsndfile leaves a short file and says nothing."""
    samples = np.random.default_rng(0).integers(-9000, 9000, 11000).astype(np.int16)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(CorpusError, match=r"x\.flac: cannot be written .File too large"):
            _write_flac(tmp_path / "x.flac", samples)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
