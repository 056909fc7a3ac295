"""Private files: written whole or not at all, readable by their owner only.

Runs in: a party.   Believes: the file system of its own machine.   Spec: §10.1.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sealroom.client.errors import Unreachable
from sealroom.protocol.errors import UsageError

_WIDER = 0o077
_LOOK_EVERY = 0.02


@contextlib.contextmanager
def replacing(path: Path, *, overwrite: bool = False, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A new file that appears at `path` when the block ends well, and leaves nothing behind when it does not.

    Raises:
        UsageError: `path` exists and `overwrite` was not asked for.
    """
    if not overwrite and path.exists():
        raise UsageError(f"{path} exists already", hint="move it away, or choose another name")
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write(path: Path, data: bytes, *, overwrite: bool = False, mode: int = 0o600) -> None:
    """Write `data` durably and whole.

    Raises:
        UsageError: `path` exists and `overwrite` was not asked for.
    """
    with replacing(path, overwrite=overwrite, mode=mode) as sink:
        sink.write(data)


@contextlib.contextmanager
def locked(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock file `path` against this party's other programs; it goes with the process.

    Raises:
        Unreachable: another one held it for all of `seconds`.
    """
    descriptor, until = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), time.monotonic() + seconds
    try:
        while not _taken(descriptor):
            if time.monotonic() >= until:
                raise Unreachable(f"another program of this party holds {path}", hint="wait for it, or stop it")
            time.sleep(_LOOK_EVERY)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def read(path: Path, *, most: int) -> bytes:
    """All bytes of a regular file that has at most `most` of them.

    Raises:
        Unreachable: it cannot be read, is no regular file, or is larger.
    """
    try:
        with path.open("rb") as source:
            if not stat.S_ISREG(os.fstat(source.fileno()).st_mode):
                raise Unreachable(f"{path} is not a regular file")
            data = source.read(most + 1)
    except OSError as error:
        raise Unreachable(f"cannot read {path}: {(error.strerror or 'it failed').lower()}") from error
    if len(data) > most:
        raise Unreachable(f"{path} is larger than {most} bytes")
    return data


def private_folder(path: Path) -> Path:
    """`path` as a folder that only its owner may enter; made if it is not there.

    Raises:
        UsageError: it is there, and others may enter it.
    """
    for folder in (*reversed(path.parents), path):  # `parents=True` would give the ones above another mode
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
    require_private(path)
    return path


def require_private(path: Path) -> None:
    """Return if the file or folder belongs to this user and nobody else may use it.

    Raises:
        Unreachable: it is not there.
        UsageError: it belongs to somebody else, or its mode is too wide.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise Unreachable(f"cannot read {path}: {(error.strerror or 'it failed').lower()}") from error
    if status.st_uid != os.geteuid():
        raise UsageError(f"{path} belongs to another user", hint=f"chown it to yourself: `chown $USER {path}`")
    if status.st_mode & _WIDER:
        narrow = "700" if stat.S_ISDIR(status.st_mode) else "600"
        raise UsageError(f"others on this machine can use {path}", hint=f"close it: `chmod {narrow} {path}`")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
