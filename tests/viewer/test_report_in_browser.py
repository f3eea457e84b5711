"""The page of ``speechattn report`` in a real browser: charts, tables, keys, players."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from support.browser import Opened, chromium
from support.runs import record, write_batch, write_recipe_run

from speechattn.viewer.report import report_page

EVIL = "<img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    soundfile.write(folder / "a b#.wav", np.zeros(16_000), 16_000)
    run = write_recipe_run(folder / "run", folder / "a b#.wav")
    report_page(run, folder / "r.html")
    page = Opened(browser, folder / "r.html", viewport={"width": 1024, "height": 900})
    yield page
    page.close()


def test_charts_are_drawn_and_described_and_have_their_values(opened):
    page = opened.page
    labels = page.locator("[role=img]").evaluate_all("(all) => all.map((n) => n.ariaLabel)")
    assert "training loss by step, from 3.00 to 2.00" in labels
    assert "frame accuracy on dev by step; highest 50.0 % at step 20" in labels
    assert page.locator(".chart canvas").count() == len(labels) == 6
    page.locator("[data-part=training] summary").first.click()
    page.locator("[data-part=training] details td").first.wait_for()  # made after the click
    cells = page.locator("[data-part=training] details td").all_inner_texts()
    assert cells == ["3.00", "2.00"]


def test_keys_move_in_the_confusions_and_the_cell_is_read_out(opened):
    page = opened.page
    page.locator(".matrix td[tabindex='0']").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    said = page.locator(".said").inner_text()
    assert said.startswith("AE recognised as such: ") and said.endswith(")")
    assert page.evaluate("document.activeElement.title") == said
    assert page.locator(".matrix td[tabindex='0']").count() == 1


def test_tables_are_sorted_and_filtered(opened):
    page = opened.page
    part = page.locator("[data-part=utterances]")
    part.locator("#group").select_option("best")
    assert part.locator("[role=status]").first.inner_text() == "6 of 12 shown"
    part.get_by_label("Find").fill("U11")
    assert part.locator("tbody tr").count() == 1
    part.get_by_label("Find").fill("")
    part.locator("#group").select_option("all")
    part.get_by_role("button", name="utterance").click()
    names = part.locator("tbody th").all_inner_texts()
    assert names == sorted(names) and len(names) == 12
    assert part.locator("th[aria-sort=ascending]").count() == 1


def test_a_linked_recording_is_played(opened):
    audio = opened.page.locator("audio").first
    seconds = audio.evaluate(
        "(a) => new Promise((good) => { a.addEventListener('loadedmetadata', () => good(a.duration));"
        " a.addEventListener('error', () => good(-1)); a.load(); })"
    )
    assert seconds == pytest.approx(1.0, abs=0.05)


def test_nothing_is_asked_for_and_nothing_complained_of(opened):
    assert opened.complaints == []


def test_foreign_labels_are_text_and_small_windows_fit(browser, tmp_path):
    phones = [(EVIL, 0.0, 0.1, 0.9), ("\u202eא", 0.1, 0.3, 0.2), ("😀", 0.3, 0.4, 1.0)]
    failed = record("f.wav", phones) | {"status": "error", "error": EVIL, "phones": []}
    batch = write_batch(tmp_path / "out", [record(EVIL, phones), failed])
    report_page(batch, tmp_path / "r.html")
    for scheme in ("light", "dark"):
        size = {"width": 390, "height": 800}
        page = Opened(browser, tmp_path / "r.html", viewport=size, color_scheme=scheme)
        assert page.page.evaluate("window.hacked") is None
        assert page.page.locator("main img").count() == 0
        text = page.page.locator("main").inner_text()
        assert "no player" in text and "<img" in text and "\u202e" not in text
        assert page.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.complaints == []
        page.close()
