"""Copy the libraries of the pages from npm, at the versions of ``package-lock.json``.

Run it when a version in ``package.json`` changes; it needs npm and a network. What it copies is
committed, so that neither an installation nor the use of the package needs either.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
FILES = {
    "uplot/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
    "uplot/dist/uPlot.min.css": "uPlot.min.css",
    "uplot/LICENSE": "uPlot.LICENSE",
}


def main() -> None:
    """Install the packages beside this file, copy what pages need, and remove the rest."""
    subprocess.run(["npm", "ci", "--ignore-scripts", "--omit=dev"], cwd=HERE, check=True)
    modules = HERE / "node_modules"
    for source, target in FILES.items():
        shutil.copyfile(modules / source, HERE / target)
    shutil.rmtree(modules)


if __name__ == "__main__":
    main()
