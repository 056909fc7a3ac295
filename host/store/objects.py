"""Sealed objects: manifests, the chunks that came so far, and the finished ciphertext.

Runs in: host.   Believes: nothing; sizes are those that the owner's manifest states.   Spec: §8.5.
"""

from __future__ import annotations

import dataclasses

from sealroom.host import documents
from sealroom.host.documents import HEX32, Statement
from sealroom.host.problems import Problem, conflict, not_found, unreadable
from sealroom.host.store.blobs import Blobs, WrongDigestError
from sealroom.host.store.database import Database, Row
from sealroom.host.store.log import Log
from sealroom.protocol import wire

_MOST_OBJECTS = 1000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """One object: `size` is the plaintext's, `ciphertext` the SHA-256 of the sealed file."""

    digest: str
    agreement: str
    name: str
    owner: str
    kind: str
    chunks: int
    size: int
    ciphertext: str
    complete: bool

    @property
    def stored_size(self) -> int:
        """Bytes of the sealed file."""
        return self.size + self.chunks * wire.CHUNK_TAG

    def chunk_size(self, number: int) -> int:
        """Bytes that chunk `number` has when sealed.

        Raises:
            Problem: 404: there is no such chunk.
        """
        if not 0 <= number < self.chunks:
            raise not_found("chunk")
        last = number == self.chunks - 1
        return (self.size - number * wire.CHUNK if last else wire.CHUNK) + wire.CHUNK_TAG


def look(statement: Statement) -> Sealed:
    """Read what a manifest's envelope says.

    Raises:
        Problem: 422, with the code of what is wrong.
    """
    fields = statement.unverified
    size = documents.number(fields, "plaintext_size", least=1, most=wire.OBJECT_MOST)
    chunks = documents.number(fields, "chunks", least=1)
    if chunks != -(-size // wire.CHUNK) or documents.number(fields, "chunk_size") != wire.CHUNK:
        raise unreadable("bad-sizes", "the manifest's size and number of chunks disagree")
    return Sealed(
        digest=statement.digest, agreement=statement.text("agreement", HEX32), name=statement.text("name"),
        owner=statement.text("owner"), kind=statement.text("kind", "bundle|dataset"), chunks=chunks, size=size,
        ciphertext=statement.text("ciphertext_sha256", HEX32), complete=False,
    )  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class Objects:
    """The tables `objects` and `chunks`, and the files behind them; `most` bytes in all."""

    database: Database
    blobs: Blobs
    log: Log
    most: int

    def add(self, sealed: Sealed, statement: Statement, now: float) -> None:
        """Announce an object; the same one again changes nothing.

        Raises:
            Problem: 507 `store-full`, 409 `too-many-objects`.
        """
        with self.database.writing():
            if self.database.one("SELECT 1 FROM objects WHERE digest = ?", sealed.digest):
                return
            promised = self.database.number("SELECT sum(size + ? * chunks) FROM objects", wire.CHUNK_TAG)
            if promised + sealed.stored_size > self.most:
                raise Problem(507, "store-full", "the gateway has no room for this object", hint="ask the operator")
            if (
                self.database.number("SELECT count(*) FROM objects WHERE agreement = ?", sealed.agreement)
                >= _MOST_OBJECTS
            ):
                raise conflict("too-many-objects", f"an agreement holds at most {_MOST_OBJECTS} objects")
            self.database.write(
                "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                sealed.digest, sealed.agreement, sealed.name, sealed.owner, sealed.kind, statement.data, sealed.chunks,
                sealed.size, sealed.ciphertext,
            )  # fmt: skip
            self.log.add(sealed.agreement, statement, now)

    def get(self, digest: str) -> Sealed:
        """One object.

        Raises:
            Problem: 404.
        """
        row = self.database.one("SELECT * FROM objects WHERE digest = ?", digest)
        if row is None:
            raise not_found("object")
        return _sealed(row)

    def manifest(self, digest: str) -> bytes:
        """The manifest's envelope of an object that is there."""
        row = self.database.one("SELECT manifest FROM objects WHERE digest = ?", digest)
        if row is None:
            raise not_found("object")
        return bytes(row["manifest"])

    def of(self, agreement: str) -> list[Sealed]:
        """Every object of an agreement, the oldest first."""
        rows = self.database.all("SELECT * FROM objects WHERE agreement = ? ORDER BY rowid", agreement)
        return [_sealed(row) for row in rows]

    def missing(self, sealed: Sealed) -> list[int]:
        """Numbers of the chunks that have not come."""
        if sealed.complete:
            return []
        rows = self.database.all("SELECT number FROM chunks WHERE object = ?", sealed.digest)
        have = {row["number"] for row in rows}
        return [number for number in range(sealed.chunks) if number not in have]

    def put_chunk(self, sealed: Sealed, number: int, data: bytes) -> bool:
        """Store one chunk, in any order, again if need be; whether the object is complete now.

        Raises:
            Problem: 422 `wrong-size`, 409 `complete`, 422 `wrong-digest` (all chunks are to be sent again).
        """
        if len(data) != sealed.chunk_size(number):
            raise unreadable("wrong-size", f"chunk {number} must have {sealed.chunk_size(number)} bytes")
        if sealed.complete:
            return self._same(sealed, number, data)
        self.blobs.write_chunk(sealed.digest, number * (wire.CHUNK + wire.CHUNK_TAG), data)
        with self.database.writing():
            self.database.write("INSERT INTO chunks VALUES (?, ?) ON CONFLICT DO NOTHING", sealed.digest, number)
            have = self.database.number("SELECT count(*) FROM chunks WHERE object = ?", sealed.digest)
        return have == sealed.chunks and self.finish(sealed)

    def _same(self, sealed: Sealed, number: int, data: bytes) -> bool:
        """True if a chunk of a complete object is sent once more, as after an answer that was lost."""
        if self.blobs.read(sealed.ciphertext, number * (wire.CHUNK + wire.CHUNK_TAG), len(data)) != data:
            raise conflict("complete", "the object is complete and does not change any more")
        return True

    def finish(self, sealed: Sealed) -> bool:
        """Check the whole file against the manifest and give it its name; True.

        Raises:
            Problem: 422 `wrong-digest`.
        """
        try:
            self.blobs.finish(sealed.digest, size=sealed.stored_size, digest=sealed.ciphertext)
        except (WrongDigestError, FileNotFoundError):
            self.database.write("DELETE FROM chunks WHERE object = ?", sealed.digest)
            raise unreadable("wrong-digest", "the chunks are not the object of the manifest; send all again") from None
        with self.database.writing():
            self.database.write("UPDATE objects SET complete = 1 WHERE digest = ?", sealed.digest)
            self.database.write("DELETE FROM chunks WHERE object = ?", sealed.digest)
        return True

    def resume(self) -> None:
        """Finish uploads whose last chunk came just before the gateway was interrupted."""
        for row in self.database.all(
            "SELECT * FROM objects o WHERE complete = 0"
            " AND chunks = (SELECT count(*) FROM chunks WHERE object = o.digest)"
        ):
            try:
                self.finish(_sealed(row))
            except Problem:
                continue  # its owner sees all chunks as missing and sends them again


def _sealed(row: Row) -> Sealed:
    return Sealed(
        digest=row["digest"], agreement=row["agreement"], name=row["name"], owner=row["owner"], kind=row["kind"],
        chunks=row["chunks"], size=row["size"], ciphertext=row["ciphertext"], complete=bool(row["complete"]),
    )  # fmt: skip
