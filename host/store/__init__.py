"""What the gateway keeps: one database for what it knows, and files named by digest for ciphertext.

Runs in: host.   Believes: nothing.   Spec: §8.5.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from sealroom.host.store.agreements import Agreements
from sealroom.host.store.blobs import Blobs
from sealroom.host.store.database import Database, open_database
from sealroom.host.store.log import Log
from sealroom.host.store.objects import Objects
from sealroom.host.store.results import Results
from sealroom.host.store.runs import Runs


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """The tables by area, all over one database."""

    database: Database
    blobs: Blobs
    log: Log
    agreements: Agreements
    objects: Objects
    runs: Runs
    results: Results

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def open_store(
    home: Path, *, most: int, database: str = "", changed: Callable[[], None] = lambda: None, resume: bool = True
) -> Store:
    """Open what is in `home` and in the database of that URL, or make it; `changed` is called after every commit.

    `resume` clears up what an interruption left; only the one gateway of the home does that.

    Raises:
        StoreError: the database cannot be used; InUseError if another gateway has it.
    """
    made = open_database(home, database, changed=changed, alone=resume)
    try:
        return _over(made, home, most=most, resume=resume)
    except BaseException:
        made.close()
        raise


def _over(database: Database, home: Path, *, most: int, resume: bool) -> Store:
    blobs = Blobs(home / "blobs")
    if resume:
        blobs.clear_up()
    log = Log(database)
    runs = Runs(database, log)
    objects = Objects(database, blobs, log, most)
    if resume:
        objects.resume()
    return Store(database, blobs, log, Agreements(database, log), objects, runs, Results(database, log, runs))
