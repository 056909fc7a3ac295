"""The transparency log: one append-only tree per agreement, with everything that the gateway accepted about it.

Runs in: host.   Believes: nothing.   Spec: §13.

An entry is written in the transaction that accepts its statement. Offers and receipts wait, stored, until their slot:
the size of the log must not tell when a run ended. Who looks at the log, or adds to it, first publishes what is due.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import secrets

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sealroom.host import tree
from sealroom.host.documents import Statement, labelled
from sealroom.host.problems import conflict, not_found
from sealroom.host.store.database import Database, Row

ORIGIN = "sealroom.agreement/"
PAGE_ENTRIES, PAGE_BYTES = 256, 8 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class Log:
    """The tables `log_key`, `log_entries`, `log_nodes`, `log_waiting`, `log_assigned` and `log_cosignatures`."""

    database: Database

    def key(self) -> Ed25519PrivateKey:
        """The key that signs checkpoints; drawn once, and kept where the entries are, so that no backup parts them."""
        row = self.database.one("SELECT seed FROM log_key")
        if row is None:
            with self.database.writing():
                self.database.write("INSERT INTO log_key VALUES (1, ?) ON CONFLICT DO NOTHING", secrets.token_bytes(32))
                row = self.database.one("SELECT seed FROM log_key")
        return Ed25519PrivateKey.from_private_bytes(bytes(row["seed"]))  # type: ignore[index]  # it is there now

    @property
    def public_key(self) -> str:
        """The key that parties check checkpoints with, as base64url."""
        return base64.urlsafe_b64encode(self.key().public_key().public_bytes_raw()).rstrip(b"=").decode()

    def add(self, agreement: str, statement: Statement, now: float) -> None:
        """Append a statement that is accepted in this very transaction; the same one again changes nothing."""
        self.add_bytes(agreement, statement.kind, statement.digest, statement.data, now)

    def add_bytes(self, agreement: str, kind: str, digest: str, body: bytes, now: float) -> None:
        """Append a document by its kind and digest."""
        with self.database.writing():
            self.publish(agreement, now)
            self._append(agreement, kind, digest, body)

    def wait(self, run: str, agreement: str, statement: Statement) -> None:
        """Keep an offer or a receipt until its run's end is shown."""
        self.database.write(
            "INSERT INTO log_waiting (run, agreement, kind, digest, body) VALUES (?, ?, ?, ?, ?)",
            run, agreement, statement.kind, statement.digest, statement.data,
        )  # fmt: skip

    def publish(self, agreement: str, now: float) -> None:
        """Append what waited for a slot that has come, in the order of slots and arrival."""
        due = (
            "SELECT w.* FROM log_waiting w JOIN runs r ON r.run = w.run"
            " WHERE w.agreement = ? AND r.receipt IS NOT NULL AND r.shown_at <= ? ORDER BY r.shown_at, w.number"
        )
        if not self.database.one(f"{due} LIMIT 1", agreement, now):
            return
        with self.database.writing():
            for row in self.database.all(due, agreement, now):
                self._append(agreement, row["kind"], row["digest"], row["body"])
                self.database.write("DELETE FROM log_waiting WHERE number = ?", row["number"])

    def size(self, agreement: str) -> int:
        """How many entries the log has."""
        return self.database.number("SELECT count(*) FROM log_entries WHERE agreement = ?", agreement)

    def root(self, agreement: str, size: int) -> bytes:
        """The root over the first `size` entries."""
        return tree.root(size, self._node(agreement))

    def assign(self, run: str, agreement: str, now: float) -> str:
        """The root (hex) that the gate of this run is to bind; its size is kept for the owners who will ask."""
        with self.database.writing():
            self.publish(agreement, now)
            size = self.size(agreement)
            self.database.write(
                "INSERT INTO log_assigned VALUES (?, ?) ON CONFLICT (run) DO UPDATE SET size = excluded.size", run, size
            )
            return self.root(agreement, size).hex()

    def assigned(self, run: str) -> int:
        """How many entries the log had when the gate of this run was assigned.

        Raises:
            Problem: 404.
        """
        row = self.database.one("SELECT size FROM log_assigned WHERE run = ?", run)
        if row is None:
            raise not_found("assignment yet")
        return int(row["size"])

    def text(self, agreement: str, size: int) -> bytes:
        """What a checkpoint of the first `size` entries says."""
        root = base64.b64encode(self.root(agreement, size)).decode()
        return f"{ORIGIN}{agreement}\n{size}\n{root}\n".encode()

    def checkpoint(self, agreement: str, now: float) -> str:
        """The signed note about everything that may be seen now."""
        with self.database.writing():
            self.publish(agreement, now)
            text = self.text(agreement, self.size(agreement))
        name, key = f"{ORIGIN}{agreement}", self.key()
        key_id = hashlib.sha256(name.encode() + b"\n\x01" + key.public_key().public_bytes_raw()).digest()[:4]
        return text.decode() + f"\n— {name} {base64.b64encode(key_id + key.sign(text)).decode()}\n"

    def consistency(self, agreement: str, old: int, new: int) -> list[str]:
        """That the first `old` entries are unchanged among the first `new`, as hex.

        Raises:
            Problem: 404: the log is not that long.
        """
        if not 0 <= old <= new <= self.size(agreement):
            raise not_found("place in the log")
        return [step.hex() for step in tree.consistency(old, new, self._node(agreement))]

    def inclusion(self, agreement: str, digest: str, size: int) -> tuple[Row, list[str]]:
        """The entry of this digest and its path (hex) to the root over the first `size` entries.

        Raises:
            Problem: 404.
        """
        row = self.database.one("SELECT * FROM log_entries WHERE agreement = ? AND digest = ?", agreement, digest)
        if row is None or not row["number"] < size <= self.size(agreement):
            raise not_found("entry among the first ones of the log")
        return row, [step.hex() for step in tree.inclusion(row["number"], size, self._node(agreement))]

    def entries(self, agreement: str, start: int) -> list[Row]:
        """Entries from number `start` on: at least one if there is one, else as many as a page holds."""
        rows = self.database.all(
            "SELECT number, kind, digest, salt, length(body) AS size FROM log_entries"
            " WHERE agreement = ? AND number >= ? ORDER BY number LIMIT ?",
            agreement, start, PAGE_ENTRIES,
        )  # fmt: skip
        most, room = 0, PAGE_BYTES
        for row in rows:
            room -= row["size"]
            if room < 0 and most:
                break
            most += 1
        return self.database.all(
            "SELECT * FROM log_entries WHERE agreement = ? AND number >= ? ORDER BY number LIMIT ?",
            agreement, start, most,
        )  # fmt: skip

    def put_cosignature(self, agreement: str, party: str, size: int, note: str) -> None:
        """Keep a party's newest cosigned checkpoint.

        Raises:
            Problem: 409 `older`: it has cosigned a longer log before.
        """
        with self.database.writing():
            row = self.database.one(
                "SELECT size FROM log_cosignatures WHERE agreement = ? AND party = ?", agreement, party
            )
            if row is not None and row["size"] > size:
                raise conflict("older", "this party has cosigned a longer log before")
            self.database.write(
                "INSERT INTO log_cosignatures VALUES (?, ?, ?, ?)"
                " ON CONFLICT (agreement, party) DO UPDATE SET size = excluded.size, note = excluded.note",
                agreement, party, size, note,
            )  # fmt: skip

    def cosignatures(self, agreement: str) -> dict[str, str]:
        """Each party's newest cosigned checkpoint."""
        rows = self.database.all(
            "SELECT party, note FROM log_cosignatures WHERE agreement = ? ORDER BY party", agreement
        )
        return {row["party"]: row["note"] for row in rows}

    def _append(self, agreement: str, kind: str, digest: str, body: bytes) -> None:
        if self.database.one("SELECT 1 FROM log_entries WHERE agreement = ? AND digest = ?", agreement, digest):
            return
        salt, number = secrets.token_bytes(32), self.size(agreement)
        commitment = bytes.fromhex(labelled("log-entry/v1", salt, kind.encode(), bytes.fromhex(digest)))
        self.database.write(
            "INSERT INTO log_entries VALUES (?, ?, ?, ?, ?, ?)", agreement, number, kind, digest, salt, body
        )
        for level, index, hashed in tree.completed(number, tree.leaf(commitment), self._node(agreement)):
            self.database.write("INSERT INTO log_nodes VALUES (?, ?, ?, ?)", agreement, level, index, hashed)

    def _node(self, agreement: str) -> tree.Node:
        def node(level: int, index: int) -> bytes:
            row = self.database.one(
                "SELECT hash FROM log_nodes WHERE agreement = ? AND level = ? AND place = ?", agreement, level, index
            )
            if row is None:
                raise RuntimeError("the log lacks a node of its tree")
            return bytes(row["hash"])

        return node


def size_of(note: str, agreement: str) -> int:
    """The size that a note about this agreement's log states, whatever else it says; -1 if it states none."""
    lines = note.split("\n", 3)
    if len(lines) < 4 or lines[0] != f"{ORIGIN}{agreement}" or not lines[1].isascii() or not lines[1].isdecimal():
        return -1
    return int(lines[1]) if len(lines[1]) < 16 else -1
