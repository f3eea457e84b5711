"""Measure pages in a real browser: time to the first picture, frames a second, size.

Usage: ``python tests/viewer/measure.py PAGE.html …``

On a machine that has other work to do, frames a second say little. The processor time of a frame,
of the page's own thread and of all threads of the browser, is therefore measured as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import psutil
from support.browser import Opened, chromium

FRAMES = 120  # two seconds at 60 frames a second
KINDS = {
    "scrolling": "view.set(5 + n * 0.15, 100)",  # 15 pixels a frame
    "across": "view.set((view.duration - view.seconds) * n / frames, view.scale)",
    "zooming": "view.zoom(n < frames / 2 ? 0.97 : 1 / 0.97, view.duration / 2)",
    "pointing": "app.hover(5 + n * 0.05)",
}
PREPARE = """async () => {
    const { view } = Viewer.app;
    view.set(5, 100);
    await new Promise((resolve) => setTimeout(resolve, 500));
}"""
MOVE = """async (frames) => {
    const app = Viewer.app, { view } = app, times = [];
    for (let n = 0; n <= frames; n++) {
        times.push(await new Promise((resolve) => requestAnimationFrame(resolve)));
        STEP;
    }
    return 1000 * frames / (times[frames] - times[0]);
}"""


def browser_seconds() -> dict[int, float]:
    """Processor time in seconds of all processes that this one has started, by their number."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        try:
            times = process.cpu_times()
        except psutil.Error:  # it has ended
            continue
        found[process.pid] = times.user + times.system
    return found


def seconds_since(before: dict[int, float]) -> float:
    """Processor time since then, of the processes that are still there."""
    return sum(end - before.get(pid, 0.0) for pid, end in browser_seconds().items())


def measure(browser, file: Path, width: int = 1920) -> dict[str, float]:
    """Measure one page.

    Returns:
        ``megabytes``; ``first_picture`` in seconds from the beginning of the navigation, and
        ``opening``, the processor time of all threads till then; and for each of ``KINDS`` frames a
        second, and as ``…_thread`` and ``…_all`` the milliseconds of processor time of a frame.
    """
    before = browser_seconds()
    opened = Opened(browser, file, viewport={"width": width, "height": 1080})
    opening = seconds_since(before)
    page = opened.page
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def metrics() -> float:
        values = session.send("Performance.getMetrics")["metrics"]
        return next(m["value"] for m in values if m["name"] == "TaskDuration")

    first = page.evaluate("performance.getEntriesByName('first-picture')[0].startTime")
    found = {
        "megabytes": file.stat().st_size / 1e6,
        "first_picture": first / 1000,
        "opening": opening,
    }
    for kind, step in KINDS.items():
        page.evaluate(PREPARE)
        started = metrics(), browser_seconds()
        found[kind] = page.evaluate(MOVE.replace("STEP", step), FRAMES)
        found[f"{kind}_thread"] = (metrics() - started[0]) * 1000 / FRAMES
        found[f"{kind}_all"] = seconds_since(started[1]) * 1000 / FRAMES
    assert opened.complaints == []
    opened.close()
    return found


def report(file: Path, found: dict[str, float]) -> str:
    """What was measured of a page, a line each."""
    lines = [
        f"{file.name}: {found['megabytes']:.1f} MB, first picture after "
        f"{found['first_picture']:.2f} s ({found['opening']:.2f} s of processor time)"
    ]
    for kind in KINDS:
        lines.append(
            f"  {kind:9}  {found[kind]:5.1f} frames/s; a frame takes the page's thread "
            f"{found[f'{kind}_thread']:.1f} ms, all threads {found[f'{kind}_all']:.1f} ms"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    with chromium() as browser:
        for name in sys.argv[1:]:
            path = Path(name).resolve()
            print(report(path, measure(browser, path)), flush=True)
