"""Make ``docs/pictures/stream.svg``: a screen recording of ``speechattn stream``.

    python docs/make_stream.py ../shared/corpora

The command runs in a terminal of its own and hears the recording of docs/make_example.py (CC0) at
the pace of speech. What it prints, and when, is what the picture shows; its strip of sound moves
with the time. Run it on an idle machine, and again when the streaming model changes.
"""

from __future__ import annotations

import fcntl
import html
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import numpy as np
from make_example import UTTERANCE

from speechattn.audio import read_audio
from speechattn.corpora import read_corpus
from speechattn.phones import arpabet

PICTURE = Path(__file__).parent / "pictures" / "stream.svg"
COMMAND = "speechattn stream --words < sound"
RATE = 16_000
STEP = 0.05  # seconds of sound that come at a time
PAUSE = 0.7  # seconds of silence after the words
REST = 3.0  # seconds for which the end is shown
WIDTH, LINE, TOP, WAVE = 720, 22, 92, 44  # pixels
POINTS = 300  # of the strip of sound
Lines = list[tuple[float, str]]


def main(corpora: str) -> None:
    """Record the command and draw what it printed.

    Args:
        corpora: folder that holds the corpus ``kathleen``.
    """
    corpus = read_corpus(Path(corpora) / "kathleen", phones=arpabet(), split="test")
    utterance = next(u for u in corpus if u.id == UTTERANCE)
    samples, _ = read_audio(utterance.path)
    samples = np.concatenate([samples, np.zeros(round(PAUSE * RATE), samples.dtype)])
    lines = record(samples)
    for seconds, text in lines:
        print(f"{seconds:6.2f} s  {text}")
    PICTURE.write_text(draw(lines, samples, utterance.text), encoding="utf-8")


def record(samples: np.ndarray) -> Lines:
    """Run the command; return its lines, each with the seconds since the sound began.

    Args:
        samples: 16 kHz, shape (samples,), from -1 to 1.
    """
    pieces = [
        (piece.clip(-1, 1) * 32767).astype("<i2").tobytes()
        for piece in np.split(samples, range(round(STEP * RATE), len(samples), round(STEP * RATE)))
    ]
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(Path(folder, "sound"))
        inside, outside = pty.openpty()
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.Popen(
            ["sh", "-c", COMMAND], cwd=folder, stdout=outside, stderr=outside,
            env=os.environ | {"PATH": path},
        )  # fmt: skip
        os.close(outside)
        started = threading.Event()
        begin = [0.0]

        def speak() -> None:
            with Path(folder, "sound").open("wb", buffering=0) as sound:
                sound.write(pieces[0])
                while _unread(sound.fileno()):  # the model is still being loaded
                    time.sleep(0.01)
                begin[0] = time.monotonic()
                started.set()
                for number, piece in enumerate(pieces[1:], 1):
                    rest = begin[0] + (number + 1) * STEP - time.monotonic()
                    time.sleep(max(0.0, rest))
                    sound.write(piece)

        speaker = threading.Thread(target=speak, daemon=True)
        speaker.start()
        started.wait()
        lines = _read_lines(inside, begin[0])
        speaker.join()
        if process.wait():
            raise SystemExit(f"{COMMAND}: {lines}")
    return lines


def _unread(pipe: int) -> int:
    """Return how many bytes of a pipe nobody has read yet."""
    return struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]


def _read_lines(terminal: int, begin: float) -> Lines:
    lines, text = [], b""
    while True:
        try:
            data = os.read(terminal, 4096)
        except OSError:  # its last reader has ended
            return lines
        *whole, text = (text + data).split(b"\n")
        now = time.monotonic() - begin
        lines += [(now, line.decode().rstrip()) for line in whole]


def draw(lines: Lines, samples: np.ndarray, said: str) -> str:
    """Return an SVG that plays itself, again and again; without motion it shows the end."""
    sound = len(samples) / RATE
    total = max(sound, lines[-1][0]) + REST
    height = TOP + LINE * (len(lines) + 1)
    rules, rows = [], []
    for number, (seconds, text) in enumerate(lines):
        share = 100 * seconds / total
        rules.append(
            f"@keyframes l{number}{{0%,{share:.2f}%{{opacity:0}}"
            f"{share + 0.01:.2f}%,100%{{opacity:1}}}}"
            f".l{number}{{animation:l{number} {total:.2f}s infinite}}"
        )
        y = TOP + LINE * (number + 1)
        rows.append(f'<text class="l{number}" x="16" y="{y}">{html.escape(text)}</text>')
    end = 100 * sound / total
    rules.append(
        f"@keyframes go{{0%{{transform:translateX(0)}}{end:.2f}%,100%"
        f"{{transform:translateX({WIDTH - 32}px)}}}}"
        f".go{{animation:go {total:.2f}s linear infinite}}"
    )
    described = (
        f"A terminal in which `{COMMAND}` hears the sentence “{said}” at the pace of speech and "
        "prints each word, with its start and end in seconds, confidence and phones."
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d">\n'
        f'<title id="t">speechattn stream</title>\n<desc id="d">{html.escape(described)}</desc>\n'
        "<style>text{font:14px ui-monospace,'DejaVu Sans Mono',monospace;fill:#e8ecf3}"
        ".prompt{fill:#8fb3dc}\n" + "\n".join(rules) + "\n"
        "@media (prefers-reduced-motion:reduce){*{animation:none!important}"
        f".go{{transform:translateX({WIDTH - 32}px)}}}}</style>\n"
        f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#11141a"/>\n'
        f'<path d="{_outline(samples)}" fill="#4b6a8d"/>\n'
        f'<rect class="go" x="15" y="8" width="2" height="{WAVE + 4}" fill="#ff9a4d"/>\n'
        f'<text class="prompt" x="16" y="{TOP}">$ {html.escape(COMMAND)}</text>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def _outline(samples: np.ndarray) -> str:
    """Return the path of the outline of the sound."""
    parts = np.array_split(np.abs(samples), POINTS)
    loudest = max(float(np.abs(samples).max()), 1e-9)
    sizes = [max(0.5, WAVE / 2 * float(part.max()) / loudest) for part in parts]
    middle, step = 10 + WAVE / 2, (WIDTH - 32) / POINTS
    up = [f"{16 + i * step:.1f},{middle - size:.1f}" for i, size in enumerate(sizes)]
    down = [f"{16 + i * step:.1f},{middle + size:.1f}" for i, size in enumerate(sizes)]
    return "M" + "L".join(up + down[::-1]) + "Z"


if __name__ == "__main__":
    main(*sys.argv[1:])
