"""The demo: a page in the browser that listens, shows what was recognised and plays it.

Gradio makes the form, and a server on this machine alone. Nothing is sent elsewhere: the server
answers only to names of this machine, its pages may load nothing from other places, and what
Gradio and Hugging Face would report is turned off before they are imported.
"""

from __future__ import annotations

import contextlib
import html
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from speechattn.audio.load import audio_info
from speechattn.errors import SpeechattnError, UsageError
from speechattn.inference.recognizer import Recognizer, load_model
from speechattn.options import parse_window
from speechattn.transcription.formats.registry import WRITERS
from speechattn.viewer.recording import ShowOptions
from speechattn.viewer.show import show_page

HOST = "127.0.0.1"
NAMES = [HOST, "localhost"]  # that the server answers to; others would be another site's
MOST_SECONDS = 600.0  # of a recording; longer ones are for `speechattn show`
MOST_BYTES = 500_000_000  # of a file
KEPT_MODELS = 2
OWN_WINDOW = "the model's own"
INSTALL = 'the demo needs Gradio; install it: pip install "speechattn[demo]"'
# Nothing from other places: Gradio's own page would ask for a script and fonts there.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "font-src 'self' data:; connect-src 'self' data: blob:; worker-src 'self' blob:; "
    "frame-src 'self'; form-action 'self'; base-uri 'self'; object-src 'none'"
)
SILENCED = {
    "GRADIO_ANALYTICS_ENABLED": "0",
    "GRADIO_SHARE": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}


def import_gradio() -> Any:
    """Return Gradio, told to report nothing.

    Raises:
        UsageError: if it is not installed.
    """
    os.environ.update(SILENCED)
    try:
        import gradio
    except ImportError:
        raise UsageError(INSTALL) from None
    return gradio


class Demo:
    """What the form does.

    Args:
        device: where models compute.
        folder: for pages and TextGrids; the caller removes it.
    """

    def __init__(self, device: str, folder: Path) -> None:
        self._device, self._folder = device, folder
        self._lock = threading.Lock()  # one recording at a time: a model uses all cores
        self._number = 0
        self._load = lru_cache(KEPT_MODELS)(self._loaded)

    def _loaded(self, model: str, window: tuple[int, int] | None) -> Recognizer:
        return load_model(model, self._device, window=window)

    def show(
        self, recording: str | None, model: str, window: str, words: bool, text: str = ""
    ) -> tuple[str, str]:
        """Recognise a recording, or align what is said in it.

        Args:
            recording: its file; None if there is none yet.
            model: name or folder.
            window: such as ``"32/4"``, or :data:`OWN_WINDOW`.
            words: whether words are wanted, where the model has them.
            text: what is said; "" if it is not known.

        Returns:
            Markup of a frame with the page, and the path of a TextGrid.

        Raises:
            SpeechattnError: if there is no recording, or it, the window or the text cannot be used.
        """
        if not recording:
            raise UsageError("no recording; speak into the microphone or drop a file")
        chosen = window.strip()
        sides = None if chosen in ("", OWN_WINDOW) else parse_window(chosen.replace(" ", ""))
        seconds = audio_info(recording).duration
        if seconds > MOST_SECONDS:
            raise UsageError(
                f"{seconds / 60:.0f} minutes; the demo takes {MOST_SECONDS / 60:.0f}: use "
                "`speechattn show` or `speechattn transcribe` for longer recordings"
            )
        with self._lock:
            self._number += 1
            place = self._folder / str(self._number)
            shutil.rmtree(self._folder / str(self._number - 20), ignore_errors=True)
            place.mkdir()
            recognizer = self._load(model, sides)
            options = ShowOptions(model=model, device=self._device, window=sides, words=words)
            if text.strip():
                said = place / "text.txt"
                said.write_text(text, encoding="utf-8")
                options = replace(options, text=said)
            page = place / "page.html"
            named = with_own_name(Path(recording), place)
            (shown,) = show_page(named, page, options, recognizer=recognizer)
            assert shown.found is not None
            stem = named.stem or "recording"
            grid = place / f"{stem}.TextGrid"
            content = WRITERS["textgrid"].render(shown.found, shown.file, shown.silence)
            grid.write_text(content, encoding="utf-8")
            return frame(page.read_text(encoding="utf-8")), str(grid)


