"""Which version of an agreement holds: all signatures there, the chain unbroken, never older than the one pinned.

Runs in: a party.   Believes: only keys inside a version that this party itself has signed.   Spec: §4.2.
"""

from __future__ import annotations

import dataclasses

from sealroom.protocol import consistency
from sealroom.protocol import envelope as envelopes
from sealroom.protocol.agreement import Agreement
from sealroom.protocol.envelope import Envelope
from sealroom.protocol.errors import NotAcceptable, NotGenuine
from sealroom.protocol.keys import VerifyingKey


@dataclasses.dataclass(frozen=True, slots=True)
class PinnedAgreement:
    """A version that every party has signed: `version` is its digest, `id` the digest of version 1."""

    envelope: Envelope
    agreement: Agreement
    version: str
    id: str


def keys_of(*versions: Agreement) -> dict[str, VerifyingKey]:
    """Every signing key that the parties of these versions use, by name and key so that a change of key keeps both."""
    return {f"{p.name}/{p.signing_key}": VerifyingKey.parse(p.signing_key) for v in versions for p in v.parties}


def missing_signatures(envelope: Envelope, *, previous: Agreement | None = None) -> tuple[str, ...]:
    """Names of the parties that have not signed this version, sorted.

    Raises:
        Malformed: the envelope holds no agreement that is consistent in itself.
    """
    unverified_agreement = consistency.check(envelopes.unverified(envelope, Agreement))
    there = {s.keyid for s in envelope.signatures}
    versions = (unverified_agreement,) if previous is None else (unverified_agreement, previous)
    return tuple(sorted({p.name for v in versions for p in v.parties if p.signing_key not in there}))


def verify(envelope: Envelope, *, own_key: VerifyingKey, previous: PinnedAgreement | None) -> PinnedAgreement:
    """The version in `envelope`, if it may be pinned after `previous`.

    Steps: (1) the agreement is consistent; (2) every party signed it, and every party of the version before; (3) this
    party is among them with its own key; (4) it is the first version, or the next link of the pinned chain.

    Raises:
        Malformed: step 1.
        NotGenuine: steps 2 and 3.
        NotAcceptable: step 4.
    """
    unverified_agreement = consistency.check(envelopes.unverified(envelope, Agreement))  # (1)
    versions = (unverified_agreement,) if previous is None else (unverified_agreement, previous.agreement)
    agreed = envelopes.verify(envelope, Agreement, keys_of(*versions))  # (2)
    if own_key.text not in {p.signing_key for p in agreed.parties}:  # (3)
        raise NotGenuine("not-a-party", "this agreement does not name your signing key")
    if agreed.first is None or agreed.previous is None:  # (4)
        return PinnedAgreement(envelope, agreed, envelope.digest, envelope.digest)
    require_next(agreed, previous)
    return PinnedAgreement(envelope, agreed, envelope.digest, agreed.first)


def require_next(agreed: Agreement, previous: PinnedAgreement | None) -> None:
    """Return if this version follows the pinned one.

    Raises:
        NotAcceptable: it is older, skips a version, or belongs to another chain.
    """
    this = f"version {agreed.sequence}"
    if previous is None:
        hint = "import them first, from version 1 upwards"
        raise NotAcceptable("missing-version", f"this is {this}, and the versions before it are not here", hint=hint)
    pinned = previous.agreement.sequence
    if agreed.sequence < pinned:
        raise NotAcceptable("older-version", f"{this} is older than the pinned version {pinned}")
    follows = (agreed.first, agreed.previous, agreed.sequence) == (previous.id, previous.version, pinned + 1)
    if not follows:
        raise NotAcceptable("broken-chain", f"{this} does not follow the pinned version {pinned}")
