"""Wakes the worker when something was stored, also while it waits for an enclave's socket.

Runs in: host.   Believes: nothing.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket


class Bell:
    """An event descriptor that anybody rings and one waits for."""

    def __init__(self) -> None:
        """Start silent."""
        self._descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ring(self) -> None:
        """Wake the one that waits, now or at its next wait."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float, *, also: socket.socket | None = None) -> bool:
        """Wait for a ring, for `also` to be readable, or for the time to pass; whether `also` is readable."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        if also is not None:
            poll.register(also, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        if self._descriptor in ready:
            with contextlib.suppress(BlockingIOError):
                os.eventfd_read(self._descriptor)
        return also is not None and also.fileno() in ready

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)
