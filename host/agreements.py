"""What the gateway needs to know of an agreement: its place in the chain, members' keys, owners, slots, deadlines.

Runs in: host.   Believes: the operator for version 1, and every member's signature for a later one.   Spec: §8.3.
"""

from __future__ import annotations

import base64
import dataclasses

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from sealroom.host.documents import HEX32, KEY, Statement, names, number, objects, text
from sealroom.host.problems import Problem, conflict, forbidden, unreadable

_MOST_SECONDS = 366 * 86400


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The look of one version. `keys` and `consent_waits` are by party, `owners` by object name."""

    id: str
    version: str
    sequence: int
    previous: str | None
    keys: dict[str, str]
    consent_waits: dict[str, int]
    owners: dict[str, str]
    kinds: dict[str, str]
    opaque: frozenset[str]
    rules: frozenset[str]
    requesters: frozenset[str]
    not_after: int
    slot_query: int
    slot_opaque: int

    def party_of(self, key: str) -> str | None:
        """The member that signs with `key`."""
        return next((party for party, own in self.keys.items() if own == key), None)

    def slot(self, object_names: frozenset[str]) -> int:
        """Seconds of the slots that a run over these objects is shown in."""
        return self.slot_opaque if object_names & self.opaque else self.slot_query


def look(statement: Statement) -> Agreement:
    """Read what an agreement's envelope says.

    Raises:
        Problem: 422, with the code of what is wrong.
    """
    fields = statement.unverified
    sequence = number(fields, "sequence", least=1, most=10**6)
    first = None if sequence == 1 else text(fields, "first", HEX32)
    previous = None if sequence == 1 else text(fields, "previous", HEX32)
    if sequence == 1 and not fields.get("first") is fields.get("previous") is None:
        raise unreadable("bad-field", "a first version has neither first nor previous")
    parties = objects(fields, "parties", most=16)
    keys = {text(p, "name"): text(p, "signing_key", KEY) for p in parties}
    if len(keys) != len(parties) or len(set(keys.values())) != len(parties):
        raise unreadable("bad-field", "parties repeat a name or a key")
    datasets, bundles = objects(fields, "datasets"), objects(fields, "bundles")
    slots = fields.get("slots")
    if not isinstance(slots, dict):
        raise unreadable("bad-field", "slots is missing or not as specified")
    return Agreement(
        id=first or statement.digest, version=statement.digest, sequence=sequence, previous=previous, keys=keys,
        consent_waits={text(p, "name"): _consent_wait(p) for p in parties},
        owners={text(o, "name"): text(o, "owner") for o in (*datasets, *bundles)},
        kinds={text(o, "name"): kind for kind, group in (("dataset", datasets), ("bundle", bundles)) for o in group},
        # A bundle whose lane is not the known harmless one counts as opaque.
        opaque=frozenset(text(b, "name") for b in bundles if b.get("lane") != "query"),
        rules=frozenset(text(r, "name") for r in objects(fields, "rules")),
        requesters=frozenset(names(fields.get("requesters"))),
        not_after=number(fields, "not_after"),
        slot_query=number(slots, "query", most=86400), slot_opaque=number(slots, "opaque", least=1, most=86400),
    )  # fmt: skip


def succeed(new: Agreement, statement: Statement, head: Agreement) -> None:
    """Let `new` follow `head` only if it continues the chain and every member of both has signed it.

    Parties verify agreements themselves. The gateway checks here so that no single member can put a version of its own
    in the place of everybody's and lock the others out; a member whose key changes signs with both. A version that
    lacks a signature, or has one too many, would stay in the place of the right one, as both have one digest.

    Raises:
        Problem: 409 `not-next`, or 403.
    """
    if (new.id, new.previous, new.sequence) != (head.id, head.version, head.sequence + 1):
        raise conflict("not-next", "the version does not follow the newest one", hint=f"the newest is {head.version}")
    for party, key in (*head.keys.items(), *new.keys.items()):
        if key not in statement.signers or not _holds(key, statement.signers[key], statement.signed):
            raise forbidden(f"a later version needs the signature of {party}")
    if set(statement.signers) != {*head.keys.values(), *new.keys.values()}:
        raise forbidden("a later version carries no signature but those of its members and the members before")


def signed_by(statement: Statement, key: str) -> None:
    """Refuse a statement that carries anything but one signature that holds, by the caller's own key.

    Each place is taken once and for good: a body that nobody can verify would spoil it for those who read it.

    Raises:
        Problem: 403.
    """
    if set(statement.signers) != {key} or not _holds(key, statement.signers[key], statement.signed):
        raise forbidden("a party files what it has signed itself, and nobody else")


def member(agreement: Agreement, key: str) -> str:
    """The party that calls.

    Raises:
        Problem: 404: who is no member is not told that the agreement exists.
    """
    party = agreement.party_of(key)
    if party is None:
        raise Problem(404, "not-found", "there is no such agreement that you may see")
    return party


def _consent_wait(party: dict[str, object]) -> int:
    consent = party.get("consent")
    if not isinstance(consent, dict):
        raise unreadable("bad-field", "consent is missing or not as specified")
    return number(consent, "deadline", most=_MOST_SECONDS)


def _holds(key: str, signature: bytes, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key + "=")).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True
