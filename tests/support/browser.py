"""A real browser for the tests of pages: Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def chromium() -> Iterator:
    """A headless Chromium; the test is skipped, loudly, where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="no playwright; pip install -e '.[browser]' to run this test"
    )
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip(f"none of {', '.join(NAMES)}; install Chromium to run this test")
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        browser = driver.chromium.launch(executable_path=path, args=options)
        try:
            yield browser
        finally:
            browser.close()


class Opened:
    """A page in a browser, and what it complained of.

    Attributes:
        page: of Playwright.
        complaints: messages of its console that are errors or warnings, and errors of scripts.
    """

    def __init__(self, browser, file: Path, **options) -> None:
        self.complaints: list[str] = []
        self.page = browser.new_context(accept_downloads=True, **options).new_page()
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-drawn]", timeout=30_000)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.complaints.append(f"asked for {request.url}")

    def wait(self, expression: str, seconds: float = 10.0) -> None:
        """Wait until an expression of JavaScript is true.

        (Playwright's own ``wait_for_function`` evaluates text, which the policy of a page forbids.)
        """
        end = time.monotonic() + seconds
        while not self.page.evaluate(f"() => Boolean({expression})"):
            assert time.monotonic() < end, f"{expression}: not within {seconds} s"
            time.sleep(0.02)

    def close(self) -> None:
        """Close it."""
        self.page.context.close()
