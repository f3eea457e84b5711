"""A task for the tests: learns sums of two numbers, in no time."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from speechattn.errors import SpeechattnError
from speechattn.studies.trials import FitConfig, StudyConfig, fit, percent, run_trials
from speechattn.text import table


@dataclass(frozen=True)
class Config(StudyConfig):
    """A recipe of it: ``examples`` to learn from."""

    name: str = "sums"
    work_dir: str = "sums"
    seeds: int = 2
    examples: int = 8
    training: FitConfig = field(default_factory=lambda: FitConfig(steps=3, batch=4))


def check_data(config) -> None:
    if config.examples == 13:
        raise SpeechattnError("examples: 13; another number")


def run(config, force, report) -> None:
    check_data(config)

    def trial(wide: bool, seed: int) -> dict:
        torch.manual_seed(seed)
        x = torch.rand(config.examples, 2)
        model = torch.nn.Linear(2, 1, bias=wide)
        loss = lambda chosen: (model(x[chosen])[:, 0] - x[chosen].sum(1)).square().mean()
        fit(model, loss, len(x), config.training, seed)
        return {"error": loss(torch.arange(len(x))).item()}

    trials = {
        (name, seed): lambda wide=name == "with bias", seed=seed: trial(wide, seed)
        for seed in config.all_seeds
        for name in ("with bias", "without")
    }

    def write(rows) -> str:
        names = dict.fromkeys(row["trial"] for row in rows)
        errors = {n: [row["error"] for row in rows if row["trial"] == n] for n in names}
        return table(("kind", "error (%)"), [(n, percent(e)) for n, e in errors.items()])

    run_trials(config, {"examples": config.examples}, trials, write, force=force, report=report)
