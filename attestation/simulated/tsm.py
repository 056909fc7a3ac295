"""Serves one guest's folder of reports as Linux serves configfs-tsm, so that guests need no other code on hardware.

Runs in: the operator's machine, outside the enclave.   Believes: nothing in that folder, which belongs to the guest.
Spec: §6.6 (Linux: Documentation/ABI/testing/configfs-tsm-report).

A guest makes a folder, finds `generation` and `inblob` in it, writes 64 bytes, and sees `generation` go up when
`outblob`, `auxblob` and `provider` are there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import stat
from collections.abc import Callable
from pathlib import Path

PROVIDER = b"sev_guest\n"
REPORT_DATA = 64
MOST_REQUESTS = 16
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Answer = Callable[[bytes], tuple[bytes, bytes]]
"""64 bytes -> report and certificate table."""


@dataclasses.dataclass(slots=True)
class _Request:
    generation: int = 0
    answered: tuple[int, int] | None = None
    """Time and inode of the `inblob` answered last."""


class ReportFolder:
    """The folder of one guest; `tick` does whatever is due in it and never waits."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        """Serve `folder`, which exists and which the guest may write to."""
        self._folder, self._answer = folder, answer
        self._requests: dict[str, _Request] = {}

    def tick(self) -> None:
        """Look once at every request. One that the guest has spoilt is passed over; it hurts only the guest."""
        with os.scandir(self._folder) as listing:
            names = [entry.name for entry in listing if entry.is_dir(follow_symlinks=False)]
        self._requests = {name: found for name, found in self._requests.items() if name in names}
        for name in names:
            if name in self._requests or len(self._requests) < MOST_REQUESTS:
                with contextlib.suppress(OSError):
                    self._look(name)

    def _look(self, name: str) -> None:
        fd = os.open(self._folder / name, _FOLDER)
        try:
            if name not in self._requests:
                self._requests[name] = _Request()
                _put(fd, "inblob", b"", 0o666)
                _put(fd, "provider", PROVIDER)
                _put(fd, "generation", b"0\n")
            self._serve(fd, self._requests[name])
        finally:
            os.close(fd)

    def _serve(self, fd: int, request: _Request) -> None:
        found = _inblob(fd)
        if found is None or found[0] == request.answered:
            return
        report, table = self._answer(found[1])
        request.answered = found[0]
        request.generation += 1
        _put(fd, "outblob", report)
        _put(fd, "auxblob", table)
        _put(fd, "generation", b"%d\n" % request.generation)


def _inblob(folder: int) -> tuple[tuple[int, int], bytes] | None:
    """What the guest wrote, with the mark of that writing; None until it is complete."""
    fd = os.open("inblob", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size != REPORT_DATA:
            return None
        return (status.st_mtime_ns, status.st_ino), os.read(fd, REPORT_DATA)
    finally:
        os.close(fd)


def _put(folder: int, name: str, data: bytes, mode: int = 0o644) -> None:
    """Put a whole file in place at once; whatever the guest left under that name is replaced, never followed."""
    temporary = f".{name}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary, dir_fd=folder)
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=folder)
    with open(fd, "wb") as target:
        target.write(data)
        os.fchmod(fd, mode)
    os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
