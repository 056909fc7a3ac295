"""One entry of a log as a gateway or a file shows it, held against its own digest; nobody's signature is checked here.

Runs in: a party, and whoever holds a history.   Believes: nothing.   Spec: §13.1.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Final, Literal

from sealroom.client.gateway_log import ShownEntry
from sealroom.protocol import canonical, merkle, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import Malformed, NotGenuine
from sealroom.protocol.schema import Hex32, Int, Text
from sealroom.protocol.statements import Evidence, evidence_digest

MOST_BYTES: Final = 4 << 20
MOST_ENTRIES: Final = 1 << 20
Kind = Annotated[str, Text(r"[a-z]{1,20}", 20)]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """An entry in a file, without its body."""

    format: Literal["sealroom/log-entry/v1"]
    number: Annotated[int, Int(0, MOST_ENTRIES)]
    kind: Kind
    digest: Hex32
    salt: Hex32


@dataclasses.dataclass(frozen=True, slots=True)
class LoggedEntry:
    """One entry whose digest is that of its body: a signed statement, or evidence; `leaf` commits to it in the tree."""

    number: int
    kind: str
    digest: str
    leaf: bytes
    statement: Envelope | None
    evidence: bytes | None


def check(shown: ShownEntry) -> LoggedEntry:
    """The entry, if its digest is its body's and its kind its statement's.

    Raises:
        Malformed: its body is no statement, or no evidence.
        NotGenuine: it is another than its digest or kind names (`audit-altered`).
    """
    statement, evidence = None, None
    if shown.kind == "evidence":
        evidence = shown.body
        schema.decode(Evidence, canonical.decode(evidence, most=len(evidence)), "evidence")
        named = evidence_digest(evidence)
    else:
        statement = envelopes.parse(shown.body)
        named = statement.digest
        if statement.payloadType != f"application/vnd.sealroom.{shown.kind}.v1+json":
            raise NotGenuine("audit-altered", "its kind is not that of its statement")
    if named != shown.digest:
        raise NotGenuine("audit-altered", "its content is not what its digest names")
    leaf = merkle.entry_hash(shown.salt, shown.kind, shown.digest)
    return LoggedEntry(shown.number, shown.kind, shown.digest, leaf, statement, evidence)


def to_bytes(shown: ShownEntry) -> bytes:
    """The entry as it stands in a file: canonical JSON on one line, without the line's end.

    Raises:
        Malformed: it is larger than any entry can be.
    """
    data = canonical.encode({
        "format": "sealroom/log-entry/v1", "number": shown.number, "kind": shown.kind, "digest": shown.digest,
        "salt": shown.salt.hex(), "body": canonical.decode(shown.body, most=MOST_BYTES),
    })  # fmt: skip
    if len(data) > MOST_BYTES:
        raise Malformed("audit-bad-entry", f"entry {shown.number} has more than {MOST_BYTES} bytes")
    return data


def parse(number: int, data: bytes) -> LoggedEntry:
    """An entry out of a file, whose digest is its body's.

    Raises:
        Malformed: not in its form.
        NotGenuine: it has another number than it should, or its body is not what its digest names (`audit-altered`).
    """
    value = canonical.decode(data, most=MOST_BYTES)
    if not isinstance(value, dict) or "body" not in value:
        raise Malformed("audit-bad-entry", "it is not an entry of a log")
    body = canonical.encode(value.pop("body"))
    head = schema.decode(_Head, value, "entry")
    if head.number != number:
        raise NotGenuine("audit-renumbered", f"it says that it is entry {head.number}")
    return check(ShownEntry(number, head.kind, head.digest, bytes.fromhex(head.salt), body))
