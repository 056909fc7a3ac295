"""What every step of a broker works with, and what it tells of each step.

Runs in: an owner's broker.   Spec: §10.5.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Literal

from sealroom.client import pinning
from sealroom.client.gateway import Gateway
from sealroom.client.home import Home
from sealroom.client.ledger import Ledger
from sealroom.client.logbook import Logbook
from sealroom.client.pinning import PinnedAgreement
from sealroom.client.standing import Standing
from sealroom.protocol.envelope import Envelope, parse
from sealroom.protocol.errors import NotAcceptable, SealroomError

EventKind = Literal[
    "challenged", "granted", "released", "refused", "asked", "cosigned", "unresolved", "no", "stopped", "declined"
]  # fmt: skip
"""`refused` is an answer to an offer; `no` is what this broker would not do, and why; `declined` a whole run."""


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One thing that a step did, or would not do, in a run."""

    kind: EventKind
    run: str
    text: str
    error: SealroomError | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Desk:
    """A broker's home, gateway, ledger and clock."""

    home: Home
    gateway: Gateway
    ledger: Ledger
    clock: Callable[[], float] = time.time

    @property
    def party(self) -> str:
        """Whose broker this is."""
        return self.home.config.party

    def now(self) -> int:
        """Seconds since 1970, never less than the ledger has seen.

        Raises:
            NotAcceptable: the clock is behind it.
        """
        return self.ledger.now(self.clock())

    def post(self, name: str, put: Callable[[Envelope], None]) -> bool:
        """Post what is kept under `name`, unless it was taken before; True if it was posted now."""
        body = self.ledger.kept(name)
        if body is None or self.ledger.sent(name):
            return False
        put(parse(body))
        self.ledger.mark_sent(name)
        return True


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """The newest pinned version of one agreement, the statements that stand about it, and its log as just seen."""

    pinned: PinnedAgreement
    standing: Standing
    log: Logbook


def pinned_version(home: Home, agreement: str, version: str) -> PinnedAgreement:
    """One version of a pinned chain, verified from its first version on.

    Raises:
        NotAcceptable: this home has not pinned that version.
    """
    last, own = None, home.public_keys().signing
    for link in home.versions(agreement):
        last = pinning.verify(link, own_key=own, previous=last)
        if last.version == version:
            return last
    raise NotAcceptable("other-version", "this home has not pinned that version of the agreement",
                        hint="import it: `sealroom agreement import FILE`")  # fmt: skip
