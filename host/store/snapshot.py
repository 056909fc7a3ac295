"""A consistent copy of the database of a gateway that may be running, and the check of one that was restored.

Runs in: host.   Believes: nothing.   Spec: §12.5.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from sealroom.host.store.database import VERSION

# Unfinished uploads stay behind, so their chunks are missing; enclaves stay behind, so nobody looks for them.
_LEFT_BEHIND = "DELETE FROM chunks; UPDATE runs SET run_dir = NULL, guest = NULL; PRAGMA journal_mode = DELETE;"


class BadSnapshotError(RuntimeError):
    """The copy is damaged, or of another version."""


def take(database: Path, copy: Path) -> None:
    """Copy `database` as it is at one moment to the new file `copy`."""
    with (
        contextlib.closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=30)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)
        target.executescript(_LEFT_BEHIND)


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
