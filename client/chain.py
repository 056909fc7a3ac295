"""The chained file of a ledger: entries that follow from one another, and what was kept with them.

Runs in: an owner's broker.   Believes: its own file, after checking its chain.   Spec: §10.5.

It writes what it is told in one transaction or not at all; whether something may be written is `ledger`'s to say.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sealroom.client import entries, ledger_file
from sealroom.client.entries import Amount, Draft, Entry
from sealroom.protocol.errors import Malformed
from sealroom.protocol.statements import LedgerHead

_AFTER_ALL = "\U0010ffff"
Keep = Callable[[LedgerHead], Mapping[str, bytes]]
"""Makes what is to be kept with an entry, given the entry's place in the ledger."""


class Chain:
    """The file, opened and locked by somebody else."""

    def __init__(self, database: sqlite3.Connection, folder: Path, party: str) -> None:
        """Take over an open database."""
        self._db, self._folder, self.party = database, folder, party
        self._known: list[Entry] = []

    def entries(self) -> list[Entry]:
        """Every entry, in order; what was read once is not read again, as nothing that is written ever changes."""
        last = self._known[-1].sequence if self._known else 0
        query = "SELECT sequence, previous, body FROM entries WHERE sequence > ? ORDER BY sequence"
        found = [*self._known, *(entries.read(*row) for row in self._ask(query, last))]
        if not self._db.in_transaction:  # what is being written may be undone
            self._known = found
        return list(found)

    def head(self) -> tuple[int, str]:
        """Number and digest of the last entry; number 0 before there is one."""
        rows = self._ask("SELECT sequence, digest FROM entries ORDER BY sequence DESC LIMIT 1")
        return rows[0] if rows else (0, entries.start(self.party))

    def verify_chain(self) -> tuple[int, str]:
        """The head, after every entry was found to follow from the one before it.

        Raises:
            NotGenuine: an entry was altered, removed or slipped in.
        """
        expected = entries.start(self.party)
        rows = self._ask("SELECT sequence, previous, digest, once, body FROM entries ORDER BY sequence")
        for number, (sequence, previous, digest, once, body) in enumerate(rows, start=1):
            in_place = (sequence, previous) == (number, expected)
            if not in_place or not _is_itself(sequence, previous, body, (digest, once)):
                raise ledger_file.broken(f"entry {sequence} does not follow from the one before")
            expected = digest
        return self.head()

    def spent(self, purse: str) -> Amount:
        """All that was ever charged to one purse."""
        return sum((e.draft.charges.get(purse, entries.NOTHING) for e in self.entries()), entries.NOTHING)

    def find(self, once: str) -> Entry | None:
        """The entry that settles this matter, if there is one."""
        rows = self._ask("SELECT sequence, previous, body FROM entries WHERE once = ?", once)
        return entries.read(*rows[0]) if rows else None

    def kept(self, name: str) -> bytes | None:
        """What was kept under `name`."""
        rows = self._ask("SELECT body FROM kept WHERE name = ?", name)
        return rows[0][0] if rows else None

    def kept_under(self, prefix: str) -> dict[str, bytes]:
        """Everything kept under names that begin with `prefix`."""
        query = "SELECT name, body FROM kept WHERE name >= ? AND name < ? ORDER BY name"  # by the index, not every body
        return dict(self._ask(query, prefix, prefix + _AFTER_ALL))

    def sent(self, name: str) -> bool:
        """Whether what is kept under `name` was posted and taken."""
        return bool(self._ask("SELECT 1 FROM sent WHERE name = ?", name))

    def _insert(self, draft: Draft, keep: Keep) -> Entry:
        sequence, previous = self.head()
        entry = Entry(sequence + 1, previous, draft)
        values = (entry.sequence, entry.previous, entry.digest, draft.once, draft.to_bytes())
        self._ask("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", *values)
        for name, body in keep(LedgerHead(sequence=entry.sequence, previous=entry.previous)).items():
            self._keep(name, body)
        return entry

    def _keep(self, name: str, body: bytes) -> None:
        self._ask("INSERT INTO kept VALUES (?, ?, ?)", name, body, ledger_file.kept_digest(name, body))

    def _ask(self, sql: str, *values: Any) -> list[Any]:
        with ledger_file.speaking():
            return self._db.execute(sql, values).fetchall()

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with ledger_file.speaking():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # some errors end it by themselves
                    self._db.execute("ROLLBACK")
                raise


def _is_itself(sequence: int, previous: str, body: bytes, said: tuple[str, str]) -> bool:
    """Whether an entry's digest and matter are those that stand beside it."""
    try:
        entry = entries.read(sequence, previous, body)
    except Malformed:
        return False
    return (entry.digest, entry.draft.once) == said
