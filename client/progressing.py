"""Tells how much of a file was read, to whoever watches: a terminal's bar, or nobody.

Runs in: a party.   Believes: nothing.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from sealroom.attestation.measurement.tree import DigestCache

Step = Callable[[int], None]
"""Takes the number of bytes that were read since it was called last."""
_BUFFER: Final = 1 << 18
_WATCHING: contextvars.ContextVar[Step | None] = contextvars.ContextVar("watching", default=None)


@contextlib.contextmanager
def watched(step: Step) -> Iterator[None]:
    """Let `step` know of everything that `opened` reads while the block lasts; steps come one after the other."""
    lock = threading.Lock()

    def one_by_one(count: int) -> None:
        with lock:
            step(count)

    token = _WATCHING.set(one_by_one)
    try:
        yield
    finally:
        _WATCHING.reset(token)


def opened(path: Path) -> BinaryIO:
    """A file for reading, counted if somebody watches.

    Raises:
        OSError: it cannot be opened.
    """
    step = _WATCHING.get()
    raw = path.open("rb", buffering=0)
    return cast("BinaryIO", io.BufferedReader(raw if step is None else _Counted(raw, step), _BUFFER))


def digests() -> DigestCache | None:
    """For the measurement of a folder: a cache that is empty, and tells the size of each file once it was read."""
    step = _WATCHING.get()
    return None if step is None else _Digests(step)


def size_of(paths: Iterable[Path]) -> int:
    """Bytes of all files among these paths and below them; what cannot be looked at counts as nothing."""
    found = 0
    for path in paths:
        with contextlib.suppress(OSError):
            below = (p for p in path.rglob("*") if not p.is_symlink()) if path.is_dir() else iter([path])
            found += sum(p.stat().st_size for p in below if p.is_file())
    return found


class _Counted(io.RawIOBase):
    """Another file's bytes, each told of once."""

    def __init__(self, inner: io.FileIO, step: Step) -> None:
        self._inner, self._step = inner, step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._inner.readinto(buffer)
        self._step(count)
        return count

    def close(self) -> None:
        self._inner.close()
        super().close()


class _Digests(dict[tuple[int, int, int, int, int], str]):
    """A cache of digests whose keys hold sizes."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self._step = step

    def __setitem__(self, key: tuple[int, int, int, int, int], value: str) -> None:
        super().__setitem__(key, value)
        self._step(key[2])
