"""Agreements, their members' keys, statements about them, and the nonces of signed calls.

Runs in: host.   Believes: nothing.   Spec: §8.3, §8.5.
"""

from __future__ import annotations

import dataclasses
import functools

from sealroom.host import documents
from sealroom.host.agreements import Agreement, look, member
from sealroom.host.documents import Statement
from sealroom.host.problems import conflict, not_found
from sealroom.host.store.database import Database
from sealroom.host.store.log import Log

_MOST_FILED = 1 << 20
"""Bytes of statements of one kind that a party files about one agreement: nobody can crowd out another's stop."""
_MOST_LOOKS = 16
"""Envelopes, of at most 1 MiB, that are kept in memory with what they say."""


@dataclasses.dataclass(frozen=True, slots=True)
class Agreements:
    """The tables `agreements`, `members`, `statements` and `nonces`."""

    database: Database
    log: Log

    def take_nonce(self, key: str, nonce: str, *, now: float, expires: float) -> bool:
        """Whether `key` uses `nonce` for the first time, as far as anybody can still know; expired ones are forgotten.

        `expires` follows from when the call was signed. One that would expire no later than what was forgotten of this
        key may be one of those: the clock was ahead then, and is back now.
        """
        with self.database.writing(telling=False):  # every call does this, and nobody waits for it
            self.forget_nonces(now)
            last = self.database.one("SELECT expires FROM nonces WHERE key = ? AND nonce = ''", key)
            if last is not None and expires <= last["expires"]:
                return False
            return (
                self.database.write("INSERT INTO nonces VALUES (?, ?, ?) ON CONFLICT DO NOTHING", key, nonce, expires)
                == 1
            )

    def forget_nonces(self, now: float) -> None:
        """Forget what has expired, and keep of each key how late the latest of it expired: under the empty nonce."""
        self.database.write(
            "INSERT INTO nonces SELECT key, '', max(expires) FROM nonces WHERE expires < ? AND nonce != '' GROUP BY key"
            " ON CONFLICT (key, nonce) DO UPDATE SET expires ="
            " CASE WHEN excluded.expires > nonces.expires THEN excluded.expires ELSE nonces.expires END",
            now,
        )
        self.database.write("DELETE FROM nonces WHERE expires < ? AND nonce != ''", now)

    def is_member(self, key: str) -> bool:
        """Whether `key` signs for a member of any agreement."""
        return self.database.one("SELECT 1 FROM members WHERE key = ? LIMIT 1", key) is not None

    def add(self, agreement: Agreement, statement: Statement, now: float) -> None:
        """Store a version as the newest one and its parties as the members; the same version again changes nothing."""
        with self.database.writing():
            if self.database.one("SELECT 1 FROM agreements WHERE version = ?", agreement.version):
                return
            if (
                self.database.number("SELECT max(sequence) FROM agreements WHERE agreement = ?", agreement.id)
                != agreement.sequence - 1
            ):
                raise conflict("not-next", "another version came first")
            self.database.write(
                "INSERT INTO agreements VALUES (?, ?, ?, ?)",
                agreement.version, agreement.id, agreement.sequence, statement.data,
            )  # fmt: skip
            self.database.write("DELETE FROM members WHERE agreement = ?", agreement.id)
            for party, key in agreement.keys.items():
                self.database.write("INSERT INTO members VALUES (?, ?, ?)", agreement.id, party, key)
            self.log.add(agreement.id, statement, now)

    def has(self, version: str) -> bool:
        """Whether this version is stored."""
        return self.database.one("SELECT 1 FROM agreements WHERE version = ?", version) is not None

    def of(self, key: str) -> list[tuple[str, str, int]]:
        """(agreement, newest version, its sequence) of every agreement that `key` signs for."""
        rows = self.database.all(
            "SELECT agreement, version, sequence FROM agreements a"
            " WHERE agreement IN (SELECT agreement FROM members WHERE key = ?)"
            " AND sequence = (SELECT max(sequence) FROM agreements WHERE agreement = a.agreement) ORDER BY agreement",
            key,
        )
        return [(row["agreement"], row["version"], row["sequence"]) for row in rows]

    def newest(self, agreement: str) -> Agreement:
        """The look of the newest version.

        Raises:
            Problem: 404.
        """
        row = self.database.one(
            "SELECT envelope FROM agreements WHERE agreement = ? ORDER BY sequence DESC LIMIT 1", agreement
        )
        if row is None:
            raise not_found("agreement")
        return _look(bytes(row["envelope"]))

    def version(self, version: str) -> Agreement:
        """The look of one version.

        Raises:
            Problem: 404.
        """
        return _look(self.envelope(version))

    def chain(self, agreement: str) -> list[bytes]:
        """The envelopes of all versions, the first one first.

        Raises:
            Problem: 404.
        """
        rows = self.database.all("SELECT envelope FROM agreements WHERE agreement = ? ORDER BY sequence", agreement)
        if not rows:
            raise not_found("agreement")
        return [row["envelope"] for row in rows]

    def envelope(self, version: str) -> bytes:
        """The envelope of one version.

        Raises:
            Problem: 404.
        """
        row = self.database.one("SELECT envelope FROM agreements WHERE version = ?", version)
        if row is None:
            raise not_found("agreement")
        return bytes(row["envelope"])

    def member(self, agreement: str, key: str) -> tuple[Agreement, str]:
        """The newest version, and the party in it that calls.

        Raises:
            Problem: 404, for strangers too.
        """
        newest = self.newest(agreement)
        return newest, member(newest, key)

    def add_statement(self, agreement: str, party: str, statement: Statement, now: float) -> None:
        """Keep a statement; the same one again changes nothing."""
        with self.database.writing():
            if self.database.one("SELECT 1 FROM statements WHERE digest = ?", statement.digest):
                return
            filed = self.database.number(
                "SELECT sum(length(envelope)) FROM statements WHERE agreement = ? AND party = ? AND kind = ?",
                agreement, party, statement.kind,
            )  # fmt: skip
            if filed + len(statement.data) > _MOST_FILED:
                raise conflict("too-many-statements", f"a party files at most {_MOST_FILED} bytes of each kind")
            self.database.write(
                "INSERT INTO statements (digest, agreement, kind, party, envelope) VALUES (?, ?, ?, ?, ?)",
                statement.digest, agreement, statement.kind, party, statement.data,
            )  # fmt: skip
            self.log.add(agreement, statement, now)

    def statements(self, agreement: str, kind: str | None) -> list[bytes]:
        """Statements in the order they came; of one kind, or of every."""
        only, values = ("", ()) if kind is None else (" AND kind = ?", (kind,))
        sql = f"SELECT envelope FROM statements WHERE agreement = ?{only} ORDER BY number"  # noqa: S608 (our own words)
        rows = self.database.all(sql, agreement, *values)
        return [row["envelope"] for row in rows]

    def is_stopped(self, agreement: str) -> bool:
        """Whether any party has ended the agreement."""
        return (
            self.database.one("SELECT 1 FROM statements WHERE agreement = ? AND kind = 'stop'", agreement) is not None
        )


@functools.lru_cache(maxsize=_MOST_LOOKS)
def _look(envelope: bytes) -> Agreement:
    """Nearly every call asks for one, and what an envelope says never changes."""
    return look(documents.statement(envelope, "agreement"))
