"""One database behind a small interface: units that are kept whole and on disk, or not at all.

Runs in: host.   Believes: nothing.   Spec: §8.5.

Two implement it: a SQLite file in the home (`sqlite.py`), and a PostgreSQL database (`postgresql.py`). Statements are
written once, with `?` for each value, in the SQL that both understand.
"""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from sealroom.host.store.errors import StoreError

FILE = "host.db"


class Row(Protocol):
    """One row: a value by its column's name, or by its place."""

    def __getitem__(self, key: Any, /) -> Any:
        """One value."""

    def __iter__(self) -> Iterator[Any]:
        """Every value in order."""


class Database(abc.ABC):
    """A connection that threads share, one at a time; `changed` is called after commits that others may wait for."""

    def __init__(self, *, changed: Callable[[], None]) -> None:
        """Whoever implements it connects after this."""
        self._lock = threading.RLock()
        self._changed = changed
        self._inside = False

    @contextlib.contextmanager
    def writing(self, *, telling: bool = True) -> Iterator[None]:
        """All that is written inside is on disk when it ends, or none of it; inner ones join the outer.

        `telling` is whether whoever waits for changes is to hear of this one.

        Raises:
            StoreError: it was not kept.
        """
        with self._lock:
            if self._inside:
                yield
                return
            self._begin()
            self._inside = True
            try:
                yield
                self._commit()
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._inside = False
        if telling:
            self._changed()

    def all(self, sql: str, *values: Any) -> list[Row]:
        """Every row."""
        with self._lock:
            return list(self._rows(sql, values))

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
            return self._change(sql, values)

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Everything that is read inside is of one moment; nothing is written."""
        with self._lock:
            self._begin_reading()
            self._inside = True
            try:
                yield
            finally:
                self._inside = False
                self._roll_back()

    def each(self, sql: str) -> Iterator[Row]:
        """Row after row, a few in memory at a time; only while `reading`."""
        return self._each(sql)

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection; nothing is pending outside `writing`."""

    @abc.abstractmethod
    def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's columns, without `rowid` where that is the database's own."""

    @abc.abstractmethod
    def drawn(self) -> None:
        """Draw numbers above those that are there, after rows were written with numbers of their own."""

    @abc.abstractmethod
    def _begin(self) -> None: ...

    @abc.abstractmethod
    def _begin_reading(self) -> None: ...

    @abc.abstractmethod
    def _commit(self) -> None: ...

    @abc.abstractmethod
    def _roll_back(self) -> None: ...

    @abc.abstractmethod
    def _rows(self, sql: str, values: Sequence[Any]) -> Sequence[Row]: ...

    @abc.abstractmethod
    def _each(self, sql: str) -> Iterator[Row]: ...

    @abc.abstractmethod
    def _change(self, sql: str, values: Sequence[Any]) -> int: ...


def open_database(home: Path, url: str, *, changed: Callable[[], None] = lambda: None, alone: bool = False) -> Database:
    """The PostgreSQL database of `url`, or with "" the file in `home`; `alone` is for the one gateway.

    Raises:
        StoreError: it cannot be used; InUseError if another gateway has it.
    """
    if url:
        try:
            from sealroom.host.store.postgresql import Postgresql  # noqa: PLC0415 (an extra, which few install)
        except ImportError as error:
            raise StoreError("PostgreSQL needs its driver: pip install 'sealroom[postgresql]'") from error
        return Postgresql(url, changed=changed, alone=alone)
    from sealroom.host.store.sqlite import Sqlite  # noqa: PLC0415

    return Sqlite(home / FILE, changed=changed)
