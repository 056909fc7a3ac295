"""Keeps plaintext in anonymous memory files whose seals the kernel enforces.

Runs in: gate, engine, jail.   Believes: the kernel.   Spec: §9.4.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from sealroom.protocol.errors import Malformed, UsageError

FROZEN = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
FIXED = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
MOST_BYTES = 1 << 40


class Sealer:
    """Writes a memory file piece by piece and then freezes it; a file that is not finished is dropped."""

    def __init__(self, name: str, *, most: int) -> None:
        """Start an empty file that may grow to `most` bytes; `name` shows only in this process's descriptor list."""
        self._fd = _create(name)
        self._left = most

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append bytes.

        Raises:
            Malformed: the file would exceed its bound.
        """
        view = memoryview(chunk).cast("B")
        if len(view) > self._left:
            raise Malformed("too-large", "the plaintext is longer than its bound")
        self._left -= len(view)
        while view:
            view = view[os.write(self._fd, view) :]

    def finish(self) -> int:
        """Freeze content and size, and hand over the descriptor, positioned at the start."""
        fd, self._fd = self._fd, -1
        os.lseek(fd, 0, os.SEEK_SET)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, FROZEN)
        return fd

    def close(self) -> None:
        """Drop the file unless it was finished."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def sealed_copy(name: str, chunks: Iterable[bytes | bytearray | memoryview], *, most: int = MOST_BYTES) -> int:
    """A frozen memory file of the chunks: nobody who gets the descriptor can change content or size.

    Raises:
        Malformed: the chunks exceed `most` bytes.
    """
    with Sealer(name, most=most) as sealer:
        for chunk in chunks:
            sealer.write(chunk)
        return sealer.finish()


def fixed_output(size: int, name: str = "output") -> int:
    """A zeroed, writable memory file of exactly `size` bytes for ever, for a process that is not trusted."""
    if not 0 < size <= MOST_BYTES:
        raise UsageError(f"an output has 1..{MOST_BYTES} bytes")
    fd = _create(name)
    try:
        os.ftruncate(fd, size)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, FIXED)
    except BaseException:
        os.close(fd)
        raise
    return fd


def require_seals(fd: int, seals: int = FROZEN) -> int:
    """The size in bytes of a memory file that carries at least these seals.

    Raises:
        Malformed: not a memory file, or a seal is missing, so that its sender could still change it.
    """
    try:
        have = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    except OSError as error:
        raise Malformed("not-memory", "the descriptor is not a sealable memory file") from error
    if have & seals != seals:
        raise Malformed("not-sealed", "the memory file lacks a seal")
    return os.fstat(fd).st_size


def map_readonly(fd: int) -> memoryview:
    """The bytes of a memory file without a copy; the descriptor may be closed afterwards.

    The mapping is private, because kernels before 6.7 refuse a shared one of a write-sealed file. No page is copied as
    nothing writes to it.
    """
    size = os.fstat(fd).st_size
    if not size:
        return memoryview(b"")
    return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))


def map_writable(fd: int) -> memoryview:
    """The bytes of a fixed output, to write to; unlike write(2) this needs no file-size allowance."""
    size = os.fstat(fd).st_size
    return memoryview(mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE))


def _create(name: str) -> int:
    return os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
