"""``python -m speechattn``: the same as the command ``speechattn``."""

from __future__ import annotations

from speechattn.cli.main import run

if __name__ == "__main__":
    run()
