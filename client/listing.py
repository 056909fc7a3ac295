"""When a broker asks for the statements that its gateway lists beside the log.

Runs in: an owner's broker.   Believes: nothing that is listed, before `known` has verified it.   Spec: §13.4.

A gateway logs a statement as it takes it: while the log has the same size and root as when all that was listed was
found in it, an honest gateway has nothing new to list. One that lies could keep a statement out of log and lists alike,
so not being asked meanwhile gives it nothing. Nothing new is given without an entry that is new (a request, evidence, a
receipt), except what a person answers later; so lists are asked for after a minute in any case.
"""

from __future__ import annotations

import dataclasses
from typing import Final

from sealroom.client import known
from sealroom.client.desk import Desk
from sealroom.client.logbook import Logbook
from sealroom.client.read_entries import ReadEntries
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.notes import Checkpoint

EVERY: Final = 60
"""Seconds after which lists are asked for though the log stayed as it was."""


@dataclasses.dataclass(slots=True)
class Lists:
    """What one broker knows from its steps before about one agreement: entries that it read, the log's key."""

    read: ReadEntries = dataclasses.field(default_factory=ReadEntries)
    key: Envelope | None = None
    _found: Checkpoint | None = None
    _version: str = ""
    _asked: int = 0

    def ask(self, desk: Desk, log: Logbook) -> list[Envelope]:
        """What the gateway lists and holds, all kept now; none if there is no need to ask. `log` has been looked at.

        Raises:
            NotAcceptable: it lists two keys of the log.
        """
        same = (self._found, self._version) == (log.head, log.pinned.version)
        if same and self._asked <= log.now < self._asked + EVERY:
            return []
        self._found = None
        log.statement()
        listed = known.listed(desk, log.pinned)
        if not all(desk.ledger.sent(known.logged(signed)) for signed in listed):
            log.look()  # one may have been posted after the first look
        return listed

    def found(self, log: Logbook) -> None:
        """Note that all that was listed, if it was asked for, is in the log."""
        if self._found is None:
            self._found, self._version, self._asked, self.key = log.head, log.pinned.version, log.now, log.said
