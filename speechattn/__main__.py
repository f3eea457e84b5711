"""``python -m speechattn``: the same as the command ``speechattn``."""

from __future__ import annotations

import sys

from speechattn.cli import main

if __name__ == "__main__":
    sys.exit(main())
