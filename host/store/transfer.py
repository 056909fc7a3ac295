"""Every row of one database into another that is empty, in the order of arrival: for backups, and to move house.

Runs in: host.   Believes: nothing.   Spec: §12.5.
"""

from __future__ import annotations

from sealroom.host.store import schema
from sealroom.host.store.database import Database
from sealroom.host.store.errors import StoreError


def transfer(source: Database, target: Database) -> int:
    """Copy what `source` is at one moment, in one unit of `target`; how many rows.

    Raises:
        StoreError: `target` is not empty, or either failed; then nothing was copied.
    """
    count = 0
    with source.reading(), target.writing():
        for table in schema.TABLES:
            if target.one(f"SELECT 1 FROM {table} LIMIT 1"):  # noqa: S608 (names of ours)
                raise StoreError("the database is not empty; nothing is ever overwritten")
            columns = source.columns(table)
            insert = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            order = " ORDER BY rowid" if table in schema.ORDERED else ""
            for row in source.each(f"SELECT {', '.join(columns)} FROM {table}{order}"):  # noqa: S608
                target.write(insert, *row)
                count += 1
        target.drawn()
    return count
