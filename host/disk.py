"""How much room is left, and how it shows when there is none.

Runs in: host.   Believes: the file system.   Spec: §12.4.

A reserve is kept free for what must never be turned away: statements, consents, receipts and releases of runs that
have begun. Uploads and new runs are refused, and no run is launched, while less than the reserve is free.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from sealroom.host.problems import Problem
from sealroom.host.store.errors import FullError

_FULL = (errno.ENOSPC, errno.EDQUOT)


def free(folder: Path) -> int:
    """Bytes that this user can still write there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def is_low(folder: Path, reserve: int) -> bool:
    """Whether less than the reserve is free."""
    return free(folder) < reserve


def is_full(error: BaseException) -> bool:
    """Whether an error says that nothing more can be written."""
    return isinstance(error, FullError) or (isinstance(error, OSError) and error.errno in _FULL)


def problem() -> Problem:
    """The answer to a call that would have to be stored: nothing of it was, and it can be sent again."""
    return Problem(
        507, "disk-full", "the gateway's disk is full; nothing of this call was kept",
        hint="ask the operator, and send it again",
    )  # fmt: skip


def require_room(folder: Path, reserve: int) -> None:
    """Return while the reserve is free.

    Raises:
        Problem: 507 `disk-full`.
    """
    if is_low(folder, reserve):
        raise problem()
