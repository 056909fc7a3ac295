"""What a measurement was made on: without it a number says nothing."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

_MOST = 1 << 20


def described() -> dict[str, Any]:
    return {
        "processor": _field(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "memory": _field(Path("/proc/meminfo"), "MemTotal"),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def load() -> list[float]:
    """Load averages over 1, 5 and 15 minutes: other work on the machine shows here."""
    return [round(value, 2) for value in os.getloadavg()]


def _field(path: Path, name: str) -> str:
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file.read(_MOST).splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return "unknown"
