"""A simulated processor for tests, and a service that runs in a thread of the test."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from sealroom.attestation.simulated.processor import Keys, Processor, create
from sealroom.attestation.simulated.tsm import ReportFolder


@functools.cache
def keys() -> Keys:
    """Made once for all tests: two RSA keys of 4096 bits take seconds."""
    return Keys.generate()


def processor(home: Path, now: int | None = None) -> Processor:
    """A processor of its own instance, with the keys that all tests share."""
    return create(home, now=int(time.time()) if now is None else now, keys=keys())


@contextlib.contextmanager
def served(folder: ReportFolder) -> Iterator[None]:
    """Serve a folder of reports while the block runs."""
    done = threading.Event()

    def loop() -> None:
        while not done.wait(0.001):
            folder.tick()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def wait_for(path: Path, seconds: float = 60) -> bytes:
    """The content of a file that another process is about to put in place."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(FileNotFoundError):
            return path.read_bytes()
        time.sleep(0.01)
    raise TimeoutError(path.name)
