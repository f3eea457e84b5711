"""What is said about the lexicons of a run before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from speechattn.cli.messages import report
from speechattn.errors import ConfigError

MOST_PROBLEMS = 20  # that are printed one by one


def report_lexicons(files: Sequence[str], model: Path) -> int:
    """Say which lines of lexicons are left out, and what is noteworthy about the files.

    Args:
        files: lexicons; each is read by itself.
        model: folder of the model whose phones they are in.

    Returns:
        The number of lines that are left out.

    Raises:
        ConfigError: if a file cannot be read or has no words.
        ModelError: if the model has no phones.
    """
    if not files:
        return 0
    from speechattn.decoder.lm.lexicon import Lexicon
    from speechattn.inference.model_files import FORMAT, read_model_config
    from speechattn.phones import PhoneSet

    try:
        phones = PhoneSet.from_dict(read_model_config(model, FORMAT)["phones"])
    except (KeyError, TypeError) as error:
        raise ConfigError(f"{model}: no phones in its config.json ({error})") from None
    problems: list[str] = []
    for file in files:
        lexicon = Lexicon([file], phones, strict=False)
        problems += lexicon.problems
        for note in lexicon.notes:
            report(f"note: {note}")
    for problem in problems[:MOST_PROBLEMS]:
        report(f"lexicon: {problem}; this line is left out")
    if len(problems) > MOST_PROBLEMS:
        report(f"lexicon: and {len(problems) - MOST_PROBLEMS} more lines like these")
    return len(problems)
