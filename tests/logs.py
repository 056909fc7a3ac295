"""A transparency log for gateways that tests play: the real gateway's own, over a database of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sealroom.client.gateway_log import LoggedAt, ShownEntry
from sealroom.client.transport import GatewayRefused
from sealroom.host.problems import Problem
from sealroom.host.store.log import Log, size_of
from sealroom.host.store.sqlite import Sqlite
from sealroom.protocol import envelope
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotGenuine
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.logged import Log as LogStatement

NEVER = 0.0


class PlayedLog:
    """What `client.gateway.Gateway` says of one agreement's log, answered from memory."""

    def __init__(self, folder: Path, agreement: str, name: str = "log.db") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.agreement = agreement
        self.store = Log(Sqlite(folder / name, changed=lambda: None))
        self.sizes: dict[str, int] = {}

    def add(self, signed: Envelope) -> None:
        kind = signed.payloadType.split(".sealroom.")[1].split(".")[0]
        self.store.add_bytes(self.agreement, kind, signed.digest, signed.to_bytes(), NEVER)

    def add_evidence(self, digest: str, data: bytes) -> None:
        self.store.add_bytes(self.agreement, "evidence", digest, data, NEVER)

    def assign(self, run: str) -> str:
        return self.store.assign(run, self.agreement, NEVER)

    def statement(self, operator: str, key: SigningKey, created: int) -> Envelope:
        said = LogStatement(
            format="sealroom/log/v1", party=operator, agreement=self.agreement, key=self.store.public_key,
            created=created,
        )  # fmt: skip
        return envelope.sign(said, [key])

    def checkpoint(self) -> bytes:
        return self.store.checkpoint(self.agreement, NEVER).encode()

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        return tuple(bytes.fromhex(step) for step in _or_404(self.store.consistency, self.agreement, old, new))

    def inclusion(self, digest: str, size: int) -> LoggedAt:
        row, proof = _or_404(self.store.inclusion, self.agreement, digest, size)
        return LoggedAt(row["number"], bytes(row["salt"]), tuple(bytes.fromhex(step) for step in proof))

    def entries(self, start: int) -> list[ShownEntry]:
        return [
            ShownEntry(row["number"], row["kind"], row["digest"], bytes(row["salt"]), bytes(row["body"]))
            for row in self.store.entries(self.agreement, start)
        ]

    def cosign(self, party: str, note: bytes) -> None:
        self.store.put_cosignature(self.agreement, party, size_of(note.decode(), self.agreement), note.decode())

    def cosignatures(self) -> dict[str, bytes]:
        return {party: note.encode() for party, note in self.store.cosignatures(self.agreement).items()}


def _or_404(ask: Any, *values: Any) -> Any:
    try:
        return ask(*values)
    except Problem as error:
        if error.status == 404:
            words = "shrank" if ask.__name__ == "consistency" else "lacks"
            raise NotGenuine(f"log-{words}", error.message) from error
        raise GatewayRefused(error.status, error.code, error.message, error.hint) from error
