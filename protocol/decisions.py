"""What one officer of a party says about one release that waits for people, signed by that officer.

Runs in: parties.   Believes: only officers that the agreement names.   Spec: §5.8.

A party whose consent is `manual` consents when `threshold` of its officers decided `release`; one `refuse` refuses. A
party that names no officers decides with its own signing key.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from sealroom.protocol.agreement import Party
from sealroom.protocol.envelope import Envelope, verify
from sealroom.protocol.errors import NotGenuine
from sealroom.protocol.keys import VerifyingKey
from sealroom.protocol.schema import Hex32, Name, Prose, Time


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An officer lets a release go or refuses it."""

    format: Literal["sealroom/decision/v1"]
    party: Name
    agreement: Hex32
    release: Hex32
    decision: Literal["release", "refuse"]
    created: Time
    remark: Prose


def officers(party: Party) -> dict[str, VerifyingKey]:
    """The keys that may decide for `party`, by their text."""
    texts = party.consent.officers or (party.signing_key,)
    return {text: VerifyingKey.parse(text) for text in texts}


def needed(party: Party) -> int:
    """How many different officers must say yes; at least one."""
    return max(1, party.consent.threshold)


def verify_decision(envelope: Envelope, party: Party, *, agreement: str, release: str) -> tuple[str, Decision]:
    """(the officer's key, its decision) on this release for this party.

    Steps: (1) exactly one officer of the party signed; (2) it is about this party, agreement and release.

    Raises:
        NotGenuine: either.
        Malformed: the decision cannot be read.
    """
    decision = verify(envelope, Decision, officers(party), threshold=1)  # (1)
    if len(envelope.signatures) != 1:
        raise NotGenuine("not-one-officer", "a decision carries the signature of exactly one officer")
    if (decision.party, decision.agreement, decision.release) != (party.name, agreement, release):  # (2)
        raise NotGenuine("other-release", "the decision is about another party, agreement or release")
    return envelope.signatures[0].keyid, decision
