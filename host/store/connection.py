"""Connections to a PostgreSQL server that keeps what it acknowledges; its rows and its errors in our own words.

Runs in: host.   Believes: the server that the operator named.   Spec: §8.5.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, LiteralString, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict

from sealroom.host.store.database import Row
from sealroom.host.store.errors import FullError, StoreError, UnavailableError

_GATEWAY: Final = 0x5EA1_0001
"""The lock of the server that the gateway holds for as long as its connection lives."""
_SAFE = {"fsync": "on", "full_page_writes": "on", "server_encoding": "UTF8", "transaction_read_only": "off"}
_SESSION = (
    # So that the server, too, notices within half a minute that the gateway's machine is gone, and gives its lock back.
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3;"
    " SET tcp_user_timeout = 20000;"
    " SET lock_timeout = '30s'; SET statement_timeout = '60s'; SET default_transaction_isolation = 'read committed';"
    " SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
_WIRE = {
    "application_name": "sealroom-host", "client_encoding": "UTF8", "connect_timeout": 5, "tcp_user_timeout": 20_000,
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
}  # fmt: skip


class _Row:
    """Values by name and by place, as SQLite gives them."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: dict[str, int], values: Sequence[Any]) -> None:
        self._names, self._values = names, values

    def __getitem__(self, key: Any) -> Any:
        return self._values[self._names[key] if isinstance(key, str) else key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)


def _named(cursor: psycopg.Cursor[Any]) -> Callable[[Sequence[Any]], Row]:
    names = {column.name: place for place, column in enumerate(cursor.description or ())}
    return lambda values: _Row(names, values)


def connect(url: str) -> psycopg.Connection[Row]:
    """A connection to a server that keeps what it acknowledges.

    Raises:
        UnavailableError: nobody answers, or lets us in.
        StoreError: it would not keep it; or the URL cannot be used.
    """
    try:
        if {"password", "sslpassword"} & set(conninfo_to_dict(url)):
            raise StoreError("the URL of the database must hold no password; put it into a passfile")
        connection: psycopg.Connection[Row] = psycopg.connect(url, autocommit=True, row_factory=_named, **_WIRE)  # type: ignore[arg-type]
    except psycopg.ProgrammingError as error:
        raise StoreError("the URL of the database cannot be read") from error
    except psycopg.Error as error:
        raise UnavailableError(f"the database does not let us in: {_line(error)}") from error
    try:
        with told(connection):
            connection.execute(_SESSION)
            _require_safe(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _require_safe(connection: psycopg.Connection[Row]) -> None:
    for name, wanted in _SAFE.items():
        row = connection.execute("SELECT current_setting(%s) AS value", (name,)).fetchone()
        if row is None or row["value"] != wanted:
            raise StoreError(f"the server of the database must have {name} = {wanted}")


def locked(connection: psycopg.Connection[Row]) -> bool:
    """Whether the gateway's lock is ours now; it goes when the connection does."""
    with told(connection):
        row = connection.execute("SELECT pg_try_advisory_lock(%s) AS ours", (_GATEWAY,)).fetchone()
    return row is not None and bool(row["ours"])


@functools.lru_cache(maxsize=256)
def placed(sql: str) -> LiteralString:
    """A statement with this driver's marks for values; no statement of ours holds a question mark elsewhere."""
    return cast("LiteralString", sql.replace("%", "%%").replace("?", "%s"))  # type: ignore[redundant-cast]


@contextlib.contextmanager
def told(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Turn errors of driver and server into ours.

    Raises:
        FullError, UnavailableError, StoreError: what was done inside failed.
    """
    try:
        yield
    except psycopg.Error as error:
        state = error.sqlstate or ""
        if state == "53100":
            raise FullError("the disk of the database is full") from error
        if connection.closed or state.startswith(("08", "57P0")):
            raise UnavailableError("the connection to the database broke") from error
        raise StoreError("the database failed") from error


def _line(error: psycopg.Error) -> str:
    """The server's words in one printable line; the URL has no secret that they could repeat."""
    return "".join(c if c.isascii() and c.isprintable() else " " for c in str(error))[:300].strip()
