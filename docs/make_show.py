"""Make ``docs/pictures/show.png``: the page of ``speechattn show``, as a browser draws it.

    python docs/make_show.py ../shared/corpora

The recording is that of docs/make_example.py (CC0). It needs Playwright and Chromium, as the tests
of the page do. Run it again when the page or the English model changes.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from make_example import NAME, UTTERANCE
from PIL import Image
from playwright.sync_api import sync_playwright

from speechattn.corpora import read_corpus
from speechattn.phones import arpabet

PICTURE = Path(__file__).parent / "pictures" / "show.png"
SIZE = {"width": 1200, "height": 700}
CURSOR = 600, 300  # where the attention is looked at
COLOURS = 128
CHROMIUM = shutil.which("chromium")


def main(corpora: str) -> None:
    """Draw the picture.

    Args:
        corpora: folder that holds the corpus ``kathleen``.
    """
    corpus = read_corpus(Path(corpora) / "kathleen", phones=arpabet(), split="test")
    utterance = next(u for u in corpus if u.id == UTTERANCE)
    with tempfile.TemporaryDirectory() as folder:
        sound, page = Path(folder, NAME), Path(folder, "page.html")
        shutil.copyfile(utterance.path, sound)
        command = [sys.executable, "-m", "speechattn", "show", str(sound), "--output", str(page)]
        subprocess.run([*command, "--quiet"], check=True)
        with sync_playwright() as program:
            browser = program.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            view = browser.new_page(viewport=SIZE, color_scheme="light")
            view.goto(page.as_uri())
            view.wait_for_timeout(2000)
            view.mouse.move(*CURSOR)
            view.wait_for_timeout(500)
            view.screenshot(path=str(PICTURE))
            browser.close()
    with Image.open(PICTURE) as picture:
        picture.convert("RGB").quantize(COLOURS).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
