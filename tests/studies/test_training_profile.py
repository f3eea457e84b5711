"""The profile of an update: its parts, and what they add up to."""

from __future__ import annotations

import pytest

from speechattn.cli.main import main
from speechattn.studies.training_profile import PARTS, UpdateProfile

pytestmark = pytest.mark.studies


def test_shares_are_of_all_parts_and_the_rest_is_outside():
    seconds = dict.fromkeys(PARTS, 0.1) | {"forward": 0.3, "backward": 0.3, "teacher": 0.0}
    profile = UpdateProfile(seconds, 8000, 6e9, 4e10, 2.0)
    assert profile.total == pytest.approx(1.0)
    assert profile.outside == pytest.approx(0.4)
    assert profile.of_peak == pytest.approx(0.25)
    report = profile.report("x")
    assert "Outside forward and backward: 40.0 %" in report and "25 % of the 40 GFLOP/s" in report
    assert "One core trains on 80.0 hours of audio an hour" in report


def test_the_command_measures_every_part(capsys):
    small = [f"encoder.{key}" for key in ("width=16", "heads=2", "feedforward=32", "blocks=1")]
    changes = ["training.batch_frames=400", "training.crop_frames=100", *small]
    assert main(["bench", "training", "kathleen", *changes, "--updates", "1"]) == 0
    out = capsys.readouterr().out
    assert all(f"| {part} |" in out for part in PARTS)
