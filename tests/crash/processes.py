"""Looks at processes from outside, as any user may."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def stat(pid: int) -> list[str]:
    """The fields of a process from its state on; none if it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    return []


def children(pid: int) -> list[int]:
    """Processes whose parent this is, the oldest first; by the kernel's own list if it has one, as jails live short."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return sorted(int(word) for task in tasks for word in (task / "children").read_text("ascii").split())
    except OSError:
        found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return sorted(other for other in found if stat(other)[1:2] == [str(pid)])


def command_of(pid: int) -> str:
    """The command line, as far as it can be read."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
    return ""


def runs(pid: int) -> bool:
    """Whether a process is there and is no zombie."""
    return stat(pid)[:1] not in ([], ["Z"], ["X"])
