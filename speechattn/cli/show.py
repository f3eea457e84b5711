"""``speechattn show``: a page that shows recordings and plays them, and figures for papers."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from speechattn.cli.arguments import add_device, add_model_settings, int_argument
from speechattn.cli.messages import OK, announce_page, check_page, report
from speechattn.errors import UsageError
from speechattn.options import DEFAULT_MODEL
from speechattn.phones import LABELS

if TYPE_CHECKING:
    from speechattn.viewer.recording import ShowOptions

SOUNDS = ("mp3", "opus", "flac", "none")  # as in viewer.sound, which takes long to import
FIGURES = ("png", "svg", "pdf")
MOST_CHANNELS = 1024


def parse_span(text: str) -> tuple[float, float]:
    """Parse ``START-END`` in seconds, such as ``12.5-20``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text.strip(), re.ASCII)
    start, end = (float(part) for part in match.groups()) if match else (0.0, 0.0)
    if not 0 <= start < end < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no START-END in seconds, such as 12.5-20")
    return start, end


def parse_attention(text: str) -> tuple[float, float] | str:
    """Parse ``none`` or ``START-END``."""
    return text if text == "none" else parse_span(text)


def parse_head(text: str) -> tuple[int, int]:
    """Parse ``LAYER/HEAD``, both counted from 1; returns them counted from 0."""
    match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text.strip(), re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no LAYER/HEAD counted from 1, such as 2/1")
    return int(match[1]) - 1, int(match[2]) - 1


def add_show(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``.

    Args:
        commands: of the parser.
    """
    show = commands.add_parser(
        "show",
        allow_abbrev=False,
        help="write a page that shows recordings and plays them",
        description="Write one HTML page that needs neither network nor server: waveform, "
        "spectrogram, phones, posteriors and attention of recordings, with their sound. Phones can "
        "be corrected in it and saved as a TextGrid. Or write a figure for a paper.",
        epilog="Exit status: 0 the page was written, 2 it was not, 130 interrupted.",
    )
    show.set_defaults(run=run_show)
    show.add_argument(
        "inputs",
        nargs="+",
        metavar="FILE",
        help="recording, folder of recordings, or folder that `speechattn transcribe` or `align` "
        "wrote",
    )
    show.add_argument(
        "--output",
        metavar="FILE",
        help="the page (default: named after the first input, in the current folder)",
    )
    show.add_argument(
        "--text",
        metavar="WHERE",
        help="what is said, as for speechattn align: a text file, or a folder of them; its words "
        "and phones are shown where they were said",
    )
    show.add_argument(
        "--lexicon",
        action="append",
        default=[],
        metavar="FILE",
        help="with --text: how words are said, as for speechattn align",
    )
    show.add_argument(
        "--results",
        metavar="WHERE",
        help="show these phones and words instead of transcribing: a TextGrid, CTM or JSON, or a "
        "folder of them with the folders of the recordings",
    )
    show.add_argument(
        "--recordings",
        metavar="DIR",
        help="where the recordings of a folder of results are now",
    )
    show.add_argument(
        "--reference",
        metavar="WHERE",
        help="phones to compare with: a TextGrid, CTM or JSON, or a folder of them",
    )
    show.add_argument(
        "--span", type=parse_span, metavar="START-END", help="show only these seconds"
    )
    show.add_argument(
        "--attention",
        type=parse_attention,
        metavar="START-END",
        help="seconds whose attention is shown, or none (default: from the beginning as much as "
        "the page has room for, 20 s or so of all recordings together)",
    )
    show.add_argument(
        "--head",
        type=parse_head,
        metavar="LAYER/HEAD",
        help="attention that the page shows first, and that a figure shows at all, such as 2/1",
    )
    show.add_argument(
        "--sound",
        choices=SOUNDS,
        default="mp3",
        help="how the sound is kept in the page: flac is exact, opus small but slow to make "
        "(default: mp3)",
    )
    for suffix in FIGURES:
        show.add_argument(
            f"--{suffix}",
            metavar="FILE",
            help=f"write a figure of one recording as {suffix.upper()}; the page is then written "
            "with --output only",
        )
    show.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="NAME_OR_DIR",
        help=f"name or folder of a model (default: {DEFAULT_MODEL}, which comes with the package)",
    )
    add_model_settings(show)
    show.add_argument(
        "--phones",
        choices=LABELS,
        default="arpabet",
        help="what phones are called: arpabet, the model's own labels, or ipa (default: arpabet)",
    )
    show.add_argument(
        "--channel",
        type=int_argument(0, MOST_CHANNELS - 1),
        metavar="N",
        help="channel to take from recordings with several, counted from 0 (default: their mean)",
    )
    add_device(show)
    show.add_argument("--open", action="store_true", help="open the page in the browser")
    show.add_argument("--quiet", action="store_true", help="print errors only")


def run_show(arguments: argparse.Namespace) -> int:
    """Run ``show``; return the exit status.

    Raises:
        UsageError: if there is a lexicon without a text.
    """
    if arguments.lexicon and arguments.text is None:
        raise UsageError(f"--lexicon {arguments.lexicon[0]}: only with --text")
    options = _options(arguments)
    figures = [Path(p) for p in (getattr(arguments, name) for name in FIGURES) if p]

    def status(line: str) -> None:
        if not arguments.quiet:
            report(line)

    # Imported here: NumPy, PyTorch and what draws, which `speechattn --help` does without.
    from speechattn.viewer.show import show_page

    if figures:
        from speechattn.viewer.figure import write_figures

        write_figures(arguments.inputs, figures, options, status)
        for path in figures:
            status(f"wrote {path}")
    if figures and not arguments.output:
        return OK
    output = Path(arguments.output or f"{Path(arguments.inputs[0]).resolve().stem}.html")
    check_page(output)
    progress = not arguments.quiet
    all_shown = show_page(arguments.inputs, output, options, status, progress=progress)
    for shown in all_shown:
        for warning in shown.warnings:
            status(f"warning: {shown.file}: {warning}")
    announce_page(output, quiet=arguments.quiet, browser=arguments.open)
    return OK


def _options(arguments: argparse.Namespace) -> ShowOptions:
    from speechattn.viewer.recording import ShowOptions

    def path(value: str | None) -> Path | None:
        return None if value is None else Path(value)

    return ShowOptions(
        model=arguments.model,
        device=arguments.device,
        window=arguments.window,
        lm_scale=arguments.lm_scale,
        reading=arguments.reading,
        channel=arguments.channel,
        labels=arguments.phones,
        sound=arguments.sound,
        attention=arguments.attention,
        head=arguments.head,
        span=arguments.span,
        reference=path(arguments.reference),
        results=path(arguments.results),
        recordings=path(arguments.recordings),
        text=path(arguments.text),
        lexicons=tuple(arguments.lexicon),
    )