def with_own_name(recording: Path, folder: Path) -> Path:
    """Return a path of an upload under the name that it had before a browser sent it.

    Browsers write ``%22`` for a double quote in the name, and nothing else in another way
    (WHATWG HTML, multipart/form-data).

    Args:
        recording: its file.
        folder: for a link to it.
    """
    name = recording.name.replace("%22", '"')
    if name == recording.name:
        return recording
    link = folder / name
    try:
        link.symlink_to(recording.resolve())
    except OSError:  # no such names, or no links, on this system
        return recording
    return link


def frame(page: str) -> str:
    """Return a frame that holds a page, whose scripts can reach nothing outside of it."""
    return (
        '<iframe title="what was recognised" sandbox="allow-scripts allow-downloads" '
        'style="width:100%;height:1100px;border:0" '
        f'srcdoc="{html.escape(page, quote=True)}"></iframe>'
    )


def build_form(gradio: Any, demo: Demo, models: Sequence[str]) -> Any:
    """Return the form, a ``gradio.Blocks``."""

    def show(*values: Any) -> tuple[str, str]:
        try:
            return demo.show(*values)
        except SpeechattnError as error:
            message = html.escape(str(error).removeprefix("--"))
            raise gradio.Error(message, print_exception=False) from None

    with gradio.Blocks(analytics_enabled=False, title="speechattn") as form:
        gradio.Markdown("# speechattn\nSpeak or drop a recording; see, hear and save its phones.")
        with gradio.Row():
            recording = gradio.Audio(
                sources=["upload", "microphone"], type="filepath", label="recording", buttons=[]
            )
            with gradio.Column():
                model = gradio.Dropdown(list(models), value=models[0], label="model")
                window = gradio.Textbox(
                    OWN_WINDOW,
                    label="window of the attention: LEFT/RIGHT in 10 ms frames, such as 32/4, for "
                    "models trained for any window",
                )
                text = gradio.Textbox(label="what is said, if you know it", lines=2)
                words = gradio.Checkbox(True, label="words, where the model has them")
                button = gradio.Button("Show", variant="primary")
                grid = gradio.File(label="TextGrid", interactive=False, height=90)
        page = gradio.HTML()
        button.click(
            show, [recording, model, window, words, text], [page, grid], api_visibility="private"
        )
    return form


def build_app(gradio: Any, form: Any, folder: Path) -> Any:
    """Return the server's application: the form, kept to this machine."""
    from fastapi import FastAPI, Request
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=NAMES)

    @app.middleware("http")
    async def keep_to_itself(request: Request, call_next: Callable) -> Any:
        response = await call_next(request)
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response

    return gradio.mount_gradio_app(
        app,
        form,
        path="/",
        server_name=HOST,
        allowed_paths=[str(folder)],
        footer_links=[],
        max_file_size=MOST_BYTES,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
    )


@contextlib.contextmanager
def demo_app(models: Sequence[str], device: str) -> Iterator[Any]:
    """Build the application of the demo; its files are removed in the end.

    Args:
        models: names or folders; the first is chosen.
        device: where they compute.

    Raises:
        UsageError: if Gradio is not installed.
    """
    gradio = import_gradio()
    with tempfile.TemporaryDirectory(prefix="speechattn-demo-") as name:
        folder = Path(name)
        os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
        yield build_app(gradio, build_form(gradio, Demo(device, folder), models), folder)


def serve(models: Sequence[str], device: str, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the demo until it is interrupted.

    Args:
        models: names or folders; the first is chosen.
        device: where they compute.
        port: of the server.
        on_ready: called with the address once the server listens.

    Raises:
        UsageError: if Gradio is not installed, or the port is taken.
    """
    import socket

    with demo_app(models, device) as app, socket.socket() as listener:
        import uvicorn

        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise UsageError(
                f"--port {port}: {error.strerror or error}; choose another one"
            ) from None
        config = uvicorn.Config(app, log_level="error", access_log=False)
        server = uvicorn.Server(config)
        listener.listen()
        on_ready(f"http://{HOST}:{listener.getsockname()[1]}")
        server.run(sockets=[listener])
