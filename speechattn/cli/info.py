"""``speechattn info``: what a model is, and which models come with the package."""

from __future__ import annotations

import argparse

from speechattn.cli.messages import OK, print_line
from speechattn.errors import UsageError
from speechattn.options import DEFAULT_MODEL
from speechattn.text import json_line


def add_info(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``."""
    info = commands.add_parser(
        "info",
        help="describe a model, or list those of the package",
        description="Describe a model: phones, context, size, and its card.",
    )
    info.set_defaults(run=run_info)
    info.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help=f"name or folder of a model (default: {DEFAULT_MODEL})",
    )
    info.add_argument(
        "--list",
        action="store_true",
        help="list the models that come with the package, one a line with what it is, and leave",
    )
    info.add_argument(
        "--json",
        action="store_true",
        help="print one JSON object: the same keys, and the card as card; with --list, the names "
        "with what each model is",
    )


def run_info(arguments: argparse.Namespace) -> int:
    """Run ``info``: print one ``key: value`` a line on standard output, then the model card.

    Raises:
        UsageError: if a model is named and all are to be listed.
        SpeechattnError: if the model cannot be loaded.
    """
    if arguments.list:
        if arguments.model:
            raise UsageError(
                f"--list: lists all models of the package; leave out {arguments.model}, or --list"
            )
        return _list_models(as_json=arguments.json)
    from speechattn.inference.recognizer import load_model

    facts = load_model(arguments.model or DEFAULT_MODEL, device="cpu").describe()
    if arguments.json:
        print_line(json_line(facts, indent=1, default=str))
        return OK
    card = facts.pop("card", None)
    for key, value in facts.items():
        print(f"{key}: {value if isinstance(value, str) else json_line(value, default=str)}")
    if card:
        print(f"\n{card.strip()}")
    return OK


def _list_models(*, as_json: bool) -> int:
    """Print the models that come with the package, the default one first."""
    from speechattn.inference.model_files import CARD, CONFIG, MODELS, read_card

    names = sorted(path.parent.name for path in MODELS.glob(f"*/{CONFIG}"))
    names.sort(key=lambda name: name != DEFAULT_MODEL)
    models = {name: _summary(read_card(MODELS / name / CARD)) for name in names}
    if as_json:
        print_line(json_line(models, indent=1))
        return OK
    width = max(map(len, models), default=0)
    for name, summary in models.items():
        print_line(f"{name:{width}}  {summary}".rstrip())
    return OK


def _summary(card: str | None) -> str:
    """What a model is, from the title of its card: ``# name: what it is``."""
    title = (card or "").strip().partition("\n")[0]
    return title.partition(":")[2].strip()
