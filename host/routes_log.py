"""Calls about an agreement's transparency log: checkpoint, proofs, entries for members, cosignatures.

Runs in: host.   Believes: nothing.   Spec: §8.6, §13.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Annotated, Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import APIRouter, Query

from sealroom.host.context import Digest, EmptyCall, Here, Party, SmallCall
from sealroom.host.documents import HEX32
from sealroom.host.problems import forbidden, unreadable
from sealroom.host.shapes import READ_ERRORS, WRITE_ERRORS, Shape, Stored, body
from sealroom.host.store.log import ORIGIN, size_of

router = APIRouter(tags=["log"])
Place = Annotated[int, Query(ge=0, le=1 << 48, description="a number of entries")]
EntryDigest = Annotated[str, Query(pattern=f"^{HEX32}$", description="a statement's digest")]


class LogHead(Shape):
    """The log's newest checkpoint (a signed note), and the key that signs it (base64url)."""

    checkpoint: str
    key: str


class Consistency(Shape):
    """Hashes in hex, as RFC 9162 orders them."""

    proof: list[str]


class Inclusion(Shape):
    """Where an entry stands (from 0), and its path to the root."""

    number: int
    kind: str
    salt: str
    proof: list[str]


class LogEntry(Shape):
    """One entry: its salt opens the commitment; `body` is the envelope, or the evidence."""

    number: int
    kind: str
    digest: str
    salt: str
    body: dict[str, Any]


class LogEntries(Shape):
    """A page of entries in order; an empty one when there are no more."""

    entries: list[LogEntry]


class LogCosignatures(Shape):
    """Each party's newest cosigned checkpoint."""

    cosignatures: dict[str, str]


class Assigned(Shape):
    """How many entries the log had when the run's gate was assigned: the root over them is in the evidence."""

    size: int


@router.get("/agreements/{agreement}/log", responses=READ_ERRORS)
def get_checkpoint(agreement: Digest, call: EmptyCall, here: Here) -> LogHead:
    """Get the newest checkpoint."""
    here.member(call, agreement)
    log = here.store.log
    return LogHead(checkpoint=log.checkpoint(agreement, here.clock()), key=log.public_key)


@router.get("/agreements/{agreement}/log/consistency", responses=READ_ERRORS)
def get_consistency(agreement: Digest, old: Place, new: Place, call: EmptyCall, here: Here) -> Consistency:
    """Get the proof that the first `old` entries are unchanged among the first `new`."""
    here.member(call, agreement)
    return Consistency(proof=here.store.log.consistency(agreement, old, new))


@router.get("/agreements/{agreement}/log/inclusion", responses=READ_ERRORS)
def get_inclusion(agreement: Digest, digest: EntryDigest, size: Place, call: EmptyCall, here: Here) -> Inclusion:
    """Get the proof that a statement is among the first `size` entries."""
    here.member(call, agreement)
    row, proof = here.store.log.inclusion(agreement, digest, size)
    return Inclusion(number=row["number"], kind=row["kind"], salt=bytes(row["salt"]).hex(), proof=proof)


@router.get("/agreements/{agreement}/log/entries", responses=READ_ERRORS)
def get_entries(agreement: Digest, start: Place, call: EmptyCall, here: Here) -> LogEntries:
    """Get a page of entries from number `start` on."""
    here.member(call, agreement)
    here.store.log.publish(agreement, here.clock())
    return LogEntries(
        entries=[
            LogEntry(
                number=row["number"], kind=row["kind"], digest=row["digest"], salt=bytes(row["salt"]).hex(),
                body=json.loads(row["body"]),
            )
            for row in here.store.log.entries(agreement, start)
        ]
    )  # fmt: skip


@router.put(
    "/agreements/{agreement}/log/cosignatures/{party}", responses=WRITE_ERRORS,
    openapi_extra=body("text/plain", "the checkpoint as a signed note, with the caller's cosignature as its last line"),
)  # fmt: skip
def put_cosignature(agreement: Digest, party: Party, call: SmallCall, here: Here) -> Stored:
    """Keep the caller's cosignature of a checkpoint of this log."""
    _, caller = here.member(call, agreement)
    if caller != party:
        raise forbidden("a party cosigns only in its own name")
    note = _text(call.body)
    size, log = size_of(note, agreement), here.store.log
    if not 0 <= size <= log.size(agreement) or not note.startswith(log.text(agreement, size).decode() + "\n"):
        raise unreadable("wrong-checkpoint", "the note is not a checkpoint of this log")
    _check_cosignature(note, log.text(agreement, size), f"{ORIGIN}{agreement}/{party}", call.key)
    log.put_cosignature(agreement, party, size, note)
    return Stored(digest=hashlib.sha256(call.body).hexdigest())


@router.get("/agreements/{agreement}/log/cosignatures", responses=READ_ERRORS)
def get_cosignatures(agreement: Digest, call: EmptyCall, here: Here) -> LogCosignatures:
    """List each party's newest cosigned checkpoint."""
    here.member(call, agreement)
    return LogCosignatures(cosignatures=here.store.log.cosignatures(agreement))


@router.get("/runs/{run}/checkpoint", responses=READ_ERRORS)
def get_assigned(run: Digest, call: EmptyCall, here: Here) -> Assigned:
    """Get the size of the log whose root the run's evidence names."""
    here.run(call, run)
    return Assigned(size=here.store.log.assigned(run))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise unreadable("bad-note", "the note is not UTF-8") from error


def _check_cosignature(note: str, text: bytes, name: str, key: str) -> None:
    """Keep out what is not the caller's line: only the newest is kept, and a wrong one would hide the right one."""
    start, _, encoded = note.rstrip("\n").rpartition(" ")
    try:
        data = base64.b64decode(encoded, validate=True)
        public = base64.urlsafe_b64decode(key + "=")
        key_id = hashlib.sha256(name.encode() + b"\n\x04" + public).digest()[:4]
        at = int.from_bytes(data[4:12], "big")
        if not start.endswith(f"\n— {name}") or data[:4] != key_id or len(data) != 76:
            raise unreadable("bad-note", "the note's last line is not the caller's cosignature")
        Ed25519PublicKey.from_public_bytes(public).verify(data[12:], b"cosignature/v1\ntime %d\n" % at + text)
    except (InvalidSignature, ValueError) as error:
        raise unreadable("bad-note", "the caller's cosignature does not hold") from error
