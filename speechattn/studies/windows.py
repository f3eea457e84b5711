"""``speechattn bench windows``: how large the window must be, and what else would do.

Every variant is trained as a recipe says, on the same data, for as many updates, with the same
seeds, and scored on the same test sets. What is finished is not done again; what was interrupted goes
on.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.errors import UsageError
from speechattn.text import one_line

if TYPE_CHECKING:
    from speechattn.encoder.baselines import AnyEncoderConfig
    from speechattn.studies.windows_results import Outcome
    from speechattn.studies.windows_variants import Variant
    from speechattn.training.config import RecipeConfig
    from speechattn.training.recipe import Recipe

NAME = "windows"  # of the files
SEEDS = 3
QUICK_STEPS, QUICK_WARMUP = 100, 20
QUICK_REPLICAS = 4  # at most; no more than there are cores
QUICK_UTTERANCES = 300  # of the test set
MOST_SEEDS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options; imports neither PyTorch nor matplotlib."""
    add = parser.add_argument
    add("config", metavar="CONFIG", help="recipe: a YAML file, or the name of one")
    add("overrides", nargs="*", metavar="key=value", help="of the recipe, as training.steps=500")
    add(
        "--variants",
        metavar="FILE",
        help="YAML, a name and an encoder's keys each; width: auto for equal weights (default: a "
        "ladder of attention windows, full attention, frames, cnn, lstm)",
    )
    add("--only", metavar="NAMES", help="variants to take, separated by semicolons")
    add(
        "--seeds",
        type=int,
        metavar="N",
        help=f"trainings of each variant (default: {SEEDS}, quick: 1)",
    )
    add(
        "--quick",
        action="store_true",
        help=f"a first picture in minutes: fewer variants, {QUICK_STEPS} updates, one seed",
    )
    add("--list", action="store_true", help="say which variants there are, and train nothing")
    add(
        "--output-dir",
        metavar="DIR",
        help=f"folder for the trainings, {NAME}.md, .csv and pictures (default: {NAME} in the "
        "recipe's work_dir)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, measure and report; the report goes to standard output as well.

    Args:
        arguments: as :func:`add_arguments` defines them.

    Returns:
        0.

    Raises:
        SpeechattnError: if the options, the recipe or the variants make no sense, or a training
            fails.
    """
    seeds = arguments.seeds or (1 if arguments.quick else SEEDS)
    if not 1 <= seeds <= MOST_SEEDS:
        raise UsageError(f"--seeds {arguments.seeds}: choose a number from 1 to {MOST_SEEDS}")

    import torch

    from speechattn.training.recipe import Recipe
    from speechattn.training.recipe_file import read_config

    config = read_config(arguments.config, arguments.overrides)
    before = torch.get_num_threads()
    try:
        recipe = Recipe(config)  # may set the number of threads
        variants = _variants(arguments, recipe)
        if arguments.list:
            print(_listed(recipe, variants), end="")
            return 0
        folder = Path(arguments.output_dir or Path(config.work_dir) / NAME)
        with contextlib.redirect_stdout(sys.stderr):  # standard output is for the report
            _prepare(arguments.config, recipe)
            outcomes = _outcomes(arguments, recipe, variants, seeds, folder)
        _report(arguments, recipe, outcomes, seeds, folder)
    finally:
        torch.set_num_threads(before)
    return 0


def _variants(arguments: argparse.Namespace, recipe: Recipe) -> list[Variant]:
    from speechattn.studies.windows_variants import chosen, default_variants, read_variants

    config = recipe.config
    shape = config.encoder, config.front_end.dim, len(recipe.data.phones)
    if arguments.variants is not None:
        variants = read_variants(arguments.variants, *shape)
    else:
        variants = default_variants(*shape, quick=arguments.quick)
    return chosen(variants, arguments.only)


def _listed(recipe: Recipe, variants: list[Variant]) -> str:
    """The variants as a table."""
    from speechattn.inference.describe import costs
    from speechattn.text import table

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
    """The recipe's own prepared sets, made if they are out of date."""
    from speechattn.training.recipe import Recipe, first_passes

    if recipe.runner.up_to_date("prepare"):
        return
    for first in first_passes(source, recipe.config):
        Recipe(first).runner.run(("prepare", "train"))
    recipe.runner.run(("prepare",))


def _outcomes(
    arguments: argparse.Namespace,
    recipe: Recipe,
    variants: list[Variant],
    seeds: int,
    folder: Path,
) -> list[Outcome]:
    from speechattn.studies.windows_results import Outcome
    from speechattn.studies.windows_training import (
        HOUR_FRAMES,
        LENGTHS,
        MOST_WORK,
        QUICK_WORK,
        UTTERANCE_FRAMES,
        VariantRun,
        measure_once,
    )
    from speechattn.training.train_stage import check_reach

    for variant in variants:
        limit = variant.encoder.trained_length
        for name in ("dev", "test"):
            check_reach(limit, f"{name} ({variant.name})", recipe.data.prepared(name))
    config = _budget(recipe.config, arguments.quick)
    prepared = recipe.runner.fingerprint("prepare")
    runs: dict[str, dict[int, dict]] = {variant.name: {} for variant in variants}
    most = QUICK_UTTERANCES if arguments.quick else None
    numbers = range(config.seed, config.seed + seeds)
    for seed in numbers:  # so that a benchmark cut short has every variant
        for variant in variants:
            one = VariantRun(variant, seed, config, recipe.data, prepared, folder / "runs", most)
            _tell(f"{variant.name}, seed {seed}: {'done before' if one.done else 'training'}")
            runs[variant.name][seed] = one.run(recipe.device)
    lengths, work = LENGTHS, MOST_WORK
    if arguments.quick:
        lengths, work = (UTTERANCE_FRAMES, HOUR_FRAMES), QUICK_WORK
    outcomes, sizes = [], (config.front_end.dim, len(recipe.data.phones))
    for variant in variants:
        _tell(f"{variant.name}: speed and memory")
        measured = measure_once(folder / "measured", _at_work(variant), *sizes, lengths, work)
        outcomes.append(Outcome(variant, runs[variant.name], measured))
    return outcomes


def _at_work(variant: Variant) -> AnyEncoderConfig:
    """An encoder as far as time and memory depend on it: not on what else it was trained for."""
    import dataclasses

    encoder = variant.encoder
    if encoder.any_window:
        encoder = dataclasses.replace(encoder, any_window=None)
    return encoder


def _budget(config: RecipeConfig, quick: bool) -> RecipeConfig:
    """The recipe as every variant is trained: from random weights, on a small budget if quick."""
    import dataclasses

    from speechattn.process import num_usable_cores
    from speechattn.training.config import TUNED

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


def _report(
    arguments: argparse.Namespace,
    recipe: Recipe,
    outcomes: list[Outcome],
    seeds: int,
    folder: Path,
) -> None:
    import torch

    from speechattn.bench.process import machine_facts
    from speechattn.files import atomic_write_text
    from speechattn.studies.windows_report import (
        cost_picture,
        csv_report,
        markdown_report,
        memory_picture,
        window_picture,
    )

    config = recipe.config
    run = next(iter(outcomes[0].runs.values()))
    facts = {
        "recipe": config.name,
        "trained on": ", ".join(config.train),
        "tested on": f"{', '.join(config.test)}: {len(run['utterances'])} utterances",
        "updates": f"{run['steps']:,}",
        "seeds": str(seeds),
        "device": str(recipe.device),
        "threads": str(torch.get_num_threads()),
        **machine_facts(("torch",)),
    }
    report = markdown_report(outcomes, facts, arguments.quick)
    print(report, end="")
    try:
        atomic_write_text(folder / f"{NAME}.md", report)
        atomic_write_text(folder / f"{NAME}.csv", csv_report(outcomes))
    except OSError as error:
        raise UsageError(f"--output-dir {folder}: {error.strerror}; choose another") from None
    window_picture(folder / "accuracy-window.png", outcomes)
    cost_picture(folder / "accuracy-cost.png", outcomes)
    memory_picture(folder / "memory-length.png", outcomes)
    _tell(f"report, table and pictures are in {folder}")


def _tell(line: str) -> None:
    print(f"speechattn: {one_line(line)}", file=sys.stderr, flush=True)
