"""``speechattn demo``: speak or drop a file in the browser, see and hear what was recognised."""

from __future__ import annotations

import argparse

from speechattn.cli.arguments import add_device, int_argument
from speechattn.cli.messages import OK, report
from speechattn.options import DEFAULT_MODEL

PORT = 7860


def add_demo(commands: argparse._SubParsersAction) -> None:
    """Add the command to those of ``speechattn``."""
    demo = commands.add_parser(
        "demo",
        allow_abbrev=False,
        help="try a model in the browser, with a microphone",
        description="Open a page in the browser in which a recording is spoken or dropped, shown "
        "as `speechattn show` does, and saved as a TextGrid (extra demo). The page is served on "
        "this machine, to this machine alone, and nothing is sent elsewhere.",
        epilog="Exit status: 0 it was ended, 2 it could not start, 130 interrupted.",
    )
    demo.set_defaults(run=run_demo)
    demo.add_argument(
        "--model",
        action="append",
        metavar="NAME_OR_DIR",
        help="name or folder of a model that may be chosen, several times for several "
        "(default: all that have names here)",
    )
    add_device(demo)
    demo.add_argument(
        "--port",
        type=int_argument(0, 65535),
        default=PORT,
        metavar="N",
        help=f"port of the server, 0 for one that is free (default: {PORT})",
    )
    demo.add_argument("--no-browser", action="store_true", help="do not open the page")


def run_demo(arguments: argparse.Namespace) -> int:
    """Run ``demo``; return the exit status."""
    # Imported here: they are large, and Gradio may not be there.
    from speechattn.inference.model_files import find_model, model_names
    from speechattn.viewer.demo import import_gradio, serve

    import_gradio()
    models = arguments.model or sorted(model_names(), key=lambda name: name != DEFAULT_MODEL)
    for model in models:
        find_model(model)

    def ready(address: str) -> None:
        report(f"ready at {address} (Ctrl+C ends it)")
        if not arguments.no_browser:
            import webbrowser

            webbrowser.open(address)

    serve(models, arguments.device, arguments.port, ready)
    return OK
