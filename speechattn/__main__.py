"""``python -m speechattn``: the same as the command ``speechattn``."""

from __future__ import annotations

from speechattn.cli import run

if __name__ == "__main__":
    run()
