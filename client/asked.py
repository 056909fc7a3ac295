"""Requests that were sent and may not have arrived: kept until the gateway has answered, each sent by one at a time.

Runs in: a requester.   Believes: its home.   Spec: §5.3.

Several programs of one party may ask for the same at once, and mean as many runs. So a request that another program is
sending right now is not taken for one that was left behind; locks tell the two apart, and go with whoever held them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sealroom.client import files
from sealroom.client.errors import Waiting

FOLDER: Final = "asked"
LOCK: Final = "asked.lock"
_LOCK_WAIT: Final = 30.0


@contextlib.contextmanager
def sending(kept: Path, data: bytes) -> Iterator[None]:
    """Keep a request at `kept` from now on, as one that is being sent while the block lasts.

    Raises:
        Waiting: another program is sending this very request.
        Unreachable: another program of this party has looked at the requests all the time.
    """
    with _alone(kept.parent):
        if not kept.exists():
            files.write(kept, data)
        descriptor = os.open(kept, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        if not _locked(descriptor):
            os.close(descriptor)
            raise Waiting("another program is sending this very request", hint="see `sealroom watch`")
    try:
        yield
    finally:
        os.close(descriptor)


def left_behind(folder: Path) -> list[Path]:
    """Every kept request that nobody is sending.

    Raises:
        Unreachable: another program of this party has looked at them all the time.
    """
    if not folder.is_dir():
        return []
    with _alone(folder):
        return [path for path in sorted(folder.glob("*.json")) if _is_left(path)]


def _is_left(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:  # answered this very moment
        return False
    try:
        return _locked(descriptor)
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alone(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Nobody else looks or keeps meanwhile: held for moments, and beside the folder, in which are requests alone."""
    return files.locked(folder.with_name(LOCK), seconds=_LOCK_WAIT)
