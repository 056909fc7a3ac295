"""One SQLite file: write-ahead log, every commit on disk before it counts, strict types.

Runs in: host.   Believes: nothing.   Spec: §8.5.   One gateway per home, by the home's lock.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sealroom.host.store import schema
from sealroom.host.store.database import Database, Row
from sealroom.host.store.errors import FullError, StoreError


class Sqlite(Database):
    """The file at a path."""

    def __init__(self, path: Path, *, changed: Callable[[], None]) -> None:
        """Open the file, or make it.

        Raises:
            StoreError: the file is of another version, or the engine did not take a safety setting.
        """
        super().__init__(changed=changed)
        path.touch(mode=0o600, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        self._connection.row_factory = sqlite3.Row
        with _told():
            self._prepare()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's columns."""
        return tuple(row["name"] for row in self.all("SELECT name FROM pragma_table_info(?)", table))

    def drawn(self) -> None:
        """Nothing: SQLite draws the number after the highest one there is."""

    def _prepare(self) -> None:
        ask = self._connection.execute
        if ask("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
            raise StoreError("the database did not accept a write-ahead log")
        ask("PRAGMA synchronous = FULL")
        ask("PRAGMA foreign_keys = ON")
        ask("PRAGMA trusted_schema = OFF")
        version = ask("PRAGMA user_version").fetchone()[0]
        if version == 0:
            self._connection.executescript(
                f"BEGIN; {schema.for_sqlite()} PRAGMA user_version = {schema.VERSION}; COMMIT;"
            )
        elif version != schema.VERSION:
            raise StoreError(f"the database has version {version}, this program needs {schema.VERSION}")

    def _begin(self) -> None:
        with _told():
            self._connection.execute("BEGIN IMMEDIATE")

    def _begin_reading(self) -> None:
        with _told():
            self._connection.execute("BEGIN")

    def _commit(self) -> None:
        with _told():
            self._connection.execute("COMMIT")

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _rows(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        with _told():
            return self._connection.execute(sql, values).fetchall()

    def _each(self, sql: str) -> Iterator[Row]:
        with _told():
            yield from self._connection.execute(sql)

    def _change(self, sql: str, values: Sequence[Any]) -> int:
        with _told():
            return self._connection.execute(sql, values).rowcount


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Errors of the engine, in our words."""
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            raise FullError("the disk of the database is full") from error
        raise StoreError("the database failed") from error
