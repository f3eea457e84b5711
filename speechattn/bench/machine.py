"""What a benchmark ran on: without it, a time means nothing."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from speechattn import __version__
from speechattn.bench.process import usable_cores

_CPUINFO = Path("/proc/cpuinfo")  # Linux


def cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """What the maker calls the processor, as far as the system tells.

    Args:
        cpuinfo: Linux's description of the processors.
    """
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model") and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or "unknown"


def version_of(package: str) -> str:
    """Version of an installed package, looked up without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def machine_facts(packages: Sequence[str]) -> dict[str, str]:
    """Processor, cores, load, system and versions, for people to read.

    The load is that of the last minute: where it is not near 0 when the benchmark begins, other
    programs compete with what is measured.

    Args:
        packages: whose versions matter.
    """
    facts = {
        "CPU": cpu_model(),
        "cores": f"{os.cpu_count()}, of them usable {len(usable_cores())}",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
        "speechattn": __version__,
    }
    facts |= {package: version_of(package) for package in packages}
    if hasattr(os, "getloadavg"):
        facts["load before"] = f"{os.getloadavg()[0]:.2f}"
    return facts
