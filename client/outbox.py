"""Statements that were signed here and have not reached the gateway yet; they wait without one.

Runs in: a party.   Believes: its own folder.   Spec: §10.3.
"""

from __future__ import annotations

from pathlib import Path

from sealroom.client import files
from sealroom.client.home import Home
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope


def put(home: Home, agreement: str, statement: Envelope) -> None:
    """Keep a statement until it is sent; the same one again changes nothing."""
    folder = files.private_folder(home.root / "outbox" / agreement)
    files.write(folder / f"{statement.digest}.json", statement.to_bytes(), overwrite=True)


def waiting(home: Home, agreement: str) -> list[Envelope]:
    """Statements of one agreement that wait to be sent, by digest."""
    return [_read(path) for path in sorted(_folder(home, agreement).glob("*.json"))]


def sent(home: Home, agreement: str) -> list[Envelope]:
    """Statements of one agreement that were sent."""
    return [_read(path) for path in sorted((_folder(home, agreement) / "sent").glob("*.json"))]


def mark_sent(home: Home, agreement: str, statement: Envelope) -> None:
    """Move a statement from what waits to what was sent."""
    done = files.private_folder(home.root / "outbox" / agreement / "sent")
    (_folder(home, agreement) / f"{statement.digest}.json").rename(done / f"{statement.digest}.json")


def _folder(home: Home, agreement: str) -> Path:
    return home.root / "outbox" / agreement


def _read(path: Path) -> Envelope:
    return envelopes.parse(files.read(path, most=envelopes.MOST_BYTES))
