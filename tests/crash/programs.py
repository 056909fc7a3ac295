"""Programs of their own that may be killed, and waiting for what they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sealroom.client.demo import services

ALL = os.environ.get("SEALROOM_CRASH") == "all"
"""Every victim at every step, instead of the part that always runs."""
ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = ROOT / "build" / "image"
PATIENCE = 90.0
KILLED = -signal.SIGKILL


def until(holds: Callable[[], Any], what: str, *, seconds: float = PATIENCE) -> Any:
    """Wait until `holds` gives something true, and return that."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, f"waited {seconds} seconds for: {what}"
        time.sleep(0.05)
    return found


class Program:
    """A program of its own that may be killed; its output goes to a log."""

    def __init__(self, command: Sequence[str], log: Path, environment: dict[str, str] | None = None) -> None:
        self.log = log
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        services.stop(self.process)
