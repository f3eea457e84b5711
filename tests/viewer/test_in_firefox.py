"""The page of ``speechattn show`` in Firefox: another engine draws, decodes and edits."""

from __future__ import annotations

import shutil
import time

import pytest
from praatio import textgrid
from support.spoken import write_speech

from speechattn.viewer.recording import ShowOptions
from speechattn.viewer.show import show_page

NAMES = ("firefox-esr", "firefox")
PATIENCE = 180.0  # seconds, for machines with other work


@pytest.fixture
def firefox(tmp_path):
    """A headless Firefox that saves into ``tmp_path``; skipped, loudly, where there is none."""
    marionette = pytest.importorskip(
        "marionette_driver.marionette",
        reason="no marionette_driver; pip install -e '.[browser]' to run this test",
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)}; install Firefox to run this test")
    settings = {
        "media.autoplay.default": 0,
        "media.autoplay.blocking_policy": 0,
        "browser.download.folderList": 2,
        "browser.download.dir": str(tmp_path),
    }
    client = marionette.Marionette(
        bin=path,
        headless=True,
        prefs=settings,
        startup_timeout=300,
        gecko_log=str(tmp_path / "log"),
    )
    client.start_session()
    client.timeout.page_load = 300
    client.timeout.script = 60
    yield client
    client.quit()


class Page:
    """A page in Firefox."""

    def __init__(self, client) -> None:
        self._client = client

    def state(self, expression: str):
        """Value of an expression in which ``app`` is that of the page."""
        return self._client.execute_script(
            "const { Viewer } = window.wrappedJSObject, app = Viewer && Viewer.app;"
            f"return {expression};"
        )

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + PATIENCE
        while not self.state(f"Boolean({expression})"):
            assert time.monotonic() < end, f"{expression}: not within {PATIENCE} s"
            time.sleep(0.1)

    def press(self, *keys: str) -> None:
        """Press keys one after the other; the first ones of several are held."""
        actions = self._client.actions.sequence("key", "keyboard")
        for key in keys:
            actions = actions.key_down(key)
        for key in reversed(keys):
            actions = actions.key_up(key)
        actions.perform()

    def click(self, x: float, y: float) -> None:
        """Click a place."""
        mouse = self._client.actions.sequence("pointer", "mouse", {"pointerType": "mouse"})
        mouse.pointer_move(round(x), round(y)).pointer_down().pointer_up().perform()


@pytest.mark.slow
def test_firefox_draws_decodes_edits_and_saves(tmp_path, tiny_model_dir, firefox):
    write_speech(tmp_path / "a.wav")
    (tmp_path / "a.ctm").write_text("a 1 0.1 0.3 AH\na 1 0.5 0.2 B\n")
    file = tmp_path / "a.ctm"
    options = ShowOptions(model=str(tiny_model_dir), device="cpu", results=file)
    show_page([tmp_path / "a.wav"], tmp_path / "a.html", options)
    firefox.navigate((tmp_path / "a.html").as_uri())
    page = Page(firefox)
    page.wait("document.documentElement.dataset.drawn")
    box = page.state("(({ left, top }) => [left, top])(app.rows[0].slider.getBoundingClientRect())")
    page.click(box[0] + page.state("app.view.x(0.25)"), box[1] + 18)
    page.wait("app.player.ready.size")  # the sound has been decoded
    assert page.state("[app.range[0], app.range[1]]") == pytest.approx([0.1, 0.4])
    page.press("m")  # joined with the silence after it
    assert page.state("[app.range[0], app.range[1]]") == pytest.approx([0.1, 0.5])
    scale = page.state("app.view.scale")
    page.press("+")
    page.wait(f"app.view.scale > {scale} && app.tapes.wave.complete")
    page.press("\ue009", "s")  # Control
    end = time.monotonic() + PATIENCE
    while not (tmp_path / "a.TextGrid").is_file():
        assert time.monotonic() < end, "nothing was saved"
        time.sleep(0.1)
    time.sleep(0.5)
    grid = textgrid.openTextgrid(str(tmp_path / "a.TextGrid"), includeEmptyIntervals=True)
    entries = grid.getTier("phones").entries
    assert [(e.start, e.end, e.label) for e in entries][1:3] == [(0.1, 0.5, "AH"), (0.5, 0.7, "B")]
