"""One SQLite file: write-ahead log, every commit on disk before it counts, strict types.

Runs in: host.   Believes: nothing.   Spec: §8.5.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

VERSION = 2
_SCHEMA = """
CREATE TABLE nonces (key TEXT NOT NULL, nonce TEXT NOT NULL, expires REAL NOT NULL, PRIMARY KEY (key, nonce)) STRICT;
CREATE INDEX nonces_by_expiry ON nonces (expires);
CREATE TABLE agreements (
  version TEXT PRIMARY KEY, agreement TEXT NOT NULL, sequence INTEGER NOT NULL, envelope BLOB NOT NULL,
  UNIQUE (agreement, sequence)) STRICT;
CREATE TABLE members (
  agreement TEXT NOT NULL, party TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (agreement, party)) STRICT;
CREATE INDEX members_by_key ON members (key);
CREATE TABLE statements (
  number INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, agreement TEXT NOT NULL, kind TEXT NOT NULL,
  party TEXT NOT NULL, envelope BLOB NOT NULL) STRICT;
CREATE INDEX statements_by_agreement ON statements (agreement, kind);
CREATE TABLE objects (
  digest TEXT PRIMARY KEY, agreement TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, kind TEXT NOT NULL,
  manifest BLOB NOT NULL, chunks INTEGER NOT NULL, size INTEGER NOT NULL, ciphertext TEXT NOT NULL,
  complete INTEGER NOT NULL) STRICT;
CREATE INDEX objects_by_agreement ON objects (agreement);
CREATE TABLE chunks (object TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (object, number)) STRICT, WITHOUT ROWID;
CREATE TABLE runs (
  run TEXT PRIMARY KEY, agreement TEXT NOT NULL, version TEXT NOT NULL, requester TEXT NOT NULL, request BLOB NOT NULL,
  state TEXT NOT NULL, since REAL NOT NULL, created REAL NOT NULL, deadline INTEGER NOT NULL, slot INTEGER NOT NULL,
  attempts INTEGER NOT NULL, launched REAL, shown_at REAL, consent_wait REAL NOT NULL, run_dir TEXT, guest TEXT,
  evidence BLOB, evidence_digest TEXT, receipt BLOB, receipt_digest TEXT) STRICT;
CREATE INDEX runs_by_agreement ON runs (agreement, created);
CREATE INDEX runs_by_state ON runs (state, since);
CREATE TABLE run_objects (
  run TEXT NOT NULL, object TEXT NOT NULL, name TEXT NOT NULL, owner TEXT NOT NULL, grant_envelope BLOB,
  PRIMARY KEY (run, object)) STRICT;
CREATE TABLE challenges (run TEXT NOT NULL, party TEXT NOT NULL, nonce TEXT, PRIMARY KEY (run, party)) STRICT;
CREATE TABLE offers (
  run TEXT NOT NULL, number INTEGER NOT NULL, digest TEXT NOT NULL, envelope BLOB NOT NULL, ciphertext TEXT NOT NULL,
  PRIMARY KEY (run, digest)) STRICT;
CREATE TABLE consents (
  run TEXT NOT NULL, offer TEXT NOT NULL, party TEXT NOT NULL, envelope BLOB, PRIMARY KEY (run, offer, party)) STRICT;
CREATE TABLE cosignatures (
  run TEXT NOT NULL, party TEXT NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY (run, party)) STRICT;
CREATE TABLE refusals (
  run TEXT NOT NULL, party TEXT NOT NULL, envelope BLOB NOT NULL, PRIMARY KEY (run, party)) STRICT;
CREATE TABLE log_key (one INTEGER PRIMARY KEY CHECK (one = 1), seed BLOB NOT NULL) STRICT;
CREATE TABLE log_entries (
  agreement TEXT NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL, salt BLOB NOT NULL,
  body BLOB NOT NULL, PRIMARY KEY (agreement, number), UNIQUE (agreement, digest)) STRICT;
CREATE TABLE log_nodes (
  agreement TEXT NOT NULL, level INTEGER NOT NULL, place INTEGER NOT NULL, hash BLOB NOT NULL,
  PRIMARY KEY (agreement, level, place)) STRICT, WITHOUT ROWID;
CREATE TABLE log_waiting (
  number INTEGER PRIMARY KEY, run TEXT NOT NULL, agreement TEXT NOT NULL, kind TEXT NOT NULL, digest TEXT NOT NULL,
  body BLOB NOT NULL) STRICT;
CREATE INDEX log_waiting_by_agreement ON log_waiting (agreement);
CREATE TABLE log_assigned (run TEXT PRIMARY KEY, size INTEGER NOT NULL) STRICT;
CREATE TABLE log_cosignatures (
  agreement TEXT NOT NULL, party TEXT NOT NULL, size INTEGER NOT NULL, note TEXT NOT NULL,
  PRIMARY KEY (agreement, party)) STRICT;
"""
Row = sqlite3.Row


class Database:
    """A connection that threads share, one at a time; `changed` is called after every commit that wrote."""

    def __init__(self, path: Path, *, changed: Callable[[], None]) -> None:
        """Open the file, or make it.

        Raises:
            RuntimeError: the file is of another version, or the engine did not take a safety setting.
        """
        self._lock = threading.RLock()
        self._changed = changed
        self._inside = False
        path.touch(mode=0o600, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.row_factory = Row
        self._prepare()

    def close(self) -> None:
        """Close the file; nothing is pending outside `writing`."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """All that is written inside is on disk when it ends, or none of it; inner ones join the outer."""
        with self._lock:
            if self._inside:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            self._inside = True
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            finally:
                self._inside = False
        self._changed()

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Every row."""
        with self._lock:
            return self._connection.execute(sql, values).fetchall()

    def one(self, sql: str, *values: Any) -> Row | None:
        """The first row, if there is any."""
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def number(self, sql: str, *values: Any) -> int:
        """The single number that a query gives; 0 for NULL."""
        row = self.one(sql, *values)
        return int(row[0] or 0) if row else 0

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement that writes; how many rows it changed."""
        with self.writing():
            return self._connection.execute(sql, values).rowcount

    def _prepare(self) -> None:
        ask = self._connection.execute
        if ask("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise RuntimeError("the database did not accept a write-ahead log")
        ask("PRAGMA synchronous = FULL")
        ask("PRAGMA foreign_keys = ON")
        ask("PRAGMA trusted_schema = OFF")
        version = ask("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._connection.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        elif version != VERSION:
            raise RuntimeError(f"the database has version {version}, this program needs {VERSION}")
