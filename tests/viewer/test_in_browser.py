"""The page of ``speechattn show`` in a real browser: sound, keys, corrections, foreign labels."""

from __future__ import annotations

import json

import pytest
from praatio import textgrid
from support.browser import Opened, chromium
from support.spoken import write_speech

from speechattn.viewer.recording import ShowOptions
from speechattn.viewer.show import show_page

EVIL = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
LABELS = [EVIL, 'a "quote"', "two\nlines", "שלום", "😀", "AH1", "K", "sil"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def recording(folder):
    """A recording, results with foreign labels and a reference with other ones."""
    samples = write_speech(folder / "a.wav")
    duration = len(samples) / 16_000
    step = duration / len(LABELS)
    edges = [i * step for i in range(len(LABELS))] + [duration]
    phones = [
        {"label": label, "start": start, "end": end, "confidence": 0.1 * i}
        for i, (label, start, end) in enumerate(zip(LABELS, edges, edges[1:]))
    ]
    words = [{"label": "ni<b>ne", "start": 0.0, "end": edges[3], "confidence": 0.9}]
    values = {"file": "a.wav", "duration": duration, "words": words, "phones": phones}
    (folder / "a.json").write_text(json.dumps(values))
    lines = [f"a 1 {edges[i]:.4f} {step:.4f} {label}\n" for i, label in ((4, "B"), (5, "AH"))]
    (folder / "a.ctm").write_text("".join(lines))
    return folder / "a.wav"


@pytest.fixture(scope="module")
def opened(folder, recording, tiny_model_dir):
    with chromium() as browser:
        options = ShowOptions(
            model=str(tiny_model_dir),
            device="cpu",
            results=folder / "a.json",
            reference=folder / "a.ctm",
        )
        show_page([recording], folder / "a.html", options)
        page = Opened(browser, folder / "a.html", viewport={"width": 1024, "height": 900})
        page.browser = browser
        yield page
        page.close()


@pytest.fixture
def page(opened):
    opened.page.evaluate(
        "() => { while (Viewer.app.editor.undo()); Viewer.app.clear(); scrollTo(0, 0); }"
    )
    return opened.page


def state(page, expression: str):
    return page.evaluate(f"() => {{ const app = Viewer.app; return {expression}; }}")


def click_segment(page, tier: str, number: int, clicks: int = 1) -> float:
    """Click the middle of a segment; returns its start in seconds."""
    place = page.evaluate(
        """([name, i]) => {
            const app = Viewer.app, row = app.rows.find((r) => !r.reference && r.tier.name === name);
            const box = row.slider.getBoundingClientRect(), start = row.tier.start(i);
            const middle = app.view.x((start + row.tier.ends[i]) / 2);
            return { x: box.left + middle, y: box.top + box.height / 2, start };
        }""",
        [tier, number],
    )
    page.mouse.click(place["x"], place["y"], click_count=clicks)
    return place["start"]


def test_a_click_plays_a_phone_from_its_start_to_its_end(page, opened):
    page.evaluate(
        """() => {
            window.heard = [];
            const start = AudioBufferSourceNode.prototype.start;
            AudioBufferSourceNode.prototype.start = function (...values) {
                window.heard.push([Viewer.app.player.current.from, this.buffer.duration]);
                return start.apply(this, values);
            };
        }"""
    )
    start = click_segment(page, "phones", 2)
    opened.wait("window.heard.length && !Viewer.app.player.playing")
    end = state(page, "app.tiers.find(t => t.name === 'phones').ends[2]")
    assert page.evaluate("window.heard") == [pytest.approx([start, end - start], abs=1e-4)]
    assert abs(state(page, "app.player.position()") - start) <= 0.005
    mark = page.locator(".playhead").evaluate("(node) => new DOMMatrix(node.style.transform).e")
    assert state(page, f"app.view.anchor + {mark} / app.view.scale") == pytest.approx(
        start, abs=0.005
    )


def test_the_sound_in_the_page_is_that_of_the_recording(page, recording):
    import numpy as np
    import soundfile

    original = soundfile.read(recording, dtype="float32")[0]
    decoded = np.array(
        page.evaluate("async () => Array.from((await Viewer.app.player.piece(0)).samples)")
    )
    assert len(decoded) == len(original)
    lags = range(-80, 81)  # 5 ms to either side
    part = original[4000:20000]
    products = [float(part @ decoded[4000 + lag : 20000 + lag]) for lag in lags]
    assert abs(lags[int(np.argmax(products))]) <= 8  # half a millisecond


def test_loop_keys_and_zoom(page, opened):
    click_segment(page, "phones", 1)
    page.keyboard.press("l")
    opened.wait("Viewer.app.player.playing && Viewer.app.player.current.loop")
    page.wait_for_timeout(100)
    page.keyboard.press("l")
    assert not state(page, "app.player.playing")
    page.keyboard.press("Escape")
    assert state(page, "app.selected") is None
    before = state(page, "app.view.scale")
    page.keyboard.press("+")
    assert state(page, "app.view.scale") == pytest.approx(2 * before, rel=0.01)
    page.keyboard.press("0")
    assert state(page, "app.view.seconds") == pytest.approx(state(page, "app.view.duration"))
    page.keyboard.press("End")
    assert state(page, "app.player.position()") == pytest.approx(state(page, "app.view.duration"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert state(page, "app.selected.i") == len(LABELS) - 2
    page.keyboard.press("ArrowUp")
    assert state(page, "app.selected.tier.name") == "words"
    page.keyboard.press("?")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0


def test_differences_are_marked_and_found_by_key(page):
    reported = state(page, "app.data.differences.map(([t, text]) => text)")
    assert "😀, reference B" in reported
    assert sum("is not in the reference" in text for text in reported) == 5  # its neighbours
    page.keyboard.press("Home")
    page.keyboard.press("n")
    page.keyboard.press("n")
    second = state(page, "app.player.position()")
    assert second == pytest.approx(state(page, "app.data.differences[2][0]"))
    page.keyboard.press("Shift+N")
    assert state(page, "app.player.position()") == pytest.approx(
        state(page, "app.data.differences[1][0]")
    )
    tier = "app.tiers.find(t => t.name === 'phones')"
    marked = state(page, f"{tier}.labels.map((l, i) => app.differs({tier}, i))")
    assert marked == [True] * 5 + [False, True, False]  # AH1 is AH, and silence is not compared


def compared(page) -> list:
    """Partners of both tiers of phones, and the differences."""
    tiers = "[app.tiers.find(t => t.name === 'phones'), app.references[0]]"
    return state(page, f"[...{tiers}.map(t => t.partners), app.data.differences]")


def test_corrections_are_compared_with_the_reference_again(page):
    before = compared(page)
    page.evaluate("() => Viewer.app.compareAgain()")
    assert compared(page) == before  # as Python compared them
    click_segment(page, "phones", 4)
    page.keyboard.press("F2")
    page.keyboard.type("b0")
    page.keyboard.press("Enter")
    texts = [text for _, text in compared(page)[2]]
    assert len(texts) == len(before[2]) - 1 and "😀, reference B" not in texts
    assert f"{len(texts)} differences" in page.locator(".facts").inner_text()
    page.keyboard.press("Control+z")
    assert compared(page) == before


def test_slow_sound_has_the_same_pitch_and_follows(page, opened):
    found = page.evaluate(
        """() => {
            const rate = 16000, tone = Float32Array.from({ length: 8000 }, (_, i) =>
                Math.sin(2 * Math.PI * 130 * i / rate));
            const slow = Viewer.stretch(tone, rate, 0.5);
            let crossings = 0, most = 0;
            for (let i = 1; i < slow.length; i++) {
                if (slow[i - 1] < 0 && slow[i] >= 0) crossings += 1;
                most = Math.max(most, Math.abs(slow[i] - slow[i - 1]));
            }
            return [slow.length, crossings, most];
        }"""
    )
    assert found[0] == 16_000
    assert found[1] == pytest.approx(130, abs=2)  # a second of it, at its own frequency
    assert found[2] < 0.08  # no clicks: the tone itself changes by 0.051 a sample at most
    page.keyboard.press("t")
    page.keyboard.press("t")
    assert page.get_by_label("× speed").inner_text() == "0.5×"
    page.evaluate(
        """() => {
            window.slow = [];
            const start = AudioBufferSourceNode.prototype.start;
            AudioBufferSourceNode.prototype.start = function (...values) {
                window.slow.push(this.buffer.duration);
                return start.apply(this, values);
            };
        }"""
    )
    click_segment(page, "phones", 2)
    opened.wait("window.slow.length && !Viewer.app.player.playing", 30)
    seconds = state(page, "app.range[1] - app.range[0]")
    assert page.evaluate("window.slow") == [pytest.approx(2 * seconds, abs=1e-3)]
    page.keyboard.press("t")
    assert state(page, "app.player.speed") == 1


def test_labels_are_shown_as_text_and_never_run(page, opened):
    page.locator("summary").click()
    page.locator("table td").first.wait_for()  # the rows are made after the click
    table = page.locator("table").inner_text()
    assert EVIL in table and "two⏎lines" in table and "😀" in table and "ni<b>ne" in table
    assert page.evaluate("window.hacked") is None
    assert page.locator("table img, table script").count() == 0
    page.locator("summary").click()


def test_what_is_saved_is_what_praat_reads(page, opened, folder):
    click_segment(page, "phones", 5)
    page.keyboard.press("F2")
    page.keyboard.type('AH "new"')
    page.keyboard.press("Enter")
    click_segment(page, "phones", 6)
    opened.wait("!Viewer.app.player.playing")
    page.keyboard.press("s")  # split in its middle
    click_segment(page, "phones", 0)
    page.keyboard.press("m")
    page.keyboard.press(".")  # its end 5 ms later
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+y")
    reference = "app.references[0]"  # still compared with the phones at its times
    assert state(page, f"[1, 2].map(i => app.differs({reference}, i))") == [True, True]
    assert state(page, f"app.describe({reference}, 2)[3]") == 'recognised AH "new"'
    assert page.title().startswith("•")
    with page.expect_download() as download:
        page.keyboard.press("Control+s")
    assert download.value.suggested_filename == "a.TextGrid"
    assert not page.title().startswith("•")
    path = folder / "saved.TextGrid"
    download.value.save_as(path)
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=True)
    assert grid.tierNames == ("words", "phones")
    duration = json.loads((folder / "a.json").read_text())["duration"]
    step = duration / len(LABELS)
    entries = grid.getTier("phones").entries
    joined = LABELS[0] + LABELS[1]
    assert [e.label for e in entries] == [joined, *LABELS[2:5], 'AH "new"', "K", "", ""]
    assert [e.start for e in entries] == pytest.approx(
        [0, 2 * step + 0.005, *(i * step for i in (3, 4, 5, 6, 6.5, 7))], abs=1e-6
    )
    assert entries[-1].end == duration and grid.maxTimestamp == duration
    words = [(e.start, e.end, e.label) for e in grid.getTier("words").entries]
    assert words[0] == (0, pytest.approx(3 * step, abs=1e-6), "ni<b>ne")


def test_a_boundary_is_dragged_in_both_tiers_and_undone(page):
    tier = "app.tiers.find(t => t.name === 'phones')"
    place = page.evaluate(
        """() => { const app = Viewer.app, row = app.rows.find((r) => r.tier.name === "phones");
            app.act.all(); const box = row.slider.getBoundingClientRect();
            return [box.left + app.view.x(row.tier.ends[2]), box.top + 9, app.view.scale]; }"""
    )
    before = state(page, f"{tier}.ends[2]")
    page.mouse.move(place[0], place[1])
    page.mouse.down()
    page.mouse.move(place[0] + 20, place[1], steps=4)
    page.mouse.up()
    moved = before + 20 / place[2]
    assert state(page, f"{tier}.ends[2]") == pytest.approx(moved, abs=1.5 / place[2])
    assert state(page, "app.tiers.find(t => t.name === 'words').ends[0]") == state(
        page, f"{tier}.ends[2]"
    )
    page.keyboard.press("Control+z")
    assert state(page, f"{tier}.ends[2]") == before


def test_attention_is_shown_for_the_frame_under_the_cursor(page, opened, tiny_model_dir, recording):
    import torch

    from speechattn import load_model
    from speechattn.audio.features import FrontEnd
    from speechattn.audio.load import read_audio
    from speechattn.encoder.attention_weights import attention_weights

    checkpoint = load_model(tiny_model_dir, "cpu").checkpoint
    frames = FrontEnd(checkpoint.front_end)(torch.from_numpy(read_audio(recording)[0]))
    layers = attention_weights(checkpoint.classifier, frames)
    opened.wait("Viewer.app.attention.weights(0.5) !== null")
    for layer, head in ((0, 1), (1, 0)):
        shown = state(page, f"app.attention.weights(0.5, {layer}, {head})")
        expected = layers[layer].weights[head, 25]  # vectors of 20 ms
        assert shown == pytest.approx(list(expected), abs=0.05)
    page.keyboard.press("]")
    page.keyboard.press("{")
    assert state(page, "[app.attention.layer, app.attention.head]") == [0, 1]
    box = page.locator("[aria-label^='spectrogram']").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 50)
    opened.wait("Viewer.app.cursor !== null && !Viewer.app.hovering")
    time = state(page, "app.cursor")
    shown = f"Frame at {time * 1000:.0f} ms; layer 1, head 2"
    opened.wait(
        f"document.querySelector('.look').textContent.replaceAll('\\u202f', '').includes('{shown}')"
    )
    text = page.locator(".look").inner_text().replace("\u202f", "")
    assert shown in text
    span = state(page, "app.attention.window(app.cursor)")
    assert span[0] <= time - 0.08 < span[0] + 0.02 and span[1] - span[0] == pytest.approx(0.14)


@pytest.mark.parametrize(
    ("left", "right", "labels"),
    [(2, 2, "+40 ms,−40,0"), (9, 0, "−180 ms,0"), (0, 9, "+180 ms,0"), (9, 1, "+20 ms,−180")],
)
def test_labels_of_the_window_do_not_lie_over_each_other(page, left, right, labels):
    drawn = page.evaluate(
        """([left, right]) => {
            const app = Viewer.app, { info } = app.attention, before = [info.left, info.right];
            const draw = Viewer.drawScale, seen = [];
            Viewer.drawScale = (canvas, width, height, names) => seen.push(names);
            [info.left, info.right] = [[left, left], [right, right]];
            app.drawScales();
            [info.left, info.right] = before;
            Viewer.drawScale = draw;
            return seen.at(-1).map((name) => name[1]).join();
        }""",
        [left, right],
    )
    assert drawn == labels


def test_two_fingers_zoom_and_one_scrolls(opened, folder):
    small = {"width": 390, "height": 800}
    touched = Opened(opened.browser, folder / "a.html", viewport=small, has_touch=True)
    page = touched.page
    session = page.context.new_cdp_session(page)
    box = page.locator("[aria-label^='spectrogram']").bounding_box()
    y = box["y"] + 60

    def touch(kind: str, *places: float) -> None:
        points = [{"x": x, "y": y, "id": i} for i, x in enumerate(places)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    scale = state(page, "app.view.scale")
    touch("touchStart", 180)
    touch("touchStart", 180, 240)
    for step in range(1, 7):
        touch("touchMove", 180 - 10 * step, 240 + 10 * step)
    touch("touchEnd")
    assert state(page, "app.view.scale") == pytest.approx(3 * scale, rel=0.05)
    start = state(page, "app.view.start")
    touch("touchStart", 300)
    for step in range(1, 5):
        touch("touchMove", 300 - 10 * step)
    touch("touchEnd")
    assert state(page, "app.view.start - app.view.seconds") < start < state(page, "app.view.start")
    assert state(page, "app.range") is None
    page.touchscreen.tap(box["x"] + 100, y)
    assert state(page, "app.player.position()") == pytest.approx(
        state(page, "app.view.time(100)"), abs=0.005
    )
    assert touched.complaints == []
    touched.close()


def test_on_paper_names_lie_beside_their_rows(page):
    before = state(page, "[app.view.start, app.view.scale]")
    page.evaluate("() => Viewer.app.beforePrint()")
    page.emulate_media(media="print")
    heights = page.evaluate(
        """() => ["posteriorsPanel", "spectrogramPanel", "mapPanel"].map((name) =>
            [".scale", ".still"].map((part) =>
                Viewer.app.parts[name].querySelector(part).getBoundingClientRect().height))"""
    )
    assert all(scale == pytest.approx(still, rel=0.02) for scale, still in heights)
    page.emulate_media(media="screen")
    page.evaluate("() => Viewer.app.afterPrint()")
    assert page.locator(".still").count() == 0
    assert state(page, "[app.view.start, app.view.scale]") == pytest.approx(before)


def test_nothing_is_asked_for_and_nothing_complained_of(opened):
    assert opened.complaints == []
