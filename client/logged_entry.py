"""One entry of a log as a gateway or a file shows it, held against its own digest; nobody's signature is checked here.

Runs in: a party, and whoever holds a history.   Believes: nothing.   Spec: §13.1.
"""

from __future__ import annotations

import dataclasses

from sealroom.client.gateway_log import ShownEntry
from sealroom.protocol import canonical, merkle, schema
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotGenuine
from sealroom.protocol.statements import Evidence, evidence_digest


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
