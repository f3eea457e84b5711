"""axe-core finds no serious fault in a page, at three widths, in light and dark."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.browser import Opened, chromium
from support.runs import write_recipe_run
from support.spoken import write_speech

from speechattn.viewer.recording import ShowOptions
from speechattn.viewer.report import report_page
from speechattn.viewer.show import show_page

# From `npm install axe-core` anywhere; its folder node_modules, or the file itself.
AXE = Path(os.environ.get("AXE_CORE", "node_modules/axe-core/axe.min.js"))
WIDTHS, SCHEMES = (390, 1024, 1920), ("light", "dark")


@pytest.fixture
def axe() -> str:
    """The script that looks for faults."""
    if not AXE.is_file():
        pytest.skip(f"no axe-core at {AXE}; npm install axe-core and set AXE_CORE to run this test")
    return AXE.read_text(encoding="utf-8")


@pytest.mark.slow
def test_show_has_no_serious_fault(tmp_path, tiny_model_dir, axe):
    write_speech(tmp_path / "a.wav")
    (tmp_path / "a.ctm").write_text("a 1 0.1 0.3 AH\na 1 0.5 0.2 B\n")
    options = ShowOptions(model=str(tiny_model_dir), device="cpu", reference=tmp_path / "a.ctm")
    show_page([tmp_path / "a.wav"], tmp_path / "a.html", options)
    check(tmp_path / "a.html", axe)


@pytest.mark.slow
def test_report_has_no_serious_fault(tmp_path, axe):
    write_speech(tmp_path / "a.wav")
    report_page(write_recipe_run(tmp_path / "run", tmp_path / "a.wav"), tmp_path / "r.html")
    check(tmp_path / "r.html", axe)


def check(file: Path, axe: str) -> None:
    """Check a page at all widths, in both schemes, with its lists open."""
    with chromium() as browser:
        for width in WIDTHS:
            for scheme in SCHEMES:
                size = {"width": width, "height": 900}
                opened = Opened(browser, file, viewport=size, color_scheme=scheme, bypass_csp=True)
                page = opened.page
                for summary in page.locator("summary").all():
                    summary.click()
                page.evaluate(axe)
                found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
                serious = [
                    (v["id"], v["nodes"][0]["target"], v["nodes"][0]["failureSummary"])
                    for v in found["violations"]
                    if v["impact"] in ("serious", "critical")
                ]
                assert not serious, (width, scheme, serious)
                # Nothing is wider than the window.
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                assert opened.complaints == []
                opened.close()
