"""One PostgreSQL database: the same units as in a SQLite file, one writer at a time, over a connection that can break.

Runs in: host.   Believes: the server that the operator named.   Spec: §8.5.

The gateway holds a lock of the server for as long as its connection lives, and counts its units in the database. After
a connection that broke, it goes on only if it gets that lock back and nobody else held the database meanwhile; the
count then tells whether a unit whose commit was never answered was kept. A unit that was not is never begun again here.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, LiteralString, TypeVar, cast

import psycopg
from psycopg.pq import TransactionStatus

from sealroom.host.store import schema
from sealroom.host.store.connection import connect, locked, placed, told
from sealroom.host.store.database import Database, Row
from sealroom.host.store.errors import InUseError, StoreError, UnavailableError

T = TypeVar("T")
PATIENCE: Final = 10.0
"""Seconds for a server that restarts; when it takes longer, each call fails at once until it is back."""
HOLD: Final = 30.0
"""Seconds for the server to notice that the gateway before this one is gone, which can take it most of that."""
_PAUSE = 0.1
_PAGE = 256
_UNIT = 0x5EA1_0002
"""The lock of the server that is held by whoever writes, until the unit ends."""
_OWN = "CREATE TABLE sealroom (one BIGINT PRIMARY KEY CHECK (one = 1), version BIGINT, holder TEXT, units BIGINT);"


class Postgresql(Database):
    """The database of a URL without a password; `alone` for the one gateway that uses it."""

    def __init__(self, url: str, *, changed: Callable[[], None], alone: bool, patience: float = PATIENCE) -> None:
        """Connect, and make the tables where there are none.

        Raises:
            UnavailableError: nobody answers, or lets us in.
            InUseError: another gateway has it.
            StoreError: the tables are of another version, or the server would lose what it acknowledged.
        """
        super().__init__(changed=changed)
        self._url, self._alone, self._patience = url, alone, patience
        self._holder, self._units = secrets.token_hex(16), 0
        self._is_down, self._again_at = False, 0.0
        self._connection = connect(url)
        try:
            if alone:
                self._hold()
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the connection, and with it give the lock back."""
        with self._lock:
            self._connection.close()

    def columns(self, table: str) -> tuple[str, ...]:
        """The names of a table's columns, without `rowid`."""
        rows = self.all(
            "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped"
            " AND attname != 'rowid' ORDER BY attnum",
            table,
        )
        return tuple(row["attname"] for row in rows)

    def drawn(self) -> None:
        """Have every sequence go on above the numbers that are there."""
        for table in schema.DRAWN:
            highest = self.number(f"SELECT max(number) FROM {table}")  # noqa: S608 (names of ours)
            if highest:
                self.number("SELECT setval(pg_get_serial_sequence(?, 'number'), ?)", table, highest)

    def _hold(self) -> None:
        end = time.monotonic() + HOLD
        while not locked(self._connection):
            if time.monotonic() >= end:
                raise InUseError("another gateway uses this database")
            time.sleep(_PAUSE)

    def _prepare(self) -> None:
        with self.writing_first():
            if self.one("SELECT to_regclass('sealroom') AS found")["found"] is None:  # type: ignore[index]  # one row
                self._execute(_OWN + schema.for_postgresql())
                self._execute("INSERT INTO sealroom VALUES (1, ?, '', 0)", schema.VERSION)
            version = self.number("SELECT version FROM sealroom")
            if version != schema.VERSION:
                raise StoreError(f"the database has version {version}, this program needs {schema.VERSION}")
            if self._alone:
                self._execute("UPDATE sealroom SET holder = ?, units = 0", self._holder)

    @contextlib.contextmanager
    def writing_first(self) -> Iterator[None]:
        """The unit before there is a count of units."""
        self._begin_once()
        self._inside = True
        try:
            yield
            self._execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._inside = False

    # A unit.

    def _begin(self) -> None:
        self._once_more(self._begin_once)

    def _begin_once(self) -> None:
        self._execute("BEGIN")
        try:
            self._execute("SELECT pg_advisory_xact_lock(?)", _UNIT)
        except StoreError:
            self._roll_back()
            raise

    def _begin_reading(self) -> None:
        self._once_more(lambda: self._execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))

    def _commit(self) -> None:
        if self._alone:
            counted = self._execute("UPDATE sealroom SET units = units + 1 WHERE holder = ?", self._holder)
            if counted.rowcount != 1:
                raise UnavailableError("another gateway has taken the database over")
        try:
            said = self._execute("COMMIT").statusmessage
        except UnavailableError:
            self._find_out()
            return
        if said != "COMMIT":  # what a transaction in which a statement failed is answered
            raise StoreError("the database kept nothing of the unit")
        self._units += 1

    def _find_out(self) -> None:
        """Return if the unit whose commit was not answered was kept."""
        wanted = self._units + 1
        try:
            self._reconnect()
        except UnavailableError as error:
            raise UnavailableError(str(error), in_doubt=True) from error
        if not self._alone:
            raise UnavailableError("the connection broke while the unit was kept", in_doubt=True)
        if self._units != wanted:
            raise UnavailableError("the connection broke before the unit was kept")

    def _roll_back(self) -> None:
        try:
            if self._connection.info.transaction_status != TransactionStatus.IDLE:
                self._connection.execute("ROLLBACK")
        except psycopg.Error:
            self._connection.close()  # whatever state it is in, the next one begins anew

    # Statements.

    def _rows(self, sql: str, values: Sequence[Any]) -> Sequence[Row]:
        def read() -> Sequence[Row]:
            return self._execute(sql, *values).fetchall()

        return read() if self._inside else self._once_more(read)

    def _each(self, sql: str) -> Iterator[Row]:
        with told(self._connection), self._connection.cursor("each") as cursor:
            cursor.itersize = _PAGE
            yield from cursor.execute(placed(sql))

    def _change(self, sql: str, values: Sequence[Any]) -> int:
        return self._execute(sql, *values).rowcount

    def _execute(self, sql: str, *values: Any) -> psycopg.Cursor[Row]:
        with told(self._connection):
            if values:
                return self._connection.execute(placed(sql), values)
            return self._connection.execute(cast("LiteralString", sql))  # type: ignore[redundant-cast]

    # A connection that broke.

    def _once_more(self, work: Callable[[], T]) -> T:
        """Do what has changed nothing yet; if the connection turns out to be broken, over a new one."""
        try:
            return work()
        except UnavailableError:
            self._reconnect()
            return work()

    def _reconnect(self) -> None:
        """Put a new connection in the place of the broken one, and learn how many units were kept.

        Raises:
            UnavailableError: nobody answers, or another gateway has taken the database.
        """
        self._connection.close()
        end = time.monotonic() + (0 if self._is_down else self._patience)
        if time.monotonic() < self._again_at:
            raise UnavailableError("the database does not answer")
        while True:
            try:
                self._connection = self._taken_again()
            except UnavailableError:
                if time.monotonic() >= end:
                    self._is_down, self._again_at = True, time.monotonic() + 1
                    raise
                time.sleep(_PAUSE)
            else:
                self._is_down = False
                return

    def _taken_again(self) -> psycopg.Connection[Row]:
        connection = connect(self._url)
        try:
            if self._alone:
                self._hold_again(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _hold_again(self, connection: psycopg.Connection[Row]) -> None:
        if not locked(connection):  # perhaps by our own old connection, which the server takes for alive
            raise UnavailableError("the database is still held")
        with told(connection):
            found = connection.execute("SELECT holder, units FROM sealroom").fetchone()
        if found is None or found["holder"] != self._holder:
            raise UnavailableError("another gateway has taken the database over")
        self._units = found["units"]
