"""Ciphertext as files named by SHA-256: written beside, synced, then renamed, so that a name always has its bytes.

Runs in: host.   Believes: nothing; a file gets its name only if its bytes have that digest.   Spec: §8.5.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import stat
import threading
from collections.abc import Callable
from pathlib import Path

_STEP = 1 << 20


class WrongDigestError(ValueError):
    """The bytes are not those that the name promises."""


class Blobs:
    """A folder of finished files, and one of unfinished uploads."""

    def __init__(self, root: Path) -> None:
        """Use `root`, made if need be."""
        self._done, self._partial = root / "done", root / "partial"
        for folder in (self._done, self._partial):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One writer per upload at a time: nobody may write to a file while it is hashed for its name.
        self._locks = [threading.Lock() for _ in range(64)]

    def clear_up(self) -> None:
        """Remove what interrupted copies left; unfinished uploads are kept."""
        for leftover in self._done.glob("*.temporary"):
            leftover.unlink()

    def finished(self) -> list[Path]:
        """Every finished file, and what is left of copies."""
        return sorted(self._done.iterdir())

    def unfinished(self) -> list[Path]:
        """Every upload that is not complete."""
        return sorted(self._partial.iterdir())

    def path(self, digest: str) -> Path:
        """Where the finished file of that digest is, or would be."""
        return self._done / digest

    def open(self, digest: str) -> int:
        """A read-only descriptor of a finished file."""
        return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def read(self, digest: str, offset: int, size: int) -> bytes:
        """Some bytes of a finished file."""
        descriptor = self.open(digest)
        try:
            return os.pread(descriptor, size, offset)
        finally:
            os.close(descriptor)

    def write_chunk(self, upload: str, offset: int, data: bytes) -> None:
        """Put bytes at their place in an unfinished upload; they are on disk afterwards."""
        with self._lock(upload):
            descriptor = os.open(self._partial / upload, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                view = memoryview(data)
                while view:
                    written = os.pwrite(descriptor, view, offset)
                    view, offset = view[written:], offset + written
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def finish(self, upload: str, *, size: int, digest: str) -> None:
        """Give an upload its name; one that was finished before an interruption is fine too.

        Raises:
            WrongDigestError: the bytes are others; the upload is thrown away.
        """
        with self._lock(upload):
            self._finish(self._partial / upload, size, digest)

    def _finish(self, partial: Path, size: int, digest: str) -> None:
        if not partial.exists() and self.path(digest).exists():
            return
        descriptor = os.open(partial, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            found = _hash(descriptor, size) if os.fstat(descriptor).st_size == size else ""
            if found != digest:
                partial.unlink()
                raise WrongDigestError
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._publish(partial, digest)

    def take(self, source: int, *, size: int, digest: str) -> None:
        """Copy `size` bytes of another's descriptor, which may change meanwhile, under the name that they must have.

        Raises:
            WrongDigestError: not a plain file, or the copied bytes are others.
        """
        if not stat.S_ISREG(os.fstat(source).st_mode):
            raise WrongDigestError
        temporary = self._done / f"{secrets.token_hex(8)}.temporary"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                found = _hash(source, size, also=file.write)
                file.flush()
                os.fsync(file.fileno())
            if found != digest:
                raise WrongDigestError
            self._publish(temporary, digest)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()

    def _lock(self, upload: str) -> threading.Lock:
        return self._locks[hash(upload) % len(self._locks)]

    def _publish(self, made: Path, digest: str) -> None:
        made.chmod(0o400)
        made.rename(self.path(digest))
        folder = os.open(self._done, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _hash(descriptor: int, size: int, *, also: Callable[[bytes], object] | None = None) -> str:
    """SHA-256 of the first `size` bytes, or "" when there are fewer."""
    hasher, offset = hashlib.sha256(), 0
    while offset < size:
        part = os.pread(descriptor, min(_STEP, size - offset), offset)
        if not part:
            return ""
        hasher.update(part)
        if also is not None:
            also(part)
        offset += len(part)
    return hasher.hexdigest()
