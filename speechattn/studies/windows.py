"""``speechattn bench windows``: windows of attention and other encoders, trained and compared.

Every variant is trained by the same recipe, on the same data, for as many updates, with the same
seeds, and is scored on the same test sets. Finished trainings are not repeated, and interrupted
ones continue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from speechattn.bench.output import write_files
from speechattn.bench.process import machine_facts
from speechattn.encoder.config import EncoderConfig
from speechattn.encoder.kinds import AnyEncoderConfig
from speechattn.inference.describe import costs
from speechattn.machine import num_usable_cores
from speechattn.studies.windows_costs import (
    HOUR_FRAMES,
    LENGTHS,
    MOST_WORK,
    QUICK_WORK,
    UTTERANCE_FRAMES,
    measure_once,
)
from speechattn.studies.windows_report import (
    cost_picture,
    csv_report,
    markdown_report,
    memory_picture,
    window_picture,
)
from speechattn.studies.windows_results import Outcome
from speechattn.studies.windows_training import VariantRun
from speechattn.studies.windows_variants import Variant, chosen, default_variants, read_variants
from speechattn.text import table
from speechattn.training.config import RecipeConfig
from speechattn.training.config_sections import TUNED
from speechattn.training.recipe import Recipe, first_passes
from speechattn.training.recipe_file import read_config
from speechattn.training.recipe_problems import COMMAND_LINE
from speechattn.training.train_stage import check_reach
from speechattn.training.work_folder import at_work

NAME = "windows"  # name of the output files and their folder
QUICK_STEPS, QUICK_WARMUP = 100, 20
QUICK_REPLICAS = 4  # or the number of cores, if that is smaller
QUICK_UTTERANCES = 300  # utterances of the test set


def bench_windows(
    config: str,
    overrides: Sequence[str],
    *,
    variants: str | Path | None,
    only: str | None,
    seeds: int,
    quick: bool,
    list_only: bool,
    output_dir: str | Path | None,
    publish: Callable[[str], None],
    report: Callable[[str], None],
) -> None:
    """Train variants of a recipe's encoder, measure and compare them.

    Args:
        config: recipe: a YAML file, or its name.
        overrides: overrides of the recipe's keys, each ``key=value``.
        variants: YAML file of variants; None for those of
            :func:`~speechattn.studies.windows_variants.default_variants`.
        only: names of the variants to use, separated by semicolons; None for all.
        seeds: number of trainings of each variant.
        quick: use fewer variants, updates and test utterances.
        list_only: list the variants and train nothing.
        output_dir: folder for trainings and results; None for one in the recipe's ``work_dir``.
        publish: takes the report, in Markdown, before files are written.
        report: takes one line for the user.

    Raises:
        SpeechattnError: if the recipe or a variant is not valid, or a training fails.
        UsageError: if the folder cannot be written.
    """
    values = read_config(config, overrides, said=COMMAND_LINE)
    before = torch.get_num_threads()
    try:
        recipe = Recipe(values)  # may set the number of threads
        wanted = _variants(recipe, variants, only, quick)
        if list_only:
            publish(_listed(recipe, wanted))
            return
        folder = Path(output_dir or Path(values.work_dir) / NAME)
        _prepare(config, recipe)
        with at_work(folder):
            outcomes = _outcomes(recipe, wanted, seeds, quick, folder, report)
        text = markdown_report(outcomes, _facts(recipe, outcomes, seeds), quick)
        publish(text)
        write_files(folder, {f"{NAME}.md": text, f"{NAME}.csv": csv_report(outcomes)})
        window_picture(folder / "accuracy-window.png", outcomes)
        cost_picture(folder / "accuracy-cost.png", outcomes)
        memory_picture(folder / "memory-length.png", outcomes)
        report(f"report, table and pictures are in {folder}")
    finally:
        torch.set_num_threads(before)


def _variants(
    recipe: Recipe, path: str | Path | None, only: str | None, quick: bool
) -> list[Variant]:
    """Return the variants of a file, or the built-in ones, reduced to the names in ``only``."""
    config = recipe.config
    shape = config.encoder, config.front_end.dim, len(recipe.data.phones)
    if path is not None:
        return chosen(read_variants(path, *shape), only)
    return chosen(default_variants(*shape, quick=quick), only)


def _listed(recipe: Recipe, variants: list[Variant]) -> str:
    """Return a table of the variants."""
    sizes = recipe.config.front_end.dim, len(recipe.data.phones)
    rows = []
    for variant in variants:
        encoder = variant.encoder
        field = encoder.receptive_field_ms
        rows.append(
            (
                variant.name,
                encoder.kind,
                f"{costs(encoder, *sizes).weights:,}",
                "all" if field is None else f"{field:,g}",
            )
        )
    return table(("variant", "kind", "weights", "receptive field (ms)"), rows) + "\n"


def _prepare(source: str, recipe: Recipe) -> None:
    """Prepare the recipe's sets if they are out of date."""
    if recipe.runner.up_to_date("prepare"):
        return
    for first in first_passes(source, recipe.config):
        Recipe(first).runner.run(("prepare", "train"))
    recipe.runner.run(("prepare",))


