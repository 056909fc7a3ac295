"""Whether runs could be launched now: asked every few seconds by a thread of its own, answered from memory.

Runs in: host.   Believes: nothing.   Spec: §12.1.   A stranger who asks costs nothing and learns one bit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from sealroom.host.journal import Journal, silent
from sealroom.host.launcher.base import Launcher
from sealroom.host.queue import Worker
from sealroom.host.store import Store
from sealroom.host.store.errors import StoreError

EVERY = 5.0


class Readiness:
    """`probe` names the part that is missing, or gives None; a probe that fails counts as a missing worker."""

    def __init__(
        self, probe: Callable[[], str | None], *, journal: Journal | None = None, every: float = EVERY
    ) -> None:
        """Not ready before the first look."""
        self._probe, self._journal, self._every = probe, journal or silent(), every
        self._missing: str | None = "worker"
        self._leaving = threading.Event()
        self._first = True

    @property
    def is_ready(self) -> bool:
        """What the last look found; never while the gateway is leaving."""
        return self._missing is None and not self._leaving.is_set()

    def look(self) -> None:
        """Ask every part once."""
        try:
            missing = self._probe()
        except Exception:  # noqa: BLE001 (whatever it is, nobody should count on us)
            missing = "worker"
        if missing != self._missing or self._first:
            if missing is None:
                self._journal.say("ready")
            else:
                self._journal.say("not-ready", part=missing)
        self._missing, self._first = missing, False

    def watch(self) -> None:
        """Look again and again until `leave`."""
        while not self._leaving.is_set():
            self.look()
            self._leaving.wait(self._every)

    def leave(self) -> None:
        """Not ready from now on, for good."""
        self._leaving.set()


def probe(store: Store, worker: Worker, launcher: Launcher) -> Callable[[], str | None]:
    """Asks the database, the worker's thread, the processor and the launcher, in this order."""

    def ask() -> str | None:
        try:
            store.database.number("SELECT count(*) FROM log_key")
        except StoreError:
            return "store"
        return launcher.check() if worker.is_sound else "worker"

    return ask
