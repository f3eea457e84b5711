"""``speechattn bench cuda``, as far as it runs without a GPU."""

from __future__ import annotations

import pytest
import torch

from speechattn.bench import cuda
from speechattn.bench.cuda import Size, bench_cuda, check_attention
from speechattn.cli.main import main
from speechattn.errors import SpeechattnError

TINY = Size("cpu", (4,), 64, 90, 1, 0.05, 3, 2)


def test_the_whole_script_in_a_trial(tiny_model_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cuda, "DRY", TINY)
    options = ["--dry", "--model", str(tiny_model_dir), "--output-dir", str(tmp_path / "out")]
    assert main(["bench", "cuda", *options]) == 0
    report = capsys.readouterr().out
    assert (tmp_path / "out" / "cuda.md").read_text() == report
    for what in ("gradient of the bias | 0.0e+00 | yes", "encoder: in chunks", "times real time"):
        assert what in report
    assert "NO |" not in report and "the CPU (dry)" in report
    assert "| ±4 | forward and backward |" in report
    assert "losses differ from the CPU's by 0e+00 at most" in report


def test_numbers_that_differ_are_told(monkeypatch):
    ours = cuda.truncated_attention

    def wrong(q, k, v, left, right, **options):
        out = ours(q, k, v, left, right, **options)
        return out * 1.05 if q.dtype == torch.bfloat16 else out

    monkeypatch.setattr(cuda, "truncated_attention", wrong)
    right = {name: right for name, _, right in check_attention(TINY)}
    assert right["±4, float32: outputs"] and not right["±4, bfloat16: outputs"]
    assert not right["±4, bfloat16: gradient of v"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_way_out_is_named():
    with pytest.raises(SpeechattnError, match="--dry"):
        bench_cuda(model="m", publish=print, report=print)
