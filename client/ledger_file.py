"""The database file of a ledger: its tables, its settings, and what its errors mean.

Runs in: an owner's broker.   Believes: its own file, after checking it.   Spec: §10.5.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sealroom.client.errors import Unreachable
from sealroom.protocol import digest
from sealroom.protocol.errors import NotGenuine, UsageError

NAME: Final = "ledger.db"
_BUSY_MS: Final = 10_000
_VERSION: Final = 2
_TABLES = """
CREATE TABLE owner (party TEXT NOT NULL PRIMARY KEY) STRICT;
CREATE TABLE entries (
  sequence INTEGER PRIMARY KEY, previous TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, once TEXT NOT NULL UNIQUE,
  body BLOB NOT NULL) STRICT;
CREATE TABLE kept (name TEXT PRIMARY KEY, body BLOB NOT NULL, digest TEXT NOT NULL) STRICT;
CREATE TABLE sent (name TEXT PRIMARY KEY) STRICT;
CREATE TABLE clock (since INTEGER PRIMARY KEY, latest INTEGER NOT NULL) STRICT;
CREATE TRIGGER clock_no_return BEFORE UPDATE ON clock WHEN NEW.latest < OLD.latest OR NEW.since != OLD.since
  BEGIN SELECT RAISE(ABORT, 'append-only'); END;
CREATE TRIGGER clock_no_delete BEFORE DELETE ON clock BEGIN SELECT RAISE(ABORT, 'append-only'); END;
"""
_TRIGGERS = "".join(
    f"CREATE TRIGGER {table}_no_{verb} BEFORE {verb.upper()} ON {table} BEGIN SELECT RAISE(ABORT, 'append-only'); END;"
    for table in ("owner", "entries", "kept", "sent")
    for verb in ("update", "delete")
)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_WHAT_TO_DO: Final = (
    "keep these files for later, then put the newest backup back, or move every `ledger.*` away: either way nothing is "
    "granted before `sealroom ledger confirm`"
)


def connect(path: Path, party: str) -> sqlite3.Connection:
    """The database at `path`, every page of it checked; made if there is none.

    Raises:
        NotGenuine: it is damaged, or no ledger.
        UsageError: it is another party's, or another version's.
        Unreachable: it cannot be read or written now.
    """
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    database = sqlite3.connect(path, isolation_level=None)
    try:
        with speaking():
            for pragma in (
                f"busy_timeout = {_BUSY_MS}", "trusted_schema = OFF", "cell_size_check = ON", "journal_mode = WAL",
                "synchronous = FULL", "foreign_keys = ON",
            ):  # fmt: skip
                database.execute(f"PRAGMA {pragma}")
            _prepare(database, party)
            _check(database)
    except BaseException:
        database.close()
        raise
    return database


@contextlib.contextmanager
def speaking() -> Iterator[None]:
    """Turn SQLite's errors into ours; refusals by our own triggers pass.

    Raises:
        NotGenuine: the file is damaged.
        Unreachable: it could not be read or written; whatever was begun was undone.
    """
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _DAMAGED:
            raise broken(str(error)) from error
        full = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL
        why = "the disk is full" if full else str(error)
        raise Unreachable(f"the ledger could not be written: {why}",
                          hint="nothing was charged and nothing was let go; make room, the broker goes on then",
                          ) from error  # fmt: skip


def broken(what: str) -> NotGenuine:
    """The error for a ledger that is not as it was written."""
    return NotGenuine("ledger-broken", f"the ledger is damaged: {what}", hint=_WHAT_TO_DO)


def kept_digest(name: str, body: bytes) -> str:
    """What stands beside a kept document, so that a flipped bit in it shows."""
    return digest.sha256("ledger-kept/v1", name.encode(), body)


def _prepare(database: sqlite3.Connection, party: str) -> None:
    version = database.execute("PRAGMA user_version").fetchone()[0]
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        database.executescript(f"BEGIN; {_TABLES} {_TRIGGERS} PRAGMA user_version = {_VERSION}; COMMIT;")
    elif version != _VERSION:
        raise UsageError(f"the ledger has version {version}, this program needs {_VERSION}")
    database.execute("INSERT INTO owner SELECT ? WHERE NOT EXISTS (SELECT 1 FROM owner)", (party,))
    owner = database.execute("SELECT party FROM owner").fetchone()[0]
    if owner != party:
        raise UsageError(f"this ledger belongs to {owner!r}, not to {party!r}")


def _check(database: sqlite3.Connection) -> None:
    """Return if every page, index and kept document is as it was written.

    Raises:
        NotGenuine: one is not.
    """
    said = [row[0] for row in database.execute("PRAGMA integrity_check(3)")]
    if said != ["ok"]:
        raise broken("; ".join(said)[:300])
    for name, body, said_digest in database.execute("SELECT name, body, digest FROM kept"):
        if kept_digest(name, body) != said_digest:
            raise broken(f"what was kept as {name[:100]!r} is not what was written")
