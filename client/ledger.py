"""What an owner has spent: one append-only, hash-chained file with one writer, charged before anything leaves.

Runs in: an owner's broker.   Believes: its own file, after checking its chain.   Spec: §10.5.

An entry and the bytes that it pays for (grants, consents) are committed in one transaction, before they are posted.
After a crash the same bytes are posted again, so that nothing is charged twice and nothing leaves uncharged. Nothing is
ever refunded. Triggers refuse changes; the chain shows those that were made around them. A tail that was cut off shows
only against what others hold: `confirm`.

Files in a home: `ledger.lock` (locked while a broker runs), `ledger.db` (and its `-wal`, `-shm`), `ledger.seat` (which
place and which head this ledger was last at). Whoever restores a home MUST write a file `restored` into it, before any
other file: any text of at most 400 printable characters that says from when the backup is. While it is there the ledger
opens frozen (`E3.ledger-frozen`: no challenge, grant, consent or charge) until `sealroom ledger confirm` removes it. A
backup copies `ledger.db` by SQLite's backup call, or all of these files while it holds the lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from sealroom.client import entries, words
from sealroom.client.entries import Amount, Draft, Entry
from sealroom.client.errors import BudgetSpent
from sealroom.protocol.errors import Malformed, NotAcceptable, NotGenuine, UsageError
from sealroom.protocol.statements import LedgerHead

_BUSY_MS: Final = 10_000
_TABLES = """
CREATE TABLE owner (party TEXT NOT NULL PRIMARY KEY) STRICT;
CREATE TABLE entries (
  sequence INTEGER PRIMARY KEY, previous TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, once TEXT NOT NULL UNIQUE,
  body BLOB NOT NULL) STRICT;
