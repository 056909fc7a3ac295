"""A broker as a service: steps until it is told to leave, ends the step at hand first, and shows that it lives.

Runs in: an owner's broker.   Believes: nothing new.   Spec: §12.1.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Never

from sealroom.client import liveness
from sealroom.client.desk import Event
from sealroom.client.errors import NotAuthorized, Unreachable
from sealroom.client.journal import Journal, code
from sealroom.client.liveness import State
from sealroom.protocol.errors import SealroomError

GRACE: Final = 20.0
"""Seconds that a step may take to end after SIGTERM; whatever it is at then is as safe as a kill at that point."""


class Service:
    """Calls `step` until told to leave. It says every event once, as long as it stays the same."""

    def __init__(self, step: Callable[[], list[Event]], folder: Path, journal: Journal) -> None:
        """`folder` is the home, where the sign of life is kept."""
        self._step, self._folder, self._journal = step, folder, journal
        self._said: set[tuple[str, str, str]] = set()
        self._state: State = "starting"

    def run(self, leaving: threading.Event, *, every: float) -> None:
        """Look every `every` seconds.

        Raises:
            SealroomError: the broker must not go on; the log says why, as a code.
        """
        self._journal.say("broker-started")
        tell_systemd(b"READY=1")
        try:
            while not leaving.is_set():
                self._once()
                leaving.wait(every)
            self._journal.say("broker-stopping")
        except SealroomError as error:
            self._journal.say("refused-to-go-on", code=code(error))
            raise
        except Exception as error:
            self._journal.failure("crashed", error)
            raise
        finally:
            tell_systemd(b"STOPPING=1")
            liveness.clear(self._folder)
            self._journal.say("broker-stopped")

    def _once(self) -> None:
        try:
            events = self._step()
        except Unreachable:
            self._be("gateway-silent")
            return
        except NotAuthorized:  # the operator may not have registered the agreement yet, or has restored a store
            self._be("not-let-in")
            return
        self._be("answering")
        now: set[tuple[str, str, str]] = {(event.kind, event.run, code(event.error)) for event in events}
        for event in events:
            if (event.kind, event.run, code(event.error)) not in self._said:
                self._journal.happened(event)
        self._said = now

    def _be(self, state: State) -> None:
        if state != self._state:
            if state == "gateway-silent":
                self._journal.say("gateway-silent")
            elif state == "not-let-in":
                self._journal.say("not-let-in")
            elif self._state != "starting":
                self._journal.say("gateway-answers")
        self._state = state
        liveness.show(self._folder, state, now=time.time())


@contextlib.contextmanager
def leaving(grace: float = GRACE) -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; `grace` seconds later, or at a second signal, what still runs is ended."""
    event = threading.Event()

    def enough(*_: object) -> Never:
        raise SystemExit(0)

    def told(*_: object) -> None:
        if event.is_set():
            enough()
        event.set()
        signal.setitimer(signal.ITIMER_REAL, grace)

    numbers = {signal.SIGTERM: told, signal.SIGINT: told, signal.SIGALRM: enough}
    before = {number: signal.signal(number, handler) for number, handler in numbers.items()}
    try:
        yield event
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def tell_systemd(state: bytes) -> None:
    """What sd_notify(3) says, if systemd started us."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, contextlib.suppress(OSError):
        sock.sendto(state, "\0" + address[1:] if address.startswith("@") else address)