def _outcomes(
    recipe: Recipe,
    variants: list[Variant],
    seeds: int,
    quick: bool,
    folder: Path,
    report: Callable[[str], None],
) -> list[Outcome]:
    """Train, score and measure every variant; the arguments are those of :func:`bench_windows`."""
    for variant in variants:
        limit = variant.encoder.trained_length
        for name in ("dev", "test"):
            check_reach(limit, f"{name} ({variant.name})", recipe.data.prepared(name))
    config = _budget(recipe.config, quick)
    prepared = recipe.runner.fingerprint("prepare")
    runs: dict[str, dict[int, dict]] = {variant.name: {} for variant in variants}
    most = QUICK_UTTERANCES if quick else None
    numbers = range(config.seed, config.seed + seeds)
    for seed in numbers:  # seeds outside, so that an interrupted benchmark has every variant
        for variant in variants:
            run = VariantRun(variant, seed, config, recipe.data, prepared, folder / "runs", most)
            report(f"{variant.name}, seed {seed}: {'done before' if run.done else 'training'}")
            runs[variant.name][seed] = run.run(recipe.device)
    lengths: tuple[int, ...] = LENGTHS
    work = MOST_WORK
    if quick:
        lengths, work = (UTTERANCE_FRAMES, HOUR_FRAMES), QUICK_WORK
    outcomes, sizes = [], (config.front_end.dim, len(recipe.data.phones))
    for variant in variants:
        report(f"{variant.name}: speed and memory")
        measured = measure_once(
            folder / "measured", _without_any_window(variant.encoder), *sizes, lengths, work
        )
        outcomes.append(Outcome(variant, runs[variant.name], measured))
    return outcomes


def _without_any_window(encoder: AnyEncoderConfig) -> AnyEncoderConfig:
    """Return the encoder of one window, which takes the same time and memory."""
    if isinstance(encoder, EncoderConfig) and encoder.any_window:
        return dataclasses.replace(encoder, any_window=None)
    return encoder


def _budget(config: RecipeConfig, quick: bool) -> RecipeConfig:
    """Return the recipe that all variants are trained by; with ``quick``, a smaller one."""
    if not quick:
        return config
    steps = min(config.training.steps, QUICK_STEPS)
    training = dataclasses.replace(
        config.training,
        steps=steps,
        warmup_steps=min(config.training.warmup_steps, QUICK_WARMUP),
        evaluate_every=steps,
        checkpoint_every=max(1, steps // 2),
        replicas=max(config.training.replicas, min(QUICK_REPLICAS, num_usable_cores())),
    )
    first = {name: getattr(config.decoding, name)[:1] for name in TUNED}
    decoding = dataclasses.replace(config.decoding, **first)
    return dataclasses.replace(config, training=training, decoding=decoding)


def _facts(recipe: Recipe, outcomes: list[Outcome], seeds: int) -> dict[str, str]:
    """Return what was trained and where, for the head of the report."""
    config = recipe.config
    run = next(iter(outcomes[0].runs.values()))
    return {
        "recipe": config.name,
        "trained on": ", ".join(config.train),
        "tested on": f"{', '.join(config.test)}: {len(run['utterances'])} utterances",
        "updates": f"{run['steps']:,}",
        "seeds": str(seeds),
        "device": str(recipe.device),
        "threads": str(torch.get_num_threads()),
        **machine_facts(("torch",)),
    }