CREATE TABLE kept (name TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
CREATE TABLE sent (name TEXT PRIMARY KEY) STRICT;
"""
_TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END;"
    for table in ("owner", "entries", "kept", "sent")
    for verb in ("update", "delete")
)
Keep = Callable[[LedgerHead], Mapping[str, bytes]]
"""Makes what is to be kept with an entry, given the entry's place in the ledger."""


class Ledger:
    """One party's ledger, opened for writing; `open` takes the lock and checks the chain."""

    def __init__(self, database: sqlite3.Connection, lock: int, party: str) -> None:
        """Use `open`."""
        self._db, self._lock, self.party = database, lock, party

    @classmethod
    def open(cls, folder: Path, party: str) -> Self:
        """The ledger in `folder`, made if there is none.

        Raises:
            NotAcceptable: another broker writes it.
            NotGenuine: its chain is broken.
            UsageError: it is another party's.
        """
        lock = _take_lock(folder / "ledger.lock")
        try:
            database = _connect(folder / "ledger.db", party)
        except BaseException:
            os.close(lock)
            raise
        ledger = cls(database, lock, party)
        try:
            ledger.verify_chain()
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Release file and lock; closing twice is fine."""
        self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def entries(self) -> list[Entry]:
        """Every entry, in order."""
        rows = self._db.execute("SELECT sequence, previous, body FROM entries ORDER BY sequence")
        return [entries.read(sequence, previous, body) for sequence, previous, body in rows]

    def head(self) -> tuple[int, str]:
        """Number and digest of the last entry; number 0 before there is one."""
        row = self._db.execute("SELECT sequence, digest FROM entries ORDER BY sequence DESC LIMIT 1").fetchone()
        return (row[0], row[1]) if row else (0, entries.start(self.party))

    def verify_chain(self) -> tuple[int, str]:
        """The head, after every entry was found to follow from the one before it.

        Raises:
            NotGenuine: an entry was altered, removed or slipped in.
        """
        expected = entries.start(self.party)
        rows = self._db.execute("SELECT sequence, previous, digest, once, body FROM entries ORDER BY sequence")
        for number, (sequence, previous, digest, once, body) in enumerate(rows, start=1):
            in_place = (sequence, previous) == (number, expected)
            if not in_place or not _is_itself(sequence, previous, body, (digest, once)):
                raise NotGenuine("ledger-broken", f"entry {sequence} of the ledger does not follow from the one before",
                                 hint="restore the newest copy; do not run a broker on this one")  # fmt: skip
            expected = digest
        return self.head()

    def spent(self, purse: str) -> Amount:
        """All that was ever charged to one purse."""
        return sum((e.draft.charges.get(purse, entries.NOTHING) for e in self.entries()), entries.NOTHING)

    def find(self, once: str) -> Entry | None:
        """The entry that settles this matter, if there is one."""
        row = self._db.execute("SELECT sequence, previous, body FROM entries WHERE once = ?", (once,)).fetchone()
        return entries.read(*row) if row else None

    def append(self, draft: Draft, *, limits: Mapping[str, Amount], keep: Keep = lambda _: {}) -> Entry:
        """Charge, and keep what the charge pays for, in one transaction; the same draft again changes nothing.

        Raises:
            BudgetSpent: a purse would hold less than nothing; nothing was written.
            NotAcceptable: the matter is settled already, otherwise.
        """
        with self._transaction():
            if found := self.find(draft.once):
                if (found.draft.kind, found.draft.name) != (draft.kind, draft.name):
                    raise NotAcceptable("settled-otherwise", f"the ledger has settled {draft.once} in another way")
                return found
            self.require_budget(draft.charges, limits=limits)
            sequence, previous = self.head()
            entry = Entry(sequence + 1, previous, draft)
            self._db.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
                (entry.sequence, entry.previous, entry.digest, draft.once, draft.to_bytes()),
            )
            for name, body in keep(LedgerHead(sequence=entry.sequence, previous=entry.previous)).items():
                self._db.execute("INSERT INTO kept VALUES (?, ?)", (name, body))
            return entry

    def keep(self, name: str, body: bytes) -> bytes:
        """Keep `body` under `name` for ever; what was kept first stays and is returned."""
        with self._transaction():
            self._db.execute("INSERT INTO kept VALUES (?, ?) ON CONFLICT DO NOTHING", (name, body))
        return self.kept(name) or b""

    def kept(self, name: str) -> bytes | None:
        """What was kept under `name`."""
        row = self._db.execute("SELECT body FROM kept WHERE name = ?", (name,)).fetchone()
        return row[0] if row else None

    def kept_under(self, prefix: str) -> dict[str, bytes]:
        """Everything kept under names that begin with `prefix`."""
        query = "SELECT name, body FROM kept WHERE substr(name, 1, ?) = ? ORDER BY name"
        return dict(self._db.execute(query, (len(prefix), prefix)).fetchall())

    def sent(self, name: str) -> bool:
        """Whether what is kept under `name` was posted and taken."""
        return self._db.execute("SELECT 1 FROM sent WHERE name = ?", (name,)).fetchone() is not None

    def mark_sent(self, name: str) -> None:
        """Note that it was."""
        with self._transaction():
            self._db.execute("INSERT INTO sent VALUES (?) ON CONFLICT DO NOTHING", (name,))

    def confirm(self, heads: Iterable[LedgerHead]) -> None:
        """Compare with places in this ledger that others hold under this party's own signature.

        Raises:
            NotAcceptable: this is an older copy, or another history, than the one that was shown to others.
        """
        places = dict(self._db.execute("SELECT sequence, previous FROM entries").fetchall())
        for head in heads:
            if places.get(head.sequence) != head.previous:
                raise NotAcceptable(
                    "ledger-rolled-back",
                    f"others hold entry {head.sequence} of this ledger, and this copy does not have it",
                    hint="it was restored from a backup: put the newest copy of ledger.db back before any broker runs",
                )

    def require_budget(self, charges: Mapping[str, Amount], *, limits: Mapping[str, Amount]) -> None:
        """Return if every purse could pay its charge now.

        Raises:
            BudgetSpent: one could not.
        """
        for purse, charge in charges.items():
            limit, spent = limits.get(purse, entries.NOTHING), self.spent(purse)
            if not (spent + charge).within(limit):
                raise BudgetSpent(
                    "budget-spent",
                    f"the purse {purse} cannot pay {words.amount(charge)}: of {words.amount(limit)}, "
                    f"{words.amount(spent)} is spent",
                    hint="only a new version of the agreement, signed by all, can widen a purse",
                )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _is_itself(sequence: int, previous: str, body: bytes, said: tuple[str, str]) -> bool:
    """Whether an entry's digest and matter are those that stand beside it."""
    try:
        entry = entries.read(sequence, previous, body)
    except Malformed:
        return False
    return (entry.digest, entry.draft.once) == said


def _take_lock(path: Path) -> int:
    """One writer per purse: the lock goes with the process, also when it is killed."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise NotAcceptable("ledger-in-use", "another broker of this party is running",
                            hint="one broker per home: stop the other one first") from error  # fmt: skip
    return descriptor


def _connect(path: Path, party: str) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in (f"busy_timeout = {_BUSY_MS}", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            database.execute(f"PRAGMA {pragma}")
        _prepare(database, party)
    except sqlite3.DatabaseError as error:
        database.close()
        raise NotGenuine("ledger-broken", f"{path} is not a ledger: {error}") from error
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection, party: str) -> None:
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        database.executescript(f"BEGIN; {_TABLES} {_TRIGGERS} COMMIT;")
    database.execute("INSERT INTO owner SELECT ? WHERE NOT EXISTS (SELECT 1 FROM owner)", (party,))
    owner = database.execute("SELECT party FROM owner").fetchone()[0]
    if owner != party:
        raise UsageError(f"this ledger belongs to {owner!r}, not to {party!r}")
