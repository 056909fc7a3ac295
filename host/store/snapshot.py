"""A consistent copy of the database of a gateway that may be running, and the check of one that was restored.

Runs in: host.   Believes: nothing.   Spec: §12.5.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from sealroom.host.store.database import FILE, open_database
from sealroom.host.store.schema import VERSION
from sealroom.host.store.sqlite import Sqlite
from sealroom.host.store.transfer import transfer

# Unfinished uploads stay behind, so their chunks are missing; enclaves stay behind, so nobody looks for them.
_LEFT_BEHIND = "DELETE FROM chunks; UPDATE runs SET run_dir = NULL, guest = NULL; PRAGMA journal_mode = DELETE;"


class BadSnapshotError(RuntimeError):
    """The copy is damaged, or of another version."""


def take(home: Path, url: str, copy: Path) -> None:
    """Copy the database of a gateway as it is at one moment to the new SQLite file `copy`, whichever it is.

    Raises:
        StoreError: the database cannot be read.
    """
    if url:
        _take_rows(home, url, copy)
    else:
        _take_file(home / FILE, copy)
    with contextlib.closing(sqlite3.connect(copy)) as target:
        target.executescript(_LEFT_BEHIND)


def _take_file(database: Path, copy: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def _take_rows(home: Path, url: str, copy: Path) -> None:
    with (
        contextlib.closing(open_database(home, url)) as source,
        contextlib.closing(Sqlite(copy, changed=lambda: None)) as target,
    ):
        transfer(source, target)


def put(copy: Path, url: str) -> None:
    """Put a copy into the empty PostgreSQL database of a URL, which no gateway uses.

    Raises:
        StoreError: it is not empty, or was not written; then nothing was.
    """
    with (
        contextlib.closing(Sqlite(copy, changed=lambda: None)) as source,
        contextlib.closing(open_database(copy.parent, url, alone=True)) as target,
    ):
        transfer(source, target)


def needed(copy: Path) -> set[str]:
    """SHA-256 of every file that a copy names.

    Raises:
        BadSnapshotError: it is damaged, or of another version.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as database:
            if database.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
                raise BadSnapshotError("the database in it is damaged")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise BadSnapshotError(f"its database has version {version}, this program needs {VERSION}")
            rows = database.execute(
                "SELECT ciphertext FROM objects WHERE complete = 1 UNION SELECT ciphertext FROM offers"
            ).fetchall()
    except sqlite3.DatabaseError as error:
        raise BadSnapshotError("the database in it cannot be read") from error
    return {name for (name,) in rows if name}
