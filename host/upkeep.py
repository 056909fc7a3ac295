"""The operator's commands beside serving: `sealroom-host health | prune | backup | restore`.

Runs in: host.   Believes: the operator.   Spec: §12.
"""

from __future__ import annotations

import contextlib
import http.client
import ssl
import time
from pathlib import Path
from typing import Any

from sealroom.host import backup as backups
from sealroom.host import settings
from sealroom.host.backup import alone
from sealroom.host.settings import BadSettings, Settings

_PATIENCE = 10.0


class NotReadyError(RuntimeError):
    """The gateway does not answer, or cannot launch runs."""


def health(home: Path) -> dict[str, Any]:
    """Whether the gateway of `home` answers under its own certificate, and could launch runs.

    Raises:
        NotReadyError: one of the two is not so.
    """
    used = settings.load(home.resolve())
    if _status(used, "/v1/health") != 200:
        raise NotReadyError("the gateway does not answer")
    if _status(used, "/v1/ready") != 200:
        raise NotReadyError("the gateway answers, but cannot launch runs; its log says which part is missing")
    return {"live": True, "ready": True}


def require_empty(database: str) -> None:
    """Return if a new gateway can begin in this database: it answers, keeps what it acknowledges, and holds nothing.

    Raises:
        StoreError: it does not.
        BadSettings: it holds another gateway's data.
    """
    from sealroom.host.store.database import open_database  # noqa: PLC0415

    if not database:
        return
    with contextlib.closing(open_database(Path(), database, alone=True)) as opened:
        if opened.number("SELECT count(*) FROM agreements"):
            raise BadSettings("this database holds what another gateway knew; restore that one's backup instead")


def prune(home: Path, *, dry_run: bool) -> dict[str, Any]:
    """Remove what the settings no longer keep, also while the gateway runs; what was removed, or would be."""
    from sealroom.host.store import open_store  # noqa: PLC0415 (`health` is asked often, and need not wait)
    from sealroom.host.store.pruning import Pruning  # noqa: PLC0415

    used = settings.load(home.resolve())
    with alone(used.home):
        store = open_store(used.home, most=used.store_most, database=used.database, resume=False)
        try:
            plan = Pruning(store, used).prune(time.time(), dry_run=dry_run)
        finally:
            store.close()
    return {"dry_run": dry_run, **plan.counts()}


def backup(home: Path, target: Path) -> dict[str, Any]:
    """Write the home, whose gateway may run, to one new file."""
    used = settings.load(home.resolve())
    return {"file": str(target), **backups.make(used.home, target, database=used.database, now=time.time())}


def restore(home: Path, source: Path, *, database: str) -> dict[str, Any]:
    """Make a home out of a backup; a home or a database that is there is never touched."""
    settings.check_database(database)
    return {"home": str(home), **backups.restore(source, home.absolute(), database=database)}


def _status(used: Settings, path: str) -> int:
    """The HTTP status of an unsigned call; 0 when nobody answers who has the home's certificate."""
    context = ssl.create_default_context(cafile=str(used.certificate))
    context.check_hostname = (
        False  # we call the address that it listens on; the pinned certificate names the public one
    )
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(used.listen_host, used.listen_host)  # noqa: S104 (compared)
    connection = http.client.HTTPSConnection(host, used.listen_port, context=context, timeout=_PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
