"""The log that the host keeps: the gateway's own, over a database that can be copied, and what it answers about it."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sealroom.client.transport import GatewayRefused
from sealroom.host.problems import Problem
from sealroom.host.store.log import Log, size_of
from sealroom.host.store.sqlite import Sqlite
from sealroom.protocol import canonical, schema
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Refused
from sealroom.protocol.keys import SigningKey
from sealroom.protocol.statements import Evidence, evidence_digest

NEVER = 0.0
_KEPT = tempfile.TemporaryDirectory(
    prefix="sealroom-logs-", ignore_cleanup_errors=True, dir="/dev/shm" if Path("/dev/shm").is_dir() else None
)


class HostLog:
    """The log of every agreement, and answers about it as an honest gateway gives them."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _new_path()
        self.log = Log(Sqlite(self.path, changed=lambda: None))
        self.second: tuple[HostLog, str] | None = None

    def part(self, agreement: str, party: str, *, said: Envelope) -> None:
        """From now on one party is shown a log of its own, in which the next entry has another salt."""
        other = self.copy()
        self.second = (other, party)
        self.add(agreement, said)

    def shown_to(self, party: str) -> HostLog:
        return self.second[0] if self.second is not None and party == self.second[1] else self

    def copy(self) -> HostLog:
        """The same log in another file."""
        path = _new_path()
        self.log.database._connection.execute("VACUUM INTO ?", (str(path),))
        return HostLog(path)

    def close(self) -> None:
        if self.second is not None:
            self.second[0].close()
        self.log.database.close()
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    def key(self) -> SigningKey:
        return SigningKey(self.log.key().private_bytes_raw())

    def add(self, agreement: str, signed: Envelope) -> None:
        kind = signed.payloadType.split(".sealroom.")[1].split(".")[0]
        self._append(agreement, kind, signed.digest, signed.to_bytes())

    def add_evidence(self, agreement: str, data: bytes) -> None:
        """Also what no gate gave, if it has the form: a host logs what it means to be believed."""
        with contextlib.suppress(Refused):
            schema.decode(Evidence, canonical.decode(data, most=len(data)))
            self._append(agreement, "evidence", evidence_digest(data), data)

    def _append(self, agreement: str, kind: str, digest: str, body: bytes) -> None:
        self.log.add_bytes(agreement, kind, digest, body, NEVER)
        if self.second is not None:
            self.second[0]._append(agreement, kind, digest, body)

    def assign(self, run: str, agreement: str) -> str:
        """The root that every gate of this run is to bind: that of the first one."""
        try:
            return self.log.root(agreement, self.log.assigned(run)).hex()
        except Problem:
            return self.log.assign(run, agreement, NEVER)

    def answer(self, name: str, agreement: str, query: Mapping[str, str]) -> Any:
        """What an honest gateway says.

        Raises:
            GatewayRefused: there is no such entry, or the log is not that long.
        """
        try:
            return getattr(self, f"_{name}")(agreement, query)
        except Problem as error:
            raise GatewayRefused(error.status, error.code, error.message, error.hint) from error

    def assigned(self, run: str) -> Any:
        try:
            return {"size": self.log.assigned(run)}
        except Problem as error:
            raise GatewayRefused(error.status, error.code, error.message, error.hint) from error

    def cosign(self, agreement: str, party: str, body: bytes) -> None:
        note = body.decode()
        for log in {self, self.shown_to("partner")}:
            with contextlib.suppress(Problem):
                log.log.put_cosignature(agreement, party, size_of(note, agreement), note)

    def _checkpoint(self, agreement: str, _: Mapping[str, str]) -> Any:
        return {"checkpoint": self.log.checkpoint(agreement, NEVER), "key": self.log.public_key}

    def _consistency(self, agreement: str, query: Mapping[str, str]) -> Any:
        return {"proof": self.log.consistency(agreement, int(query["old"]), int(query["new"]))}

    def _inclusion(self, agreement: str, query: Mapping[str, str]) -> Any:
        row, proof = self.log.inclusion(agreement, query["digest"], int(query["size"]))
        return {"number": row["number"], "kind": row["kind"], "salt": bytes(row["salt"]).hex(), "proof": proof}

    def _entries(self, agreement: str, query: Mapping[str, str]) -> Any:
        rows = self.log.entries(agreement, int(query["start"]))
        return {
            "entries": [
                {
                    "number": row["number"], "kind": row["kind"], "digest": row["digest"],
                    "salt": bytes(row["salt"]).hex(), "body": json.loads(row["body"]),
                }
                for row in rows
            ]
        }  # fmt: skip

    def _log_cosignatures(self, agreement: str, _: Mapping[str, str]) -> Any:
        return {"cosignatures": self.log.cosignatures(agreement)}


def _new_path() -> Path:
    return Path(tempfile.mkdtemp(dir=_KEPT.name)) / "host.db"
